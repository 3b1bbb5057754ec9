/* What a thread knows: of each location the oldest store that it may still read, of each thread how
 * far what it did happened before. */
#ifndef ORDERS_VIEWS_H
#define ORDERS_VIEWS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "explore.h"

enum { LOCATIONS = 8 };

struct view {
    uint8_t oldest[LOCATIONS]; /* index of the oldest store that may be read */
    uint16_t clock[EXPLORE_THREADS];
};

static inline void join(struct view *into, const struct view *other) {
    for (uint32_t i = 0; i < LOCATIONS; i++) {
        into->oldest[i] = into->oldest[i] > other->oldest[i] ? into->oldest[i] : other->oldest[i];
    }
    for (uint32_t i = 0; i < EXPLORE_THREADS; i++) {
        into->clock[i] = into->clock[i] > other->clock[i] ? into->clock[i] : other->clock[i];
    }
}

static inline bool acquires(memory_order order) {
    return order == memory_order_acquire || order == memory_order_acq_rel
           || order == memory_order_seq_cst;
}

static inline bool releases(memory_order order) {
    return order == memory_order_release || order == memory_order_acq_rel
           || order == memory_order_seq_cst;
}

#endif
