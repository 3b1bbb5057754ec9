/* Swift: a delay target, additive increase, multiplicative decrease, windows below one packet.
 *
 * Source: G. Kumar et al., "Swift: Delay is Simple and Effective for Congestion Control in the
 * Datacenter", SIGCOMM 2020, §3.1 (window), §3.3 (target scaling), algorithm 1. Ours: the start,
 * which doubles the window each round trip until delay or loss speaks; growth by a share of the
 * window once five rounds were calm (after TIMELY's hyperactive increase: Mittal et al., SIGCOMM
 * 2015, §4.3); and losses that cost what they say, below.
 */
#include "flow/congestion.h"

enum swift_constant {
    BETA_256 = 205,         /* 0.8: weight of the excess delay */
    DECREASE_MAX_256 = 128, /* 0.5: largest cut */

    /* Queueing that is admitted above the smallest round trip: half of it, within these, so that
     * a queue of one BDP holds it and flows on long paths do not ask for more. Hosts of a cloud
     * are noisier than their network. */
    RACK_TARGET_MIN_NS = 2000,
    RACK_TARGET_MAX_NS = 25000,
    CLOUD_TARGET_MIN_NS = 200000,
    CLOUD_TARGET_MAX_NS = 500000,
    SCALING_MIN_NS = 2000, /* added for flows with small windows: a round trip, within these */
    SCALING_MAX_NS = 100000,
    BURST_PACKETS = 4, /* their time at the flow's own rate is admitted, too */

