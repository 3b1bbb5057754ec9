/* A pool of equal items in memory that the caller owns; take and give in O(1), last in first out.
 *
 * Items can be reserved, as a number, and taken later.
 * Items are named by index, so that links between them are 4 bytes and survive a move of the base.
 * Knows nothing of what the items hold: a free item's first four bytes are the link.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NO_ITEM UINT32_MAX

struct pool {
    uint8_t *memory; /* Owner: the caller, for as long as the pool lives */
    uint32_t item_bytes;
    uint32_t capacity;
    uint32_t fresh; /* items from here on were never taken: their memory is still untouched */
    uint32_t free_head;
    uint32_t free_count; /* neither taken nor reserved */
    uint32_t floor; /* free items that whoever takes now must leave to others */
};

static inline void pool_init(struct pool *pool, void *memory, uint32_t item_bytes,
                             uint32_t capacity) {
    *pool = (struct pool){memory, item_bytes, capacity, 0, NO_ITEM, capacity, 0};
}

static inline void *pool_at(const struct pool *pool, uint32_t index) {
    return pool->memory + (size_t)index * pool->item_bytes;
}

/* Whether the index names an item that is taken, or was: its memory holds what that left. */
static inline bool pool_was_taken(const struct pool *pool, uint32_t index) {
    return index < pool->fresh;
}

/* Items that can be taken or reserved now. */
static inline uint32_t pool_room(const struct pool *pool) {
    return pool->free_count > pool->floor ? pool->free_count - pool->floor : 0;
}

/* False: there are not that many. */
static inline bool pool_reserve(struct pool *pool, uint32_t count) {
    bool has_room = pool_room(pool) >= count;
    pool->free_count -= has_room ? count : 0;
    return has_room;
}

static inline void pool_unreserve(struct pool *pool, uint32_t count) {
    pool->free_count += count;
}

/* Takes one of those that the caller has reserved. The item's content is undefined. */
static inline uint32_t pool_take_reserved(struct pool *pool) {
    uint32_t index = pool->free_head;
    if (index != NO_ITEM) {
        memcpy(&pool->free_head, pool_at(pool, index), sizeof pool->free_head);
    } else {
        index = pool->fresh++;
    }
    return index;
}

/* Returns an index, or NO_ITEM when the pool is empty or at its floor. */
static inline uint32_t pool_take(struct pool *pool) {
    return pool_reserve(pool, 1) ? pool_take_reserved(pool) : NO_ITEM;
}

static inline void pool_give(struct pool *pool, uint32_t index) {
    memcpy(pool_at(pool, index), &pool->free_head, sizeof pool->free_head);
    pool->free_head = index;
    pool->free_count++;
}

#endif
