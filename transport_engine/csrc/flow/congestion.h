/* Congestion control: events in, a window out.
 *
 * An algorithm sees acknowledgements, losses and timeouts; it does not see packets or messages.
 * Integer arithmetic only, so that traces are equal on every machine.
 */
#ifndef FLOW_CONGESTION_H
#define FLOW_CONGESTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

enum congestion_constant {
    WINDOW_FRACTION_BITS = 8,
    INITIAL_PACKETS_MAX = 10, /* RFC 6928 §2, these three */
    INITIAL_PACKETS_MIN = 2,
    INITIAL_BYTES = 14600
};

/* Bounds of what is admitted, by where the machines stand. */
enum profile { PROFILE_RACK = 0, PROFILE_CLOUD = 1 };

struct congestion_ack {
    uint64_t now_ns;
    uint64_t rtt_ns;     /* latest sample of the path, without what the hosts held it */
    uint64_t rtt_min_ns;
    uint64_t srtt_ns;
    uint32_t acked_bytes;
    uint16_t marked_packets; /* newly reported with the ECN mark CE */
    bool is_rtt_min_stale; /* out: the smallest round trip is out of date; start anew */
    bool is_limited; /* the window, not the application, limited what was in flight */
};

/* One detection of losses, of one or many packets. */
struct congestion_loss {
    uint64_t now_ns;
    uint64_t sent_ns; /* of the newest packet lost */
    uint64_t srtt_ns;
    uint64_t lost_bytes;
};

struct congestion;

struct congestion_ops {
    const char *name;
    void (*init)(struct congestion *congestion);
    void (*acked)(struct congestion *congestion, struct congestion_ack *ack);
    void (*lost)(struct congestion *congestion, const struct congestion_loss *loss);
    void (*timed_out)(struct congestion *congestion, uint64_t now_ns);
};

/* What Swift remembers, most of it of the present round trip. */
struct swift {
    uint64_t target_ns; /* of queueing delay, at the latest acknowledgement */
    uint64_t target_key; /* window and smallest round trip that it follows from; 0: unknown */
    uint64_t round_end_ns;
    uint64_t round_min_ns; /* smallest round trip */
    uint64_t acked_bytes;  /* these two since losses were last weighed */
    uint64_t lost_bytes;
    uint64_t passed_bytes;   /* acknowledged in the period before */
    uint64_t earlier_window; /* before the last reduction */
    uint64_t yielded_window; /* at the end of the last round that had a packet in time */
    uint64_t rival_since_ns; /* since when CUBIC is at the wheel; 0: it is not */
    uint64_t floor_ns; /* when the first of floor_samples came */
    uint64_t noise_ns; /* a round trip that is no sign of a queue ... */
    uint64_t noise_until_ns; /* ... until then */
    uint8_t floor_samples; /* in a row with a window of one packet or less; as many as matter */
    uint8_t calm_rounds;   /* in a row with all delays calm; as many as matter */
    uint8_t rival_rounds;  /* in a row with delays that no flow like us aims at */
    bool is_calm;
    bool is_queued;   /* the latest packet found a queue of half the target or more */
    bool is_floor_late; /* all of floor_samples were late */
    bool is_loss_old; /* all that was lost was sent before the last reduction */
};

/* What CUBIC remembers; windows as in struct congestion. */
struct cubic {
    uint64_t window_max; /* before the last reduction */
    uint64_t origin;     /* where the cubic's plateau lies */
    uint64_t friendly;   /* what TCP Reno would have */
    uint64_t epoch_ns;   /* when growth began; 0: with the next acknowledgement */
    uint64_t k_ms;       /* from there to the plateau */
    uint64_t round_end_ns;
    uint64_t round_min_ns, last_min_ns, css_baseline_ns;
    uint32_t round_samples;
    uint8_t css_rounds; /* of conservative slow start; 0: not in it */
};

struct congestion {
    const struct congestion_ops *ops;
    uint64_t window; /* bytes, with WINDOW_FRACTION_BITS of fraction; may be below one packet */
    uint32_t packet_bytes;
    uint8_t profile; /* enum profile */
    bool is_slow_start;
    uint64_t reduced_ns; /* of the last reduction */
    struct swift swift;
    struct cubic cubic;
    uint64_t prior_window; /* before the last reduction for losses; 0: nothing to undo */
};

static const uint64_t congestion_window_max = (UINT64_C(64) << 20) << WINDOW_FRACTION_BITS;

/* NULL: no algorithm of that name. */
const struct congestion_ops *congestion_find(const char *name);

/* Takes back the last reduction for losses: none of those packets was lost. */
static inline void congestion_undo(struct congestion *congestion) {
    if (congestion->prior_window > congestion->window) {
        congestion->window = congestion->prior_window;
    }
    congestion->prior_window = 0;
}

static inline uint64_t congestion_window_bytes(const struct congestion *congestion) {
    return congestion->window >> WINDOW_FRACTION_BITS;
}

/* The window of a flow that knows nothing of its path (RFC 6928 §2). */
static inline uint64_t congestion_initial_window(const struct congestion *congestion) {
    uint64_t packet_bytes = congestion->packet_bytes;
    uint64_t bytes = within_u64(INITIAL_BYTES, INITIAL_PACKETS_MIN * packet_bytes,
                                INITIAL_PACKETS_MAX * packet_bytes);
    return bytes << WINDOW_FRACTION_BITS;
}

/* Goes on as CUBIC from the present window. */
void cubic_join(struct congestion *congestion);

extern const struct congestion_ops congestion_cubic;
extern const struct congestion_ops congestion_fixed;
extern const struct congestion_ops congestion_swift;

#endif
