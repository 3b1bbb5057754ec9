/* One timer for each of a fixed number of items, in a hashed wheel: set and cancel in O(1).
 *
 * Knows numbers and times. A timer never fires early, and may be looked at again at each poll
 * within its tick.
 * Source: G. Varghese, T. Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987, scheme 6.
 */
#ifndef ENGINE_TIMERS_H
#define ENGINE_TIMERS_H

#include <stddef.h>
#include <stdint.h>

enum timers_shape {
    TIMERS_TICK_BITS = 15, /* 32.768 us */
    TIMERS_SLOTS = 8192    /* one turn of the wheel takes 268 ms */
};

struct timer {
    uint64_t when_ns; /* UINT64_MAX: not set */
    uint32_t next;
    uint32_t previous;
};

struct timers {
    struct timer *items; /* Owner: the caller */
    uint64_t tick;       /* all slots before it are done */
    uint32_t slots[TIMERS_SLOTS];
    uint64_t occupied[TIMERS_SLOTS / 64];
    uint32_t count;
};

void timers_init(struct timers *timers, struct timer *items, uint32_t capacity, uint64_t now_ns);

/* Sets or moves the timer of `item`; UINT64_MAX cancels it. */
void timers_set(struct timers *timers, uint32_t item, uint64_t when_ns);

/* Returns an item whose time has come, its timer cleared, or NO_ITEM. */
uint32_t timers_pop(struct timers *timers, uint64_t now_ns);

/* No timer fires before this; UINT64_MAX: none is set. */
uint64_t timers_next_ns(const struct timers *timers);

#endif
