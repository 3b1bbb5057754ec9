/* How often which values occurred, for quantiles that are exact to half a percent.
 *
 * Shape: values below 256 each have a count; above, each power of two is cut into 128 parts.
 * Source: the layout of G. Tene's HdrHistogram, with a fixed precision.
 */
#ifndef SIM_TALLY_H
#define SIM_TALLY_H

#include <stdint.h>

#include "transport_sim.h"

enum tally_limit { TALLY_PART_BITS = 7, TALLY_PARTS = 1 << TALLY_PART_BITS,
                   TALLY_COUNTS = (64 - TALLY_PART_BITS + 1) * TALLY_PARTS };

struct tally {
    uint64_t count;
    uint64_t max;
    uint32_t counts[TALLY_COUNTS];
};

void tally_add(struct tally *tally, uint64_t value);
struct te_sim_quantiles tally_quantiles(const struct tally *tally);

#endif
