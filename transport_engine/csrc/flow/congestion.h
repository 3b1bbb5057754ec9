/* Congestion control: events in, a window out.
 *
 * An algorithm sees acknowledgements, losses and timeouts; it does not see packets or messages.
 * Integer arithmetic only, so that traces are equal on every machine.
 */
#ifndef FLOW_CONGESTION_H
#define FLOW_CONGESTION_H

#include <stdbool.h>
#include <stdint.h>

enum { WINDOW_FRACTION_BITS = 8, WINDOW_INITIAL_PACKETS = 16 };

/* Bounds of what is admitted, by where the machines stand. */
enum profile { PROFILE_RACK = 0, PROFILE_CLOUD = 1 };

struct congestion_ack {
    uint64_t now_ns;
    uint64_t rtt_ns;     /* latest sample, less the peer's own delay */
    uint64_t rtt_min_ns;
    uint64_t srtt_ns;
    uint32_t acked_bytes;
    bool is_limited; /* the window, not the application, limited what was in flight */
};

struct congestion;

struct congestion_ops {
    const char *name;
    void (*init)(struct congestion *congestion);
    void (*acked)(struct congestion *congestion, const struct congestion_ack *ack);
    /* Once for a burst of losses. `sent_ns`: of the newest packet lost. */
    void (*lost)(struct congestion *congestion, uint64_t now_ns, uint64_t sent_ns,
                 uint64_t srtt_ns);
    void (*timed_out)(struct congestion *congestion, uint64_t now_ns);
};

struct congestion {
    const struct congestion_ops *ops;
    uint64_t window; /* bytes, with WINDOW_FRACTION_BITS of fraction; may be below one packet */
    uint32_t packet_bytes;
    uint8_t profile; /* enum profile */
    bool is_slow_start;
    uint8_t timeouts_in_row;
    uint64_t reduced_ns; /* of the last reduction */
};

/* NULL: no algorithm of that name. */
const struct congestion_ops *congestion_find(const char *name);

static inline uint64_t congestion_window_bytes(const struct congestion *congestion) {
    return congestion->window >> WINDOW_FRACTION_BITS;
}

extern const struct congestion_ops congestion_fixed;
extern const struct congestion_ops congestion_swift;

#endif
