/* One or two sets of a message's segments: 64 of them inline, more in one block of the pool.
 *
 * Knows numbers only. A segment is the unit in which a message is cut into packets.
 */
#ifndef FLOW_SEGMENTS_H
#define FLOW_SEGMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/pool.h"
#include "flow/body.h"

enum segments_limit {
    SEGMENT_SETS = 2,
    SEGMENTS_INLINE = 64,
    SEGMENTS_MAX = BLOCK_BYTES * 8 / SEGMENT_SETS
};

struct segments {
    uint64_t bits[SEGMENT_SETS];
    uint32_t block; /* NO_ITEM: inline */
};

/* Into how many segments a message is cut. Most have one, and need no division. */
static inline uint32_t segments_of(uint32_t total_bytes, uint32_t segment_bytes) {
    return total_bytes <= segment_bytes ? 1 : (total_bytes + segment_bytes - 1) / segment_bytes;
}

/* The pool has a block, should the sets need one. */
static inline void segments_init(struct segments *segments, struct pool *blocks, uint32_t count) {
    *segments = (struct segments){{0, 0}, NO_ITEM};
    if (count <= SEGMENTS_INLINE) {
        return;
    }
    segments->block = pool_take(blocks);
    te_check(segments->block != NO_ITEM);
    memset(pool_at(blocks, segments->block), 0, BLOCK_BYTES);
}

static inline void segments_fini(struct segments *segments, struct pool *blocks) {
    if (segments->block != NO_ITEM) {
        pool_give(blocks, segments->block);
        segments->block = NO_ITEM;
    }
}

static inline uint64_t *segments_word(struct segments *segments, struct pool *blocks, int set,
                                      uint32_t number) {
    if (segments->block == NO_ITEM) {
        return &segments->bits[set];
    }
    uint64_t *words = pool_at(blocks, segments->block);
    return words + set * (SEGMENTS_MAX / 64) + number / 64;
}

static inline bool segments_has(struct segments *segments, struct pool *blocks, int set,
                                uint32_t number) {
    return *segments_word(segments, blocks, set, number) >> (number % 64) & 1;
}

static inline void segments_add(struct segments *segments, struct pool *blocks, int set,
                                uint32_t number) {
    *segments_word(segments, blocks, set, number) |= UINT64_C(1) << (number % 64);
}

static inline void segments_remove(struct segments *segments, struct pool *blocks, int set,
                                   uint32_t number) {
    *segments_word(segments, blocks, set, number) &= ~(UINT64_C(1) << (number % 64));
}

/* The lowest member. The caller knows that there is one. */
static inline uint32_t segments_first(struct segments *segments, struct pool *blocks, int set) {
    uint32_t number = 0;
    uint64_t word = *segments_word(segments, blocks, set, number);
    while (word == 0) {
        number += 64;
        word = *segments_word(segments, blocks, set, number);
    }
    return number + (uint32_t)__builtin_ctzll(word);
}

#endif
