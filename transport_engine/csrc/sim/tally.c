/* Counts of values in logarithmic bins. */
#include "sim/tally.h"

static uint32_t bin_of(uint64_t value) {
    if (value < 2 * TALLY_PARTS) {
        return (uint32_t)value;
    }
    uint32_t shift = 63 - (uint32_t)__builtin_clzll(value) - TALLY_PART_BITS;
    return (shift + 1) * TALLY_PARTS + ((uint32_t)(value >> shift) & (TALLY_PARTS - 1));
}

/* The middle of a bin. */
static uint64_t value_of(uint32_t bin) {
    if (bin < 2 * TALLY_PARTS) {
        return bin;
    }
    uint32_t shift = bin / TALLY_PARTS - 1;
    uint64_t low = (uint64_t)(TALLY_PARTS + bin % TALLY_PARTS) << shift;
    return low + ((UINT64_C(1) << shift) >> 1);
}

void tally_add(struct tally *tally, uint64_t value) {
    tally->count++;
    tally->counts[bin_of(value)]++;
    if (value > tally->max) {
        tally->max = value;
    }
}

/* The value that `share` thousandths of all do not exceed. */
static uint64_t quantile(const struct tally *tally, uint64_t share) {
    uint64_t rank = (tally->count * share + 999) / 1000;
    uint64_t seen = 0;
    for (uint32_t bin = 0; bin < TALLY_COUNTS; bin++) {
        seen += tally->counts[bin];
        if (seen >= rank && seen > 0) {
            uint64_t value = value_of(bin);
            return value < tally->max ? value : tally->max;
        }
    }
    return 0;
}

struct te_sim_quantiles tally_quantiles(const struct tally *tally) {
    return (struct te_sim_quantiles){tally->count, quantile(tally, 500), quantile(tally, 990),
                                     quantile(tally, 999), tally->max};
}
