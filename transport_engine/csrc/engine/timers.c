/* A hashed timing wheel with a bitmap of its slots. */
#include "engine/timers.h"

#include <stdbool.h>

#include "base/pool.h"

static uint32_t slot_of(uint64_t when_ns) {
    return (uint32_t)((when_ns >> TIMERS_TICK_BITS) % TIMERS_SLOTS);
}

void timers_init(struct timers *timers, struct timer *items, uint32_t capacity, uint64_t now_ns) {
    timers->items = items;
    timers->tick = now_ns >> TIMERS_TICK_BITS;
    timers->count = 0;
    memset(timers->occupied, 0, sizeof timers->occupied);
    for (uint32_t i = 0; i < TIMERS_SLOTS; i++) {
        timers->slots[i] = NO_ITEM;
    }
    for (uint32_t i = 0; i < capacity; i++) {
        items[i] = (struct timer){UINT64_MAX, NO_ITEM, NO_ITEM};
    }
}

static void unlink_timer(struct timers *timers, uint32_t item) {
    struct timer *timer = &timers->items[item];
    uint32_t slot = slot_of(timer->when_ns);
    if (timer->previous == NO_ITEM) {
        timers->slots[slot] = timer->next;
    } else {
        timers->items[timer->previous].next = timer->next;
    }
    if (timer->next != NO_ITEM) {
        timers->items[timer->next].previous = timer->previous;
    }
    if (timers->slots[slot] == NO_ITEM) {
        timers->occupied[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    }
    timer->when_ns = UINT64_MAX;
    timers->count--;
}

void timers_set(struct timers *timers, uint32_t item, uint64_t when_ns) {
    struct timer *timer = &timers->items[item];
    if (timer->when_ns != UINT64_MAX) {
        unlink_timer(timers, item);
    }
    if (when_ns == UINT64_MAX) {
        return;
    }
    uint64_t start_ns = timers->tick << TIMERS_TICK_BITS;
    timer->when_ns = when_ns > start_ns ? when_ns : start_ns; /* the past is now */
    uint32_t slot = slot_of(timer->when_ns);
    timer->previous = NO_ITEM;
    timer->next = timers->slots[slot];
    if (timer->next != NO_ITEM) {
        timers->items[timer->next].previous = item;
    }
    timers->slots[slot] = item;
    timers->occupied[slot / 64] |= UINT64_C(1) << (slot % 64);
    timers->count++;
}

/* The distance in slots from `slot` to the first occupied one, at most TIMERS_SLOTS. */
static uint32_t distance_to_occupied(const struct timers *timers, uint32_t slot) {
    uint64_t word = timers->occupied[slot / 64] >> (slot % 64);
    if (word != 0) {
        return (uint32_t)__builtin_ctzll(word);
    }
    uint32_t distance = 64 - slot % 64;
    while (distance < TIMERS_SLOTS) {
        word = timers->occupied[(slot + distance) % TIMERS_SLOTS / 64];
        if (word != 0) {
            return distance + (uint32_t)__builtin_ctzll(word);
        }
        distance += 64;
    }
    return TIMERS_SLOTS;
}

uint32_t timers_pop(struct timers *timers, uint64_t now_ns) {
    uint64_t now_tick = now_ns >> TIMERS_TICK_BITS;
    if (timers->count == 0) {
        timers->tick = now_tick > timers->tick ? now_tick : timers->tick;
        return NO_ITEM;
    }
    while (true) {
        uint32_t slot = (uint32_t)(timers->tick % TIMERS_SLOTS);
        for (uint32_t item = timers->slots[slot]; item != NO_ITEM;
             item = timers->items[item].next) {
            if (timers->items[item].when_ns <= now_ns) {
                unlink_timer(timers, item);
                return item;
            }
        }
        if (timers->tick >= now_tick) {
            return NO_ITEM;
        }
        uint64_t skip = 1 + distance_to_occupied(timers, (slot + 1) % TIMERS_SLOTS);
        timers->tick = timers->tick + skip < now_tick ? timers->tick + skip : now_tick;
    }
}

uint64_t timers_next_ns(const struct timers *timers) {
    if (timers->count == 0) {
        return UINT64_MAX;
    }
    uint32_t slot = (uint32_t)(timers->tick % TIMERS_SLOTS);
    uint64_t tick = timers->tick + distance_to_occupied(timers, slot);
    uint64_t earliest_ns = UINT64_MAX;
    slot = (uint32_t)(tick % TIMERS_SLOTS);
    for (uint32_t item = timers->slots[slot]; item != NO_ITEM; item = timers->items[item].next) {
        uint64_t when_ns = timers->items[item].when_ns;
        earliest_ns = when_ns < earliest_ns ? when_ns : earliest_ns;
    }
    /* All of this slot may be for a later turn of the wheel; others may then come before it. */
    uint64_t slot_end_ns = (tick + 1) << TIMERS_TICK_BITS;
    return earliest_ns < slot_end_ns ? earliest_ns : slot_end_ns;
}
