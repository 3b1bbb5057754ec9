/* When a spinning engine offers its processor to others.
 *
 * At once if it delivered something, since an application has work then; else after polls in vain,
 * the more of them the longer such offers came to nothing. A switch there and back takes longer
 * than many polls. Does not know the clock, nor when to sleep.
 */
#ifndef ENGINE_COURTESY_H
#define ENGINE_COURTESY_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "transport_engine.h"

enum courtesy_limit {
    COURTESY_POLLS = 64,     /* that find nothing before an offer ... */
    COURTESY_POLLS_MAX = 256 /* ... doubled for as long as nobody has a use for it */
};

struct courtesy {
    uint64_t delivered; /* messages that applications had the processor for */
    uint64_t sent;      /* by applications, when the last offer was made */
    uint32_t patience;  /* polls in vain before an offer */
    bool is_offered;
};

static inline void courtesy_init(struct courtesy *courtesy) {
    *courtesy = (struct courtesy){.patience = COURTESY_POLLS};
}

/* After a poll: whether the processor was of use to an application that it had been offered to. */
static inline void courtesy_learn(struct courtesy *courtesy, const struct te_stats *stats) {
    if (courtesy->is_offered && courtesy->sent != stats->messages_sent) {
        courtesy->patience = COURTESY_POLLS;
    } else if (courtesy->is_offered && courtesy->patience < COURTESY_POLLS_MAX) {
        courtesy->patience *= 2;
    }
    courtesy->is_offered = false;
}

static inline void courtesy_offer(struct courtesy *courtesy, const struct te_stats *stats,
                                  uint32_t idle_count) {
    if (courtesy->delivered != stats->messages_received) {
        courtesy->delivered = stats->messages_received;
        sched_yield();
    } else if (idle_count % courtesy->patience == 0) {
        courtesy->is_offered = true;
        courtesy->sent = stats->messages_sent;
        sched_yield();
    }
}

#endif
