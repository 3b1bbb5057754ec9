/* Swift: a delay target, additive increase, multiplicative decrease, windows below one packet.
 *
 * Source: G. Kumar et al., "Swift: Delay is Simple and Effective for Congestion Control in the
 * Datacenter", SIGCOMM 2020, §3.1 (window), §3.3 (target scaling), algorithm 1. Ours: targets that
 * fit a queue of one round trip; steps that shrink with the window, so that many flows together
 * do not add more than a port can bear; a start that doubles until a queue shows; growth by a share
 * of the window while there is none (after TIMELY's hyperactive increase: Mittal et al., SIGCOMM
 * 2015, §4.3); losses that cost what they say, below; and, among hosts of a cloud, CUBIC for as
 * long as somebody else keeps the queue full (the idea is Copa's: Arun and Balakrishnan, NSDI
 * 2018, §2.2).
 */
#include "base/limits.h"
#include "flow/congestion.h"

enum swift_constant {
    BETA_256 = 205,          /* 0.8: weight of the excess delay */
    DECREASE_MAX_256 = 128,  /* 0.5: largest cut */
    DECREASE_SMALL_256 = 64, /* for the one packet that a window below one has */

    /* The target is a quarter of the smallest round trip, which counts within these, and up to two
     * thirds more for small windows: a queue of one BDP holds it, and flows on long paths do not
     * ask for more. */
    RACK_SPAN_MIN_NS = 10000,
    RACK_SPAN_MAX_NS = 50000,
    CLOUD_SPAN_MIN_NS = 50000,
    CLOUD_SPAN_MAX_NS = 1000000,
    TARGET_SHIFT = 2,
    TARGET_KEY_BITS = 30,   /* of a round trip, beside the window's 34 */
    SMALLEST_ROOT_16 = 6,   /* sqrt(1/8) in sixteenths: where the scaling of small windows ends */
    BURST_PACKETS = 2,      /* their time at the flow's own rate is admitted, too, ... */
    BURST_SHIFT = 2,        /* ... up to a quarter of what the span leaves of the round trip, */
    SLOW_PACKET_NS = 12000, /* and up to 1,500 bytes at 1 Gb/s on short paths */

    RACK_FLOOR_SHIFT = 5,  /* 1/32 of a packet: a thousand senders may share a port */
    CLOUD_PACKETS_MIN = 2, /* as any TCP (RFC 5681 §3.1) */
    LOSS_PACKETS_MIN = 4,  /* losses without a queue never push the window below this */
    LOSS_SAMPLE_PACKETS = 100, /* losses are weighed once so many packets are known of, ... */
    LOSS_TELLING_PACKETS = 3,  /* ... or so many are lost */
    LOSS_NOISE_256 = 5,  /* 2 %: a share that is no sign of a queue (as BBRv3's LossThresh) */
    LOSS_HEAVY_256 = 26, /* 10 %: one that is more than noise can be */
    LOSS_FLOOD_256 = 77, /* 30 %: one that is believed though no delay speaks of a queue */

    CALM_SHIFT = 2,           /* a delay below a quarter of the target is calm, ... */
    CALM_BURST_BYTES = 16384, /* ... or one that our own bursts explain (PACER_BURST_BYTES), ... */
    CALM_MAX_8THS = 5,        /* ... up to so much of the target */
    CALM_ROUNDS_MAX = 5,    /* the longer it was calm, the larger the steps: up to half a window */
    START_SLOW_SHIFT = 2,   /* growth of the start in a round that is not calm (RFC 9406 §4.2) */
    FLOOR_NS = 100000000,   /* with a window of at most one packet, ... */
    FLOOR_SAMPLES = 8,      /* ... and at least so many of them: this is not our queue, */
    NOISE_NS = 2000000000,  /* and for so long it is taken for noise */

    RIVAL_QUARTERS = 7,      /* of the base target: more than any flow like us aims at */
    RIVAL_GONE_QUARTERS = 5, /* the queue is short again */
    RIVAL_ROUNDS = 8,        /* in a row with that delay, before we act */
    YIELD_MIN_8THS = 6,      /* of the window are kept while all packets are late */
    RIVAL_NS = 2000000000    /* then the path is measured anew */
};

