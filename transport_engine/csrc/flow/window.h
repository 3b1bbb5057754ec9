/* Which of a growing sequence of message ids are done: all below a base, and some above it.
 *
 * Shape: MESSAGE_WINDOW ids from the base on; ids never wrap (64 bits).
 */
#ifndef FLOW_WINDOW_H
#define FLOW_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "flow/packet.h"

struct window {
    uint64_t base; /* the lowest id that is not done */
    uint64_t done[MESSAGE_WINDOW / 64];
};

static inline bool window_admits(const struct window *window, uint64_t id) {
    return id < window->base || id - window->base < MESSAGE_WINDOW;
}

static inline bool window_is_done(const struct window *window, uint64_t id) {
    uint32_t slot = (uint32_t)(id % MESSAGE_WINDOW);
    return id < window->base || (window->done[slot / 64] >> (slot % 64) & 1);
}

/* The caller knows that the window admits `id`. */
static inline void window_finish(struct window *window, uint64_t id) {
    uint32_t slot = (uint32_t)(id % MESSAGE_WINDOW);
    window->done[slot / 64] |= UINT64_C(1) << (slot % 64);
    while (true) {
        uint32_t base_slot = (uint32_t)(window->base % MESSAGE_WINDOW);
        uint64_t bit = UINT64_C(1) << (base_slot % 64);
        if (!(window->done[base_slot / 64] & bit)) {
            return;
        }
        window->done[base_slot / 64] &= ~bit;
        window->base++;
    }
}

#endif
