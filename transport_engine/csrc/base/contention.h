/* Whether others are so busy on a processor that nobody should spin there.
 *
 * Who takes as much of a processor as there is loses it when its time is over, for as long as those
 * who are busy are let run: some milliseconds. That is fair, and each has its turns. But a yield,
 * too, goes to them for as long: whoever waits for an answer gives all of its time away. Then it is
 * better to sleep, since who is woken has the processor at once. So where it was lost as soon as it
 * was had, that is done for a while; then spinning is tried again, which costs two such losses, and
 * ever more seldom. A guess of one thread, which tells it what the clocks say.
 */
#ifndef BASE_CONTENTION_H
#define BASE_CONTENTION_H

#include <stdbool.h>
#include <stdint.h>

enum contention_limit {
    CONTENTION_LOST_NS = 1000000,  /* nobody who is waited for is let run so long */
    CONTENTION_SHARE = 4,          /* who has less than a fifth has it too seldom */
    CONTENTION_NS_MIN = 20000000,  /* so long it is believed at first, ... */
    CONTENTION_NS_MAX = 1000000000 /* ... and twice as long each time that it is found again soon */
};

struct contention {
    uint64_t until_ns; /* on CLOCK_MONOTONIC */
    uint64_t for_ns;
    uint64_t used_ns; /* of the processor by this thread, when it lost it last */
};

static inline bool contention_is_on(const struct contention *contention, uint64_t now_ns) {
    return now_ns < contention->until_ns;
}

/* Whether the processor was lost during a look, or a yield, that had no reason to last. */
static inline bool contention_has_lost(uint64_t before_ns, uint64_t now_ns) {
    return now_ns - before_ns >= CONTENTION_LOST_NS;
}

/* After it was lost for so long; `used_ns` is the processor's time that this thread has had. */
static inline void contention_learn(struct contention *contention, uint64_t lost_ns,
                                    uint64_t used_ns, uint64_t now_ns) {
    const uint64_t had_ns = used_ns - contention->used_ns;
    contention->used_ns = used_ns;
    if (had_ns * CONTENTION_SHARE >= lost_ns) {
        return;
    }
    const bool is_soon = now_ns <= contention->until_ns + contention->for_ns;
    const uint64_t for_ns = is_soon ? 2 * contention->for_ns : CONTENTION_NS_MIN;
    contention->for_ns = for_ns < CONTENTION_NS_MAX ? for_ns : CONTENTION_NS_MAX;
    contention->until_ns = now_ns + contention->for_ns;
}

#endif
