/* A rate in units a second, kept as the time at which it is next kept to.
 *
 * Shape: whoever has been idle may catch up by a bounded burst; one that took more than was there
 * waits until time has paid for it. Units: nanoseconds; a unit is a byte, a message or whatever the
 * caller counts. The division is done when the rate is set, not for each unit.
 * Source: the generic cell rate algorithm as virtual scheduling, ITU-T I.371 §A.1
 */
#ifndef BASE_BUCKET_H
#define BASE_BUCKET_H

#include <stdint.h>

enum { BUCKET_FRACTION_BITS = 24, BUCKET_BURST_NS = 10000000 };

struct bucket {
    uint64_t next_ns;     /* what was taken is paid for by then */
    uint64_t ns_per_unit; /* with BUCKET_FRACTION_BITS of fraction; 0: no limit */
};

static inline void bucket_set_rate(struct bucket *bucket, uint64_t units_per_second) {
    uint64_t second = UINT64_C(1000000000) << BUCKET_FRACTION_BITS;
    bucket->ns_per_unit = units_per_second == 0 ? 0 : second / units_per_second;
}

/* Shape: units * ns_per_unit < 2^64; 2^17 units at a rate of at least 1000 a second are fine. */
static inline void bucket_take(struct bucket *bucket, uint64_t now_ns, uint64_t units) {
    if (bucket->ns_per_unit == 0) {
        return;
    }
    uint64_t earliest_ns = now_ns > BUCKET_BURST_NS ? now_ns - BUCKET_BURST_NS : 0;
    if (bucket->next_ns < earliest_ns) {
        bucket->next_ns = earliest_ns;
    }
    bucket->next_ns += (units * bucket->ns_per_unit) >> BUCKET_FRACTION_BITS;
}

#endif