static uint64_t packets(const struct congestion *congestion, uint32_t count) {
    return ((uint64_t)count * congestion->packet_bytes) << WINDOW_FRACTION_BITS;
}

/* Only delay leads here: a lost packet says little of how long the queue is. */
static uint64_t window_min(const struct congestion *congestion) {
    return congestion->profile == PROFILE_RACK ? packets(congestion, 1) >> RACK_FLOOR_SHIFT
                                               : packets(congestion, CLOUD_PACKETS_MIN);
}

static void clamp(struct congestion *congestion) {
    congestion->window =
        within_u64(congestion->window, window_min(congestion), congestion_window_max);
}

static void init(struct congestion *congestion) {
    congestion->window = congestion_initial_window(congestion);
    congestion->is_slow_start = true;
    congestion->swift = (struct swift){.is_calm = true, .round_min_ns = UINT64_MAX};
}

/* ---- the target ---- */

/* Newton's method, from the power of two above the root. Shape: value > 0, as no window has less
 * than window_min; else 1. */
static uint64_t root(uint64_t value) {
    uint64_t estimate;
    uint64_t next = UINT64_C(1) << (65 - __builtin_clzll(value | 1)) / 2;
    do {
        estimate = next;
        next = (estimate + value / estimate) / 2;
    } while (0 < next && next < estimate);
    return estimate;
}

/* sqrt(window in packets), in sixteenths. */
static uint64_t window_root_16(const struct congestion *congestion) {
    return root(congestion->window / congestion->packet_bytes);
}

static uint64_t span_ns(const struct congestion *congestion, uint64_t rtt_min_ns) {
    return congestion->profile == PROFILE_RACK
               ? within_u64(rtt_min_ns, RACK_SPAN_MIN_NS, RACK_SPAN_MAX_NS)
               : within_u64(rtt_min_ns, CLOUD_SPAN_MIN_NS, CLOUD_SPAN_MAX_NS);
}

static uint64_t base_ns(const struct congestion *congestion, uint64_t rtt_min_ns) {
    return span_ns(congestion, rtt_min_ns) >> TARGET_SHIFT;
}

/* The queueing delay to aim at. Smaller windows mean more flows at the bottleneck and more queue
 * from their bursts: it grows with 1 / sqrt(window in packets), which is what makes shares equal
 * (§3.3). */
static uint64_t target(const struct congestion *congestion, uint64_t rtt_min_ns) {
    uint64_t target_ns = base_ns(congestion, rtt_min_ns);
    uint64_t small_ns = target_ns * 16 / max_u64(window_root_16(congestion), SMALLEST_ROOT_16);
    uint64_t packets_256 = congestion->window / congestion->packet_bytes;
    uint64_t burst_ns = BURST_PACKETS * 256 * rtt_min_ns / (packets_256 + 1);
    uint64_t above_ns = rtt_min_ns - min_u64(rtt_min_ns, span_ns(congestion, rtt_min_ns));
    uint64_t rest_ns = above_ns >> BURST_SHIFT;
    rest_ns += SLOW_PACKET_NS - min_u64(rtt_min_ns >> BURST_SHIFT, SLOW_PACKET_NS);
    return target_ns + max_u64(small_ns, min_u64(burst_ns, rest_ns));
}

/* To divide takes long, and most acknowledgements leave what the target follows from as it was. */
static void set_target(struct congestion *congestion, uint64_t rtt_min_ns) {
    struct swift *swift = &congestion->swift;
    bool is_short = rtt_min_ns >> TARGET_KEY_BITS == 0;
    uint64_t key = is_short ? congestion->window << TARGET_KEY_BITS | rtt_min_ns : 0;
    if (key == 0 || key != swift->target_key) {
        swift->target_key = key;
        swift->target_ns = target(congestion, rtt_min_ns);
    }
}

