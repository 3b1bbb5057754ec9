#include "shm/handover.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "shm/layout.h"

static const uint32_t SKIP = UINT32_MAX; /* in place of a size: the rest of the memory is free */

/* In front of each item, at a multiple of HANDOVER_ALIGN. */
struct head {
    _Alignas(HANDOVER_ALIGN) uint32_t size_bytes;
};

struct handover {
    _Alignas(CHANNEL_LINE_BYTES) _Atomic uint64_t tail; /* bytes published; the producer's */
    uint64_t head_seen;                                 /* the producer's */
    uint64_t reserved;                                  /* where its next item begins */
    _Alignas(CHANNEL_LINE_BYTES) _Atomic uint64_t head; /* bytes released; the consumer's */
    uint64_t tail_seen;                                 /* the consumer's */
    _Alignas(CHANNEL_LINE_BYTES) uint64_t capacity;
    _Alignas(CHANNEL_LINE_BYTES) uint8_t bytes[];
};

int handover_open(struct handover **handover, uint32_t bytes_pow2) {
    if (bytes_pow2 < HANDOVER_BYTES_MIN || bytes_pow2 > HANDOVER_BYTES_MAX ||
        (bytes_pow2 & (bytes_pow2 - 1)) != 0) {
        return TE_E_INVALID;
    }
    const size_t bytes = sizeof(struct handover) + bytes_pow2; /* a multiple of a line */
    struct handover *made = aligned_alloc(CHANNEL_LINE_BYTES, bytes);
    if (made == NULL) {
        return TE_E_NO_MEMORY;
    }
    atomic_init(&made->tail, 0);
    atomic_init(&made->head, 0);
    made->head_seen = made->tail_seen = made->reserved = 0;
    made->capacity = bytes_pow2;
    *handover = made;
    return TE_OK;
}

void handover_close(struct handover *handover) {
    free(handover);
}

static struct head *head_at(struct handover *handover, uint64_t position) {
    return (struct head *)(void *)(handover->bytes + (position & (handover->capacity - 1)));
}

static uint64_t stride_of(uint32_t size_bytes) {
    const uint64_t align = HANDOVER_ALIGN;
    return sizeof(struct head) + (size_bytes + align - 1) / align * align;
}

static bool has_room(struct handover *handover, uint64_t end) {
    if (end - handover->head_seen > handover->capacity) {
        /* Pairs with the release in handover_release: the items there were looked at before. */
        handover->head_seen = atomic_load_explicit(&handover->head, memory_order_acquire);
    }
    return end - handover->head_seen <= handover->capacity;
}

/* An item is contiguous: one that would wrap begins at the beginning. */
void *handover_reserve(struct handover *handover, uint32_t size_bytes) {
    const uint64_t tail = atomic_load_explicit(&handover->tail, memory_order_relaxed);
    const uint64_t stride = stride_of(size_bytes);
    const uint64_t left = handover->capacity - (tail & (handover->capacity - 1));
    const uint64_t skipped = left < stride ? left : 0;
    if (stride > handover->capacity / 4 || !has_room(handover, tail + skipped + stride)) {
        return NULL;
    }
    if (skipped > 0) {
        head_at(handover, tail)->size_bytes = SKIP;
    }
    handover->reserved = tail + skipped;
    struct head *head = head_at(handover, handover->reserved);
    head->size_bytes = size_bytes;
    return head + 1;
}

void handover_publish(struct handover *handover, uint32_t size_bytes) {
    atomic_store_explicit(&handover->tail, handover->reserved + stride_of(size_bytes),
                          memory_order_release);
}

bool handover_is_empty(const struct handover *handover) {
    return atomic_load_explicit(&handover->tail, memory_order_acquire) ==
           atomic_load_explicit(&handover->head, memory_order_relaxed);
}

void *handover_peek(struct handover *handover, uint32_t *size_bytes) {
    uint64_t head = atomic_load_explicit(&handover->head, memory_order_relaxed);
    if (head == handover->tail_seen) {
        /* Pairs with the release in handover_publish: the item was written before. */
        handover->tail_seen = atomic_load_explicit(&handover->tail, memory_order_acquire);
        if (head == handover->tail_seen) {
            return NULL;
        }
    }
    if (head_at(handover, head)->size_bytes == SKIP) {
        head += handover->capacity - (head & (handover->capacity - 1));
        atomic_store_explicit(&handover->head, head, memory_order_release);
    }
    struct head *item = head_at(handover, head);
    *size_bytes = item->size_bytes;
    return item + 1;
}

void handover_release(struct handover *handover) {
    const uint64_t head = atomic_load_explicit(&handover->head, memory_order_relaxed);
    atomic_store_explicit(&handover->head,
                          head + stride_of(head_at(handover, head)->size_bytes),
                          memory_order_release);
}