    CLOUD_PACKETS_MIN = 10, /* what any TCP may send at once (RFC 6928) */
    LOSS_PACKETS_MIN = 4,   /* losses alone never push the window below this */
    LOSS_NOISE_256 = 3,     /* 1.2 %: a share lost that is no sign of a queue */
    LOSS_HEAVY_256 = 26,    /* 10 %: one that is more than noise can be */
    CALM_SHIFT = 2,         /* a delay below a quarter of the target is calm */
    CALM_ROUNDS_MIN = 5,    /* before growth turns from steps to a share ... */
    CALM_GROWTH_SHIFT = 3,  /* ... of an eighth of the window in a round trip */
    FLOOR_NS = 1000000000   /* of excess delay at the smallest window: not our queue */
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

static void clamp(struct congestion *congestion) {
    uint64_t window_max = (UINT64_C(64) << 20) << WINDOW_FRACTION_BITS;
    if (congestion->window < window_min(congestion)) {
        congestion->window = window_min(congestion);
    }
    if (congestion->window > window_max) {
        congestion->window = window_max;
    }
}

static void init(struct congestion *congestion) {
    congestion->window = packets(congestion, WINDOW_INITIAL_PACKETS);
    congestion->is_slow_start = true;
    congestion->swift = (struct swift){.is_calm = true};
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

static uint64_t within(uint64_t value, uint64_t low, uint64_t high) {
    return value < low ? low : value > high ? high : value;
}

/* The queueing delay to aim at. Smaller windows mean more flows at the bottleneck, and more queue
 * from their bursts: it grows by range / sqrt(window in packets), at most by the range (§3.3). */
static uint64_t target_ns(const struct congestion *congestion, uint64_t rtt_min_ns) {
    uint64_t packets_256 = congestion->window / congestion->packet_bytes;
    uint64_t root_16 = root(packets_256); /* sqrt(packets) with 4 bits of fraction */
    uint64_t range_ns = within(rtt_min_ns, SCALING_MIN_NS, SCALING_MAX_NS);
    uint64_t scaled_ns = root_16 <= 16 ? range_ns : range_ns * 16 / root_16;
    uint64_t base_ns =
        congestion->profile == PROFILE_RACK
            ? within(rtt_min_ns / 2, RACK_TARGET_MIN_NS, RACK_TARGET_MAX_NS)
            : within(rtt_min_ns / 2, CLOUD_TARGET_MIN_NS, CLOUD_TARGET_MAX_NS);
    uint64_t burst_ns = BURST_PACKETS * 256 * rtt_min_ns / (packets_256 + 1);
    return base_ns + scaled_ns + (burst_ns < rtt_min_ns / 2 ? burst_ns : rtt_min_ns / 2);
}

static void increase(struct congestion *congestion, uint32_t acked_bytes) {
    uint64_t acked = (uint64_t)acked_bytes << WINDOW_FRACTION_BITS;
    uint64_t step = packets(congestion, 1);
    if (congestion->swift.calm_rounds >= CALM_ROUNDS_MIN &&
        step < congestion->window >> CALM_GROWTH_SHIFT) {
        step = congestion->window >> CALM_GROWTH_SHIFT;
    }
    if (congestion->is_slow_start || congestion->window < packets(congestion, 1)) {
        congestion->window += acked;
    } else {
        congestion->window += acked * (step >> WINDOW_FRACTION_BITS) /
                              (congestion->window >> WINDOW_FRACTION_BITS);
    }
}

static void decrease(struct congestion *congestion, uint64_t now_ns, uint64_t cut_256) {
    if (cut_256 > DECREASE_MAX_256) {
        cut_256 = DECREASE_MAX_256;
    }
    congestion->window -= congestion->window * cut_256 / 256;
    congestion->reduced_ns = now_ns;
}

static void decrease_for_loss(struct congestion *congestion, uint64_t now_ns, uint64_t cut_256) {
    congestion->is_slow_start = false;
    congestion->swift.calm_rounds = 0;
    if (congestion->window > packets(congestion, LOSS_PACKETS_MIN)) {
        congestion->prior_window = congestion->window;
        decrease(congestion, now_ns, cut_256);
    }
}

/* Delay tells of a queue before it overflows, so a lost packet is most often noise, and the share
 * that was lost in a round trip decides: little costs nothing, more costs three quarters of itself
 * (so that a link that loses one packet in twenty stays usable), and much, as of a queue too short
 * to delay or a policer, costs double. */
static void weigh_losses(struct congestion *congestion, uint64_t now_ns) {
    const struct swift *swift = &congestion->swift;
    uint64_t share_256 = swift->lost_bytes * 256 / (swift->acked_bytes + swift->lost_bytes + 1);
    if (share_256 >= LOSS_HEAVY_256) {
        decrease_for_loss(congestion, now_ns, 2 * share_256);
    } else if (share_256 >= LOSS_NOISE_256) {
        decrease_for_loss(congestion, now_ns, share_256 * 3 / 4);
    }
}

static void end_round(struct congestion *congestion, const struct congestion_ack *ack) {
    struct swift *swift = &congestion->swift;
    weigh_losses(congestion, ack->now_ns);
    swift->calm_rounds = swift->is_calm && ack->is_limited ? swift->calm_rounds + 1 : 0;
    swift->is_calm = true;
    swift->acked_bytes = 0;
    swift->lost_bytes = 0;
    swift->round_end_ns = ack->now_ns + ack->srtt_ns;
}

/* A window of one packet or less makes no queue. If the delay stays above the target all the same,
 * the path has become longer, and its smallest round trip must be learnt again. */
static void watch_floor(struct congestion *congestion, struct congestion_ack *ack, bool is_late) {
    struct swift *swift = &congestion->swift;
    bool is_at_floor = congestion->window <= window_min(congestion) ||
                       congestion->window <= packets(congestion, 1);
    if (!is_late || !is_at_floor) {
        swift->floor_ns = 0;
    } else if (swift->floor_ns == 0) {
        swift->floor_ns = ack->now_ns;
    } else if (ack->now_ns - swift->floor_ns >= FLOOR_NS) {
        swift->floor_ns = 0;
        ack->is_rtt_min_stale = true;
    }
}

static void acked(struct congestion *congestion, struct congestion_ack *ack) {
    uint64_t queue_ns = target_ns(congestion, ack->rtt_min_ns);
    uint64_t limit_ns = ack->rtt_min_ns + queue_ns;
    bool is_late = ack->rtt_ns >= limit_ns;
    congestion->swift.acked_bytes += ack->acked_bytes;
    congestion->swift.is_calm &= ack->rtt_ns < ack->rtt_min_ns + (queue_ns >> CALM_SHIFT);
    if (is_late) {
        congestion->is_slow_start = false;
        congestion->swift.calm_rounds = 0;
        if (ack->now_ns >= congestion->reduced_ns + ack->srtt_ns) {
            decrease(congestion, ack->now_ns,
                     BETA_256 * (ack->rtt_ns - limit_ns) / ack->rtt_ns);
        }
    } else if (ack->is_limited) {
        increase(congestion, ack->acked_bytes);
    }
    watch_floor(congestion, ack, is_late);
    if (ack->now_ns >= congestion->swift.round_end_ns) {
        end_round(congestion, ack);
    }
    clamp(congestion);
}

static void lost(struct congestion *congestion, const struct congestion_loss *loss) {
    congestion->swift.lost_bytes += loss->lost_bytes;
    bool is_flood = congestion->swift.lost_bytes << WINDOW_FRACTION_BITS >= congestion->window / 2;
    if (is_flood && loss->sent_ns >= congestion->reduced_ns &&
        loss->now_ns >= congestion->reduced_ns + loss->srtt_ns) {
        decrease_for_loss(congestion, loss->now_ns, DECREASE_MAX_256);
    }
    clamp(congestion);
}

static void timed_out(struct congestion *congestion, uint64_t now_ns) {
    decrease_for_loss(congestion, now_ns, DECREASE_MAX_256);
    if (congestion->window > packets(congestion, LOSS_PACKETS_MIN)) {
        congestion->window = packets(congestion, LOSS_PACKETS_MIN);
    }
    clamp(congestion);
}

const struct congestion_ops congestion_swift = {"swift", init, acked, lost, timed_out};