/* A delay that is no sign of a queue. */
static uint64_t calm_ns(const struct congestion *congestion, uint64_t rtt_min_ns,
                        uint64_t queue_ns) {
    uint64_t window_bytes = congestion_window_bytes(congestion) + 1;
    uint64_t burst_ns = CALM_BURST_BYTES * rtt_min_ns / window_bytes;
    return max_u64(queue_ns >> CALM_SHIFT, min_u64(burst_ns, queue_ns * CALM_MAX_8THS / 8));
}

/* ---- up and down ---- */

/* What a round trip adds to the window, or a packet to a window below one. */
static uint64_t step(const struct congestion *congestion) {
    uint64_t packet = packets(congestion, 1);
    uint64_t calm = congestion->swift.calm_rounds;
    uint64_t steady = min_u64(packet, packet * window_root_16(congestion) / 16);
    uint64_t share = calm >= 2 ? congestion->window >> (CALM_ROUNDS_MAX + 1 - calm) : 0;
    return max_u64(steady, max_u64(calm * packet / 2, share));
}

static void increase(struct congestion *congestion, uint32_t acked_bytes) {
    uint64_t acked = (uint64_t)acked_bytes << WINDOW_FRACTION_BITS;
    if (congestion->window < packets(congestion, 1)) {
        congestion->window += step(congestion);
    } else if (congestion->is_slow_start) {
        congestion->window += congestion->swift.is_calm ? acked : acked >> START_SLOW_SHIFT;
    } else {
        congestion->window += acked * (step(congestion) >> WINDOW_FRACTION_BITS) /
                              (congestion->window >> WINDOW_FRACTION_BITS);
    }
}

static void decrease_for_delay(struct congestion *congestion, const struct congestion_ack *ack,
                               uint64_t limit_ns) {
    struct swift *swift = &congestion->swift;
    uint64_t cut_256 = BETA_256 * (ack->rtt_ns - limit_ns) / ack->rtt_ns;
    uint64_t floor = congestion->profile == PROFILE_RACK
                         ? 0
                         : min_u64(swift->yielded_window * YIELD_MIN_8THS / 8, congestion->window);
    swift->earlier_window = congestion->window;
    congestion->window -= congestion->window * min_u64(cut_256, DECREASE_MAX_256) / 256;
    congestion->window = max_u64(congestion->window, floor);
    congestion->reduced_ns = ack->now_ns;
}

/* Where delays speak of a queue, too, losses are believed below a packet. Losses of packets that
 * were sent before the last reduction are weighed against the window of then. */
static void decrease_for_loss(struct congestion *congestion, uint64_t now_ns, uint64_t cut_256) {
    struct swift *swift = &congestion->swift;
    uint64_t before = swift->is_loss_old ? swift->earlier_window : congestion->window;
    bool is_believed = swift->is_queued || cut_256 >= LOSS_FLOOD_256;
    uint64_t floor = is_believed ? window_min(congestion) : packets(congestion, LOSS_PACKETS_MIN);
    if (congestion->window < packets(congestion, 1)) {
        cut_256 = min_u64(cut_256, DECREASE_SMALL_256);
    }
    uint64_t after = max_u64(before - before * min_u64(cut_256, DECREASE_MAX_256) / 256, floor);
    congestion->is_slow_start = false;
    swift->calm_rounds = 0;
    if (after < congestion->window) {
        congestion->prior_window = congestion->window;
        swift->earlier_window = congestion->window;
        congestion->window = after;
        congestion->reduced_ns = now_ns;
    }
}

/* ---- rounds ---- */

/* Delay tells of a queue before it overflows, so a lost packet is most often noise, and the share
 * that was lost decides: little costs nothing, more costs three quarters of what is above noise
 * (so that a link that loses one packet in twenty stays usable), and much, as of a queue too short
 * to delay or a policer, costs all of itself. */
