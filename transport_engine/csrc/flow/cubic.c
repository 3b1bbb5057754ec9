/* CUBIC with HyStart++: shares a bottleneck with TCP as TCP does.
 *
 * Source: RFC 9438 (window growth, multiplicative decrease, fast convergence, TCP-friendly
 * estimate), RFC 9406 (HyStart++). A round is a smoothed round trip in time. HyStart++'s floor of
 * 4 ms for a rise in delay suits wide networks; ours is a part of the round trip.
 */
#include "flow/congestion.h"

#include "base/limits.h"

enum cubic_constant {
    BETA_1024 = 717,      /* 0.7, RFC 9438 §4.6 */
    C_1024 = 410,         /* 0.4 packets / s^3, §5.1 */
    FRIENDLY_1024 = 542,  /* 3 (1 - beta) / (1 + beta), §4.3 */
    WINDOW_PACKETS_MIN = 2,
    HYSTART_SAMPLES_MIN = 8,    /* RFC 9406 §4.3 */
    HYSTART_RISE_SHIFT = 3,     /* an eighth of the round's smallest delay */
    HYSTART_RISE_MIN_NS = 10000,
    HYSTART_RISE_MAX_NS = 16000000,
    CSS_GROWTH_DIVISOR = 4,
    CSS_ROUNDS = 5
};

static uint64_t packet(const struct congestion *congestion) {
    return (uint64_t)congestion->packet_bytes << WINDOW_FRACTION_BITS;
}

static void clamp(struct congestion *congestion) {
    congestion->window = within_u64(congestion->window, WINDOW_PACKETS_MIN * packet(congestion),
                                    congestion_window_max);
}

static void init(struct congestion *congestion) {
    congestion->window = congestion_initial_window(congestion);
    congestion->is_slow_start = true;
    congestion->cubic = (struct cubic){.round_min_ns = UINT64_MAX, .last_min_ns = UINT64_MAX};
}

void cubic_join(struct congestion *congestion) {
    congestion->is_slow_start = false;
    congestion->cubic = (struct cubic){.window_max = congestion->window};
}

/* The cube root, rounded down, bit by bit (H. Warren, Hacker's Delight, 2nd ed., 11-2). */
static uint64_t cube_root(uint64_t value) {
    uint64_t result = 0;
    for (int shift = 63; shift >= 0; shift -= 3) {
        result *= 2;
        uint64_t step = 3 * result * (result + 1) + 1;
        if (value >> shift >= step) {
            value -= step << shift;
            result++;
        }
    }
    return result;
}

static void start_epoch(struct congestion *congestion, uint64_t now_ns) {
    struct cubic *cubic = &congestion->cubic;
    uint64_t missing = cubic->window_max > congestion->window
                           ? cubic->window_max - congestion->window
                           : 0;
    /* K = cbrt(missing / C), here in milliseconds: packets * 1024 / 410 * 10^9. */
    uint64_t packets_256 = (missing << 8) / packet(congestion);
    cubic->k_ms = cube_root(packets_256 * 1024 / C_1024 * (1000000000u / 256));
    cubic->epoch_ns = now_ns;
    cubic->origin = congestion->window + missing;
    cubic->friendly = congestion->window;
}

/* W(t) = C (t - K)^3 + origin, in window units. */
static uint64_t cubic_window(const struct congestion *congestion, uint64_t elapsed_ns) {
    const struct cubic *cubic = &congestion->cubic;
    uint64_t t_ms = elapsed_ns / 1000000;
    bool is_below = t_ms < cubic->k_ms;
    uint64_t distance_ms = is_below ? cubic->k_ms - t_ms : t_ms - cubic->k_ms;
    distance_ms = min_u64(distance_ms, 100000); /* 100 s: the cube stays within 64 bits */
    uint64_t packets_256 =
        distance_ms * distance_ms * distance_ms / 1000000 * C_1024 / 1024 * 256 / 1000;
    uint64_t change = packets_256 * packet(congestion) / 256;
    if (is_below) {
        return cubic->origin > change ? cubic->origin - change : 0;
    }
    return cubic->origin + change;
}

/* The acknowledged part of what lacks, in window units. The product is made of bytes: of window
 * units, it has more than 64 bits where a large window is acknowledged at once. */
static uint64_t step(const struct congestion *congestion, uint64_t missing, uint32_t acked_bytes) {
    const uint64_t product = missing * acked_bytes;
    const uint64_t rest = product % congestion->window;
    return (product / congestion->window << WINDOW_FRACTION_BITS)
           + (rest << WINDOW_FRACTION_BITS) / congestion->window;
}

