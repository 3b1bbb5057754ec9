/* Swift: a delay target, additive increase, multiplicative decrease, windows below one packet.
 *
 * Source: G. Kumar et al., "Swift: Delay is Simple and Effective for Congestion Control in the
 * Datacenter", SIGCOMM 2020, §3.1 (window), §3.3 (target scaling), algorithm 1. The start is ours:
 * the window doubles each round trip until the delay first reaches the target.
 */
#include "flow/congestion.h"

enum swift_constant {
    BETA_256 = 205,            /* 0.8: weight of the excess delay */
    DECREASE_MAX_256 = 128,    /* 0.5: largest cut for delay or loss */
    TIMEOUTS_BEFORE_RESET = 3,  /* then the window falls to one packet */
    LOSS_PACKETS_MIN = 4,       /* losses alone never push the window below this */
    CLOUD_PACKETS_MIN = 10,     /* what any TCP may send at once (RFC 6928): hosts are noisier */
    LOSS_DECREASE_MIN_256 = 16, /* 1/16: cut for a lone loss; twice the share lost for more */
    RACK_TARGET_NS = 25000,    /* queueing admitted above the smallest round trip */
    CLOUD_TARGET_NS = 500000,  /* hosts of a cloud are noisier than their network */
    SCALING_RANGE_NS = 100000 /* added for flows with small windows */
};

static uint64_t packets(const struct congestion *congestion, uint32_t count) {
    return ((uint64_t)count * congestion->packet_bytes) << WINDOW_FRACTION_BITS;
}

/* A hundredth of a packet in a rack, so that a thousand senders may share a port. Only delay
 * leads there: a lost packet says little of how long the queue is. */
static uint64_t window_min(const struct congestion *congestion) {
    return congestion->profile == PROFILE_RACK ? packets(congestion, 1) / 100
                                               : packets(congestion, CLOUD_PACKETS_MIN);
}

static uint64_t window_max(void) {
    return (UINT64_C(64) << 20) << WINDOW_FRACTION_BITS;
}

static void clamp(struct congestion *congestion) {
    if (congestion->window < window_min(congestion)) {
        congestion->window = window_min(congestion);
    }
    if (congestion->window > window_max()) {
        congestion->window = window_max();
    }
}

static void init(struct congestion *congestion) {
    congestion->window = packets(congestion, WINDOW_INITIAL_PACKETS);
    congestion->is_slow_start = true;
}

static uint64_t root(uint64_t value) {
    uint64_t estimate = value;
    uint64_t next = (value + 1) / 2;
    while (next < estimate) {
        estimate = next;
        next = (estimate + value / estimate) / 2;
    }
    return estimate;
}

/* Smaller windows mean more flows at the bottleneck, and more queue from their bursts: the target
 * grows by range / sqrt(window in packets), at most by the range (§3.3). */
static uint64_t target_ns(const struct congestion *congestion, uint64_t rtt_min_ns) {
    uint64_t packets_256 = congestion->window / congestion->packet_bytes;
    uint64_t root_16 = root(packets_256); /* sqrt(packets) with 4 bits of fraction */
    uint64_t scaled_ns = root_16 <= 16 ? SCALING_RANGE_NS : SCALING_RANGE_NS * 16 / root_16;
    uint64_t base_ns = congestion->profile == PROFILE_RACK ? RACK_TARGET_NS : CLOUD_TARGET_NS;
    return rtt_min_ns + base_ns + scaled_ns;
}

static void increase(struct congestion *congestion, uint32_t acked_bytes) {
    uint64_t acked = (uint64_t)acked_bytes << WINDOW_FRACTION_BITS;
    uint64_t packet = packets(congestion, 1);
    if (congestion->is_slow_start) {
        congestion->window += acked;
    } else if (congestion->window >= packet) {
        congestion->window += acked * packet / congestion->window;
    } else {
        congestion->window += acked;
    }
}

static void decrease(struct congestion *congestion, uint64_t now_ns, uint64_t cut_256) {
    if (cut_256 > DECREASE_MAX_256) {
        cut_256 = DECREASE_MAX_256;
    }
    congestion->window -= congestion->window * cut_256 / 256;
    congestion->reduced_ns = now_ns;
}

static void acked(struct congestion *congestion, const struct congestion_ack *ack) {
    uint64_t limit_ns = target_ns(congestion, ack->rtt_min_ns);
    congestion->timeouts_in_row = 0;
    if (ack->rtt_ns < limit_ns) {
        if (ack->is_limited) {
            increase(congestion, ack->acked_bytes);
        }
    } else {
        congestion->is_slow_start = false;
        if (ack->now_ns >= congestion->reduced_ns + ack->srtt_ns) {
            decrease(congestion, ack->now_ns,
                     BETA_256 * (ack->rtt_ns - limit_ns) / ack->rtt_ns);
        }
    }
    clamp(congestion);
}

static void decrease_for_loss(struct congestion *congestion, uint64_t now_ns, uint64_t cut_256) {
    if (congestion->window > packets(congestion, LOSS_PACKETS_MIN)) {
        congestion->prior_window = congestion->window;
        decrease(congestion, now_ns, cut_256);
    }
}

/* Delay has told of a queue before it overflows, so a loss is most often noise: it costs as much
 * as it says. Few lost packets cost little; a burst of them halves the window, as in the paper. */
static void lost(struct congestion *congestion, const struct congestion_loss *loss) {
    bool is_old = loss->sent_ns < congestion->reduced_ns ||
                  loss->now_ns < congestion->reduced_ns + loss->srtt_ns;
    if (!is_old) {
        uint64_t cut_256 =
            2 * (loss->lost_bytes << (8 + WINDOW_FRACTION_BITS)) / congestion->window;
        if (cut_256 >= DECREASE_MAX_256) {
            congestion->is_slow_start = false;
        }
        decrease_for_loss(congestion, loss->now_ns,
                          cut_256 > LOSS_DECREASE_MIN_256 ? cut_256 : LOSS_DECREASE_MIN_256);
    }
    clamp(congestion);
}

static void timed_out(struct congestion *congestion, uint64_t now_ns) {
    congestion->is_slow_start = false;
    if (++congestion->timeouts_in_row < TIMEOUTS_BEFORE_RESET) {
        decrease_for_loss(congestion, now_ns, DECREASE_MAX_256);
    } else if (congestion->window > packets(congestion, 1)) {
        congestion->timeouts_in_row = 0;
        congestion->window = packets(congestion, 1);
    }
    clamp(congestion);
}

const struct congestion_ops congestion_swift = {"swift", init, acked, lost, timed_out};
