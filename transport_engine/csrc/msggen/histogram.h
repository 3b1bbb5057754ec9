/* Counts of durations in buckets whose width is a 64th of their value, or less.
 *
 * Source: the layout of HdrHistogram (G. Tene): linear within each power of two.
 */
#ifndef MSGGEN_HISTOGRAM_H
#define MSGGEN_HISTOGRAM_H

#include <stdint.h>
#include <string.h>

enum histogram_limit {
    HISTOGRAM_STEP_BITS = 6,
    HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS, /* in each power of two */
    HISTOGRAM_VALUE_BITS = 40, /* longer than 18 minutes counts as that */
    HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS
};

struct histogram {
    uint64_t total;
    uint64_t counts[HISTOGRAM_BUCKETS];
};

static inline uint32_t histogram_bucket(uint64_t value) {
    if (value < HISTOGRAM_STEPS) {
        return (uint32_t)value;
    }
    if (value >> HISTOGRAM_VALUE_BITS != 0) {
        return HISTOGRAM_BUCKETS - 1;
    }
    uint32_t shift = (uint32_t)(63 - __builtin_clzll(value)) - HISTOGRAM_STEP_BITS;
    return shift * HISTOGRAM_STEPS + (uint32_t)(value >> shift);
}

/* The largest value that a bucket counts. */
static inline uint64_t histogram_value(uint32_t bucket) {
    if (bucket < HISTOGRAM_STEPS) {
        return bucket;
    }
    uint32_t shift = bucket / HISTOGRAM_STEPS - 1;
    uint64_t step = bucket % HISTOGRAM_STEPS + HISTOGRAM_STEPS;
    return ((step + 1) << shift) - 1;
}

static inline void histogram_add(struct histogram *histogram, uint64_t value) {
    histogram->counts[histogram_bucket(value)]++;
    histogram->total++;
}

/* The least value that `ppm` parts per million of all do not exceed; 0 of an empty one. */
static inline uint64_t histogram_at(const struct histogram *histogram, uint32_t ppm) {
    uint64_t below = 0;
    /* Rounded up, and without an overflow up to 2^44 values. */
    uint64_t rank = (histogram->total * ppm + 999999) / 1000000;
    rank = rank == 0 ? 1 : rank;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        below += histogram->counts[i];
        if (below >= rank) {
            return histogram_value(i);
        }
    }
    return 0;
}

static inline void histogram_clear(struct histogram *histogram) {
    memset(histogram, 0, sizeof *histogram);
}

#endif