static void grow(struct congestion *congestion, const struct congestion_ack *ack) {
    struct cubic *cubic = &congestion->cubic;
    uint64_t acked = (uint64_t)ack->acked_bytes << WINDOW_FRACTION_BITS;
    if (cubic->epoch_ns == 0) {
        start_epoch(congestion, ack->now_ns);
    }
    uint64_t ceiling = congestion->window + congestion->window / 2;
    uint64_t target =
        min_u64(ceiling, cubic_window(congestion, ack->now_ns - cubic->epoch_ns + ack->srtt_ns));
    uint64_t friendly_step = acked * packet(congestion) / congestion->window;
    cubic->friendly += friendly_step * FRIENDLY_1024 / 1024;
    if (cubic->friendly > target) {
        congestion->window = max_u64(congestion->window, cubic->friendly);
    } else if (target > congestion->window) {
        congestion->window += step(congestion, target - congestion->window, ack->acked_bytes);
    }
}

static uint64_t hystart_rise_ns(uint64_t min_ns) {
    return within_u64(min_ns >> HYSTART_RISE_SHIFT, HYSTART_RISE_MIN_NS, HYSTART_RISE_MAX_NS);
}

static void end_round(struct congestion *congestion, const struct congestion_ack *ack) {
    struct cubic *cubic = &congestion->cubic;
    cubic->last_min_ns = cubic->round_min_ns;
    cubic->round_min_ns = UINT64_MAX;
    cubic->round_samples = 0;
    cubic->round_end_ns = ack->now_ns + ack->srtt_ns;
    if (cubic->css_rounds > 0 && ++cubic->css_rounds > CSS_ROUNDS) {
        congestion->is_slow_start = false;
    }
}

/* Leaves slow start when the delay of a round has risen: first for a slower growth (CSS), and for
 * good when the rise lasts (RFC 9406 §4.2). */
static void slow_start(struct congestion *congestion, const struct congestion_ack *ack) {
    struct cubic *cubic = &congestion->cubic;
    uint64_t acked = (uint64_t)ack->acked_bytes << WINDOW_FRACTION_BITS;
    congestion->window += cubic->css_rounds > 0 ? acked / CSS_GROWTH_DIVISOR : acked;
    cubic->round_min_ns = min_u64(cubic->round_min_ns, ack->rtt_ns);
    cubic->round_samples++;
    if (cubic->round_samples >= HYSTART_SAMPLES_MIN && cubic->last_min_ns != UINT64_MAX) {
        bool has_risen =
            cubic->round_min_ns >= cubic->last_min_ns + hystart_rise_ns(cubic->last_min_ns);
        if (cubic->css_rounds == 0 && has_risen) {
            cubic->css_rounds = 1;
            cubic->css_baseline_ns = cubic->round_min_ns;
        } else if (cubic->css_rounds > 0 && cubic->round_min_ns < cubic->css_baseline_ns) {
            cubic->css_rounds = 0;
        }
    }
    if (ack->now_ns >= cubic->round_end_ns) {
        end_round(congestion, ack);
    }
}

static void reduce(struct congestion *congestion, uint64_t now_ns) {
    struct cubic *cubic = &congestion->cubic;
    congestion->prior_window = congestion->window;
    congestion->is_slow_start = false;
    /* Fast convergence, §4.7: a window that no longer reaches its last maximum makes room. */
    cubic->window_max = congestion->window < cubic->window_max
                            ? congestion->window * (1024 + BETA_1024) / 2048
                            : congestion->window;
    congestion->window = congestion->window * BETA_1024 / 1024;
    congestion->reduced_ns = now_ns;
    cubic->epoch_ns = 0;
    clamp(congestion);
}

static void acked(struct congestion *congestion, struct congestion_ack *ack) {
    if (ack->marked_packets > 0 && ack->now_ns >= congestion->reduced_ns + ack->srtt_ns) {
        reduce(congestion, ack->now_ns);
        return;
    }
    if (!ack->is_limited) {
        return;
    }
    if (congestion->is_slow_start) {
        slow_start(congestion, ack);
    } else {
        grow(congestion, ack);
    }
    clamp(congestion);
}

static void lost(struct congestion *congestion, const struct congestion_loss *loss) {
    if (loss->sent_ns >= congestion->reduced_ns) {
        reduce(congestion, loss->now_ns);
    }
}

static void timed_out(struct congestion *congestion, uint64_t now_ns) {
    reduce(congestion, now_ns);
    congestion->window = WINDOW_PACKETS_MIN * packet(congestion);
    congestion->is_slow_start = true;
    congestion->cubic.css_rounds = 0;
}

const struct congestion_ops congestion_cubic = {"cubic", init, acked, lost, timed_out};
