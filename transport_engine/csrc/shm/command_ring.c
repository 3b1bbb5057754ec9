#include "shm/command_ring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "shm/layout.h"

struct spsc {
    _Alignas(CHANNEL_LINE_BYTES) _Atomic uint64_t tail; /* items pushed; the producer's */
    _Alignas(CHANNEL_LINE_BYTES) _Atomic uint64_t head; /* items popped; the consumer's */
    _Alignas(CHANNEL_LINE_BYTES) uint32_t item_bytes;
    uint32_t capacity;
    uint8_t items[];
};

int spsc_open(struct spsc **spsc, uint32_t item_bytes, uint32_t capacity_pow2) {
    if (item_bytes == 0 || item_bytes > SPSC_ITEM_BYTES_MAX || capacity_pow2 == 0
        || capacity_pow2 > SPSC_CAPACITY_MAX || (capacity_pow2 & (capacity_pow2 - 1)) != 0) {
        return TE_E_INVALID;
    }
    const size_t line = CHANNEL_LINE_BYTES;
    const size_t bytes = sizeof(struct spsc) + (size_t)item_bytes * capacity_pow2;
    struct spsc *made = aligned_alloc(line, (bytes + line - 1) / line * line);
    if (made == NULL) {
        return TE_E_NO_MEMORY;
    }
    atomic_init(&made->tail, 0);
    atomic_init(&made->head, 0);
    made->item_bytes = item_bytes;
    made->capacity = capacity_pow2;
    *spsc = made;
    return TE_OK;
}

void spsc_close(struct spsc *spsc) {
    free(spsc);
}

static uint8_t *item_at(struct spsc *spsc, uint64_t position) {
    return spsc->items + (position & (spsc->capacity - 1)) * spsc->item_bytes;
}

bool spsc_push(struct spsc *spsc, const void *item) {
    const uint64_t tail = atomic_load_explicit(&spsc->tail, memory_order_relaxed);
    /* Pairs with the release in spsc_pop: the item there was copied out before it is replaced. */
    if (tail - atomic_load_explicit(&spsc->head, memory_order_acquire) == spsc->capacity) {
        return false;
    }
    memcpy(item_at(spsc, tail), item, spsc->item_bytes);
    atomic_store_explicit(&spsc->tail, tail + 1, memory_order_release);
    return true;
}

bool spsc_has_room(const struct spsc *spsc) {
    const uint64_t tail = atomic_load_explicit(&spsc->tail, memory_order_relaxed);
    return tail - atomic_load_explicit(&spsc->head, memory_order_acquire) < spsc->capacity;
}

bool spsc_pop(struct spsc *spsc, void *item) {
    const uint64_t head = atomic_load_explicit(&spsc->head, memory_order_relaxed);
    /* Pairs with the release in spsc_push: the item was written before the tail moved over it. */
    if (atomic_load_explicit(&spsc->tail, memory_order_acquire) == head) {
        return false;
    }
    memcpy(item, item_at(spsc, head), spsc->item_bytes);
    atomic_store_explicit(&spsc->head, head + 1, memory_order_release);
    return true;
}