static void weigh_losses(struct congestion *congestion, uint64_t now_ns) {
    struct swift *swift = &congestion->swift;
    uint64_t known_bytes = swift->acked_bytes + swift->lost_bytes;
    if (swift->lost_bytes < LOSS_TELLING_PACKETS * congestion->packet_bytes &&
        known_bytes < LOSS_SAMPLE_PACKETS * congestion->packet_bytes) {
        return;
    }
    uint64_t share_256 = swift->lost_bytes * 256 / (known_bytes + 1);
    if (share_256 >= LOSS_HEAVY_256) {
        decrease_for_loss(congestion, now_ns, share_256);
    } else if (share_256 > LOSS_NOISE_256) {
        decrease_for_loss(congestion, now_ns, (share_256 - LOSS_NOISE_256) * 3 / 4);
    }
    swift->passed_bytes = swift->acked_bytes;
    swift->acked_bytes = 0;
    swift->lost_bytes = 0;
    swift->is_loss_old = true;
}

/* A delay that no flow like us aims at; beside rivals, one that is left when they are gone. */
static uint64_t rival_ns(const struct congestion *congestion, uint64_t rtt_min_ns) {
    uint64_t quarters =
        congestion->swift.rival_since_ns == 0 ? RIVAL_QUARTERS : RIVAL_GONE_QUARTERS;
    return rtt_min_ns + base_ns(congestion, rtt_min_ns) * quarters / 4;
}

/* When reductions do not end such a delay, somebody else fills the queue, and whoever yields to
 * him gets nothing: they are taken back. */
static void watch_rivals(struct congestion *congestion, const struct congestion_ack *ack,
                         uint64_t limit_ns) {
    struct swift *swift = &congestion->swift;
    if (swift->round_min_ns < limit_ns) {
        swift->yielded_window = congestion->window;
    }
    bool is_rival = congestion->profile == PROFILE_CLOUD &&
                    swift->round_min_ns >= rival_ns(congestion, ack->rtt_min_ns);
    swift->rival_rounds = is_rival ? (uint8_t)(swift->rival_rounds + 1) : 0;
    if (swift->rival_rounds >= RIVAL_ROUNDS) {
        congestion->window = max_u64(congestion->window, swift->yielded_window);
        swift->rival_since_ns = ack->now_ns;
        swift->rival_rounds = 0;
        cubic_join(congestion);
    }
}

static void end_round(struct congestion *congestion, const struct congestion_ack *ack,
                      uint64_t limit_ns) {
    struct swift *swift = &congestion->swift;
    weigh_losses(congestion, ack->now_ns);
    watch_rivals(congestion, ack, limit_ns);
    if (!swift->is_calm || !ack->is_limited) {
        swift->calm_rounds = 0;
    } else if (swift->calm_rounds < CALM_ROUNDS_MAX) {
        swift->calm_rounds++;
    }
    swift->is_calm = true;
    swift->round_min_ns = UINT64_MAX;
    swift->round_end_ns = ack->now_ns + ack->srtt_ns;
}

/* A window of one packet or less makes no queue. If most packets are late all the same, hosts or
 * links are noisy: for a while their usual round trip counts as the smallest. If all are, the path
 * has become longer, and its smallest round trip must be learnt again. */
static void watch_floor(struct congestion *congestion, struct congestion_ack *ack, bool is_late) {
    struct swift *swift = &congestion->swift;
    if (congestion->window > max_u64(window_min(congestion), packets(congestion, 1))) {
        swift->floor_samples = 0;
        return;
    }
    if (swift->floor_samples == 0) {
        swift->floor_ns = ack->now_ns;
        swift->is_floor_late = true;
    }
    swift->is_floor_late &= is_late;
    if (swift->floor_samples < FLOOR_SAMPLES) {
        swift->floor_samples++;
    }
    if (swift->floor_samples == FLOOR_SAMPLES && ack->now_ns - swift->floor_ns >= FLOOR_NS) {
        swift->floor_samples = 0;
        swift->noise_ns = ack->srtt_ns;
        swift->noise_until_ns = ack->now_ns + NOISE_NS;
        congestion->window = max_u64(congestion->window, packets(congestion, 1));
        ack->is_rtt_min_stale = swift->is_floor_late;
    }
}

/* ---- events ---- */

/* As CUBIC, until the queue has been seen short again. What looks like a rival may be a path that
 * has become longer: from time to time half the window is given up to measure it. */
