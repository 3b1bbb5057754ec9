/* When a spinning engine offers its processor to others.
 *
 * At once if it delivered something, since an application has work then; else after some time in
 * vain, the longer the more such offers came to nothing. It goes by time, not by polls: one poll
 * takes 60 ns in memory and 1 µs where it asks the kernel. Reads no clock; does not know when to
 * sleep.
 */
#ifndef ENGINE_COURTESY_H
#define ENGINE_COURTESY_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "transport_engine.h"

enum courtesy_limit {
    COURTESY_NS = 4000,     /* that bring nothing before an offer ... */
    COURTESY_NS_MAX = 16000 /* ... doubled for as long as nobody has a use for it */
};

struct courtesy {
    uint64_t delivered;  /* messages that applications had the processor for */
    uint64_t sent;       /* by applications, when the last offer was made */
    uint64_t since_ns;   /* when something moved, or the last offer was made */
    uint64_t patience_ns; /* COURTESY_NS at first */
    uint64_t last_ns;    /* what had moved last when it was offered before a sleep */
    bool is_offered;
};

/* After a poll: whether the processor was of use to an application that it had been offered to. */
static inline void courtesy_learn(struct courtesy *courtesy, const struct te_stats *stats) {
    if (courtesy->is_offered && courtesy->sent != stats->messages_sent) {
        courtesy->patience_ns = COURTESY_NS;
    } else if (courtesy->is_offered && courtesy->patience_ns < COURTESY_NS_MAX) {
        courtesy->patience_ns *= 2;
    }
    courtesy->is_offered = false;
}

/* After a poll at `now_ns` that moved nothing; `active_ns` is when one last did. */
static inline void courtesy_offer(struct courtesy *courtesy, const struct te_stats *stats,
                                  uint64_t now_ns, uint64_t active_ns) {
    if (courtesy->since_ns < active_ns) {
        courtesy->since_ns = active_ns;
    }
    if (courtesy->delivered != stats->messages_received) {
        courtesy->delivered = stats->messages_received;
        courtesy->since_ns = now_ns;
        sched_yield();
    } else if (now_ns - courtesy->since_ns >= courtesy->patience_ns) {
        courtesy->is_offered = true;
        courtesy->sent = stats->messages_sent;
        courtesy->since_ns = now_ns;
        sched_yield();
    }
}

/* Before a sleep: false once for each time that something moved. Whoever has work for the engine
 * may wait for its processor, and need not wake it then. */
static inline bool courtesy_last(struct courtesy *courtesy, uint64_t active_ns) {
    if (courtesy->last_ns == active_ns) {
        return true;
    }
    courtesy->last_ns = active_ns;
    sched_yield();
    return false;
}

#endif
