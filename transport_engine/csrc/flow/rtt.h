/* Round-trip time: smoothed, its variation, its minimum, and the timeouts that follow from them.
 *
 * Two views of one sample: all that passed until the acknowledgement (for timeouts), and the path
 * alone, without the time for which either host held a packet (for congestion control).
 * Units: nanoseconds. Knows samples only.
 * Source: RFC 9002 §5 (estimator), RFC 6298 §2 (RTO).
 */
#ifndef FLOW_RTT_H
#define FLOW_RTT_H

#include <stdbool.h>
#include <stdint.h>

enum rtt_constant {
    RTT_INITIAL_NS = 10000000, /* until the handshake has measured one */
    RTT_PACKET_NS = 12000,     /* 1,500 bytes at 1 Gb/s */
    RTT_STANDSTILL_NS = 200000000 /* a host that holds a packet for longer was not slow: it stood */
};

struct rtt {
    uint64_t srtt_ns;
    uint64_t rttvar_ns;
    uint64_t min_ns;
    uint64_t latest_ns;
    uint64_t path_ns; /* latest */
    uint64_t path_min_ns[2]; /* of short and of long packets */
    bool has_sample;
    bool is_long; /* the packet of the latest sample */
};

static inline void rtt_init(struct rtt *rtt) {
    *rtt = (struct rtt){.srtt_ns = RTT_INITIAL_NS, .rttvar_ns = RTT_INITIAL_NS / 2,
                        .min_ns = UINT64_MAX, .latest_ns = RTT_INITIAL_NS,
                        .path_ns = RTT_INITIAL_NS, .path_min_ns = {UINT64_MAX, UINT64_MAX}};
}

struct rtt_sample {
    uint64_t total_ns;
    uint64_t held_ns; /* by either host, as they say themselves */
    bool is_long;     /* most of a packet's largest size: on a slow link it takes its time */
};

/* Timeouts believe `promised_ns` of what a host says it held a packet, as it may be slow again,
 * but all of a standstill: it says nothing of the next packet. The path is the rest. */
static inline void rtt_update(struct rtt *rtt, const struct rtt_sample *sample,
                              uint64_t promised_ns) {
    uint64_t sample_ns = sample->total_ns;
    uint64_t ack_delay_ns = sample->held_ns < promised_ns ? sample->held_ns : promised_ns;
    rtt->is_long = sample->is_long;
    /* Hosts that say they held it for all of its time, and more, tell nothing of the path. */
    if (sample->held_ns < sample_ns) {
        rtt->path_ns = sample_ns - sample->held_ns;
    } else if (rtt->path_min_ns[sample->is_long] < sample_ns) {
        rtt->path_ns = rtt->path_min_ns[sample->is_long];
    } else {
        rtt->path_ns = sample_ns;
    }
    if (rtt->path_ns < rtt->path_min_ns[sample->is_long]) {
        rtt->path_min_ns[sample->is_long] = rtt->path_ns;
    }
    if (sample_ns - rtt->path_ns > RTT_STANDSTILL_NS) {
        sample_ns = rtt->path_ns + ack_delay_ns;
    }
    rtt->latest_ns = sample_ns;
    if (sample_ns < rtt->min_ns) {
        rtt->min_ns = sample_ns;
    }
    /* The peer's own delay counts only as far as it leaves a plausible path (RFC 9002 §5.3). */
    if (sample_ns >= rtt->min_ns + ack_delay_ns) {
        sample_ns -= ack_delay_ns;
    }
    if (!rtt->has_sample) {
        rtt->has_sample = true;
        rtt->srtt_ns = sample_ns;
        rtt->rttvar_ns = sample_ns / 2;
        return;
    }
    uint64_t error_ns =
        rtt->srtt_ns > sample_ns ? rtt->srtt_ns - sample_ns : sample_ns - rtt->srtt_ns;
    rtt->rttvar_ns = rtt->rttvar_ns - rtt->rttvar_ns / 4 + error_ns / 4;
    rtt->srtt_ns = rtt->srtt_ns - rtt->srtt_ns / 8 + sample_ns / 8;
}

/* The path has changed: its smallest round trip is measured anew. */
static inline void rtt_forget_path(struct rtt *rtt) {
    rtt->path_min_ns[0] = rtt->path_min_ns[1] = UINT64_MAX;
}

/* The smallest round trip of packets such as the latest one. On short paths a long packet's own
 * time counts; as it may never have met an empty queue, only up to that on a link of 1 Gb/s. */
static inline uint64_t rtt_path_min_ns(const struct rtt *rtt) {
    uint64_t short_ns = rtt->path_min_ns[0];
    uint64_t long_ns = rtt->path_min_ns[1];
    if (!rtt->is_long || short_ns > long_ns) {
        return rtt->is_long ? long_ns : short_ns;
    }
    uint64_t own_ns = short_ns / 4 < RTT_PACKET_NS ? RTT_PACKET_NS - short_ns / 4 : 0;
    return long_ns - short_ns > own_ns ? short_ns + own_ns : long_ns;
}

static inline uint64_t rtt_rto_ns(const struct rtt *rtt, uint64_t rto_min_ns) {
    uint64_t rto_ns = rtt->srtt_ns + 4 * rtt->rttvar_ns;
    return rto_ns > rto_min_ns ? rto_ns : rto_min_ns;
}

#endif
