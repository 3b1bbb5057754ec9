/* Spreads packets over time at a rate that follows window and round trip.
 *
 * Shape: an ideal send time that each packet moves on; a sender that was idle may catch up by a
 * bounded burst. Units: nanoseconds, bytes. The division is done when the rate changes, not for
 * each packet.
 */
#ifndef FLOW_PACER_H
#define FLOW_PACER_H

#include <stdbool.h>
#include <stdint.h>

enum { PACER_BURST_BYTES = 16384, PACER_FRACTION_BITS = 16 };

struct pacer {
    uint64_t next_ns;
    uint64_t ns_per_byte; /* with PACER_FRACTION_BITS of fraction */
    uint64_t burst_ns;
};

static inline void pacer_init(struct pacer *pacer) {
    *pacer = (struct pacer){0, 0, 0};
}

/* What the rate follows from. */
struct pace {
    uint64_t window_bytes;
    uint64_t srtt_ns;
    uint32_t packet_bytes;
    uint64_t burst_bytes; /* that may leave at once after a pause */
    bool is_slow_start;
};

/* A quarter above window / srtt, twice it while the window still doubles, so that pacing never
 * limits what the window admits (RFC 9002 §7.7). */
static inline void pacer_set_rate(struct pacer *pacer, const struct pace *pace) {
    uint64_t gain_quarters = pace->is_slow_start ? 8 : 5;
    uint64_t bytes_x_gain = pace->window_bytes * gain_quarters / 4;
    if (bytes_x_gain == 0) {
        bytes_x_gain = 1;
    }
    pacer->ns_per_byte = (pace->srtt_ns << PACER_FRACTION_BITS) / bytes_x_gain;
    pacer->burst_ns = (pacer->ns_per_byte * pace->burst_bytes) >> PACER_FRACTION_BITS;
    if (pace->window_bytes < pace->packet_bytes) {
        pacer->burst_ns = 0; /* a window below one packet is a gap between packets */
    }
}

static inline void pacer_sent(struct pacer *pacer, uint64_t now_ns, uint32_t size_bytes) {
    uint64_t earliest_ns = now_ns > pacer->burst_ns ? now_ns - pacer->burst_ns : 0;
    if (pacer->next_ns < earliest_ns) {
        pacer->next_ns = earliest_ns;
    }
    pacer->next_ns += (size_bytes * pacer->ns_per_byte) >> PACER_FRACTION_BITS;
}

#endif