static void acked_beside_rivals(struct congestion *congestion, struct congestion_ack *ack) {
    struct swift *swift = &congestion->swift;
    bool is_expired = ack->now_ns - swift->rival_since_ns >= RIVAL_NS;
    congestion_cubic.acked(congestion, ack);
    if (ack->rtt_ns < rival_ns(congestion, ack->rtt_min_ns) || is_expired) {
        swift->rival_since_ns = 0;
        swift->round_end_ns = ack->now_ns + ack->srtt_ns;
        swift->acked_bytes = swift->lost_bytes = swift->passed_bytes = 0;
    }
    if (is_expired) {
        ack->is_rtt_min_stale = true;
        congestion->window /= 2;
        congestion->reduced_ns = ack->now_ns;
    }
}

static void acked(struct congestion *congestion, struct congestion_ack *ack) {
    struct swift *swift = &congestion->swift;
    uint64_t noise_ns = ack->now_ns < swift->noise_until_ns ? swift->noise_ns : 0;
    set_target(congestion, ack->rtt_min_ns);
    uint64_t limit_ns = max_u64(ack->rtt_min_ns, noise_ns) + swift->target_ns;
    if (swift->rival_since_ns != 0) {
        acked_beside_rivals(congestion, ack);
        return;
    }
    bool is_late = ack->rtt_ns >= limit_ns;
    swift->acked_bytes += ack->acked_bytes;
    swift->round_min_ns = min_u64(swift->round_min_ns, ack->rtt_ns);
    swift->is_queued = ack->rtt_ns >= ack->rtt_min_ns + swift->target_ns / 2;
    swift->is_calm &=
        ack->rtt_ns < ack->rtt_min_ns + calm_ns(congestion, ack->rtt_min_ns, swift->target_ns);
    if (is_late) {
        congestion->is_slow_start = false;
        swift->calm_rounds = 0;
        if (ack->now_ns >= congestion->reduced_ns + ack->srtt_ns) {
            decrease_for_delay(congestion, ack, limit_ns);
        }
    } else if (ack->is_limited) {
        increase(congestion, ack->acked_bytes);
    }
    watch_floor(congestion, ack, is_late);
    if (ack->now_ns >= swift->round_end_ns) {
        end_round(congestion, ack, limit_ns);
    }
    clamp(congestion);
}

/* When half of a window is lost at once there is no waiting for the end of a round, and when more
 * is lost than came through, what came through is what the path carries. */
static void lost(struct congestion *congestion, const struct congestion_loss *loss) {
    struct swift *swift = &congestion->swift;
    if (swift->rival_since_ns != 0) {
        congestion_cubic.lost(congestion, loss);
        return;
    }
    swift->lost_bytes += loss->lost_bytes;
    swift->is_loss_old &= loss->sent_ns < congestion->reduced_ns;
    bool is_flood = swift->lost_bytes > congestion->packet_bytes &&
                    swift->lost_bytes << WINDOW_FRACTION_BITS >= congestion->window / 2;
    if (is_flood && !swift->is_loss_old &&
        loss->now_ns >= congestion->reduced_ns + loss->srtt_ns) {
        uint64_t passed = max_u64(swift->acked_bytes, swift->passed_bytes)
                          << WINDOW_FRACTION_BITS;
        decrease_for_loss(congestion, loss->now_ns, DECREASE_MAX_256);
        if (swift->lost_bytes > swift->acked_bytes) {
            congestion->window =
                min_u64(congestion->window, max_u64(passed, packets(congestion, 1)));
        }
    }
    clamp(congestion);
}

static void timed_out(struct congestion *congestion, uint64_t now_ns) {
    decrease_for_loss(congestion, now_ns, DECREASE_MAX_256);
    congestion->window = min_u64(congestion->window, packets(congestion, LOSS_PACKETS_MIN));
    congestion->swift.rival_since_ns = 0;
    clamp(congestion);
}

const struct congestion_ops congestion_swift = {"swift", init, acked, lost, timed_out};
