/* The public C interface of the simulator: in goes a network and what happens in it, out comes what
 * became of it.
 *
 * Everything is handed over at te_sim_open as arrays that name each other by index;
 * transport_engine/network.py builds them from a scenario. The flow code is that of an engine.
 * Units: nanoseconds of virtual time, bytes, bits per second, parts per million.
 */
#ifndef TRANSPORT_SIM_H
#define TRANSPORT_SIM_H

#include <stdint.h>

/* cffi: begin */

enum te_sim_limit {
    TE_SIM_HOPS_MAX = 3,          /* links of a route */
    TE_SIM_MESSAGE_BYTES_MIN = 8, /* a message carries its own name */
    TE_SIM_VIOLATIONS_MAX = 64,   /* kept; all are counted */
    TE_SIM_BINS_MAX = 4096        /* of goodput over time */
};

/* One way of a wire. A packet's fate is drawn once, in the order in which packets are sent. */
struct te_sim_link {
    uint64_t rate_bps;    /* 0: no limit */
    uint64_t delay_ns;
    uint64_t jitter_ns;   /* uniform, on top of the delay; keeps the order */
    uint64_t queue_bytes; /* that wait or are being sent, at most */
    uint64_t ecn_bytes;   /* a packet that finds more queued is marked; 0: never */
    uint64_t police_bps;  /* packets above this rate are dropped; 0: no limit */
    uint64_t police_burst_bytes;
    uint64_t reorder_ns;  /* a late packet is late by up to this */
    uint64_t loss_mask;   /* packet n is lost if bit n mod 64 is set */
    const uint64_t *loss_list; /* packets that are lost, ascending, counted from 0 */
    uint32_t loss_count;
    uint32_t loss_ppm;
    uint32_t burst_enter_ppm; /* Gilbert-Elliott: good to bad, for each packet */
    uint32_t burst_exit_ppm;
    uint32_t burst_loss_ppm;  /* while bad */
    uint32_t burst_packets_max; /* bad no longer than this; 0: no limit */
    uint32_t duplicate_ppm;
    uint32_t reorder_ppm;
    uint32_t corrupt_ppm;
    uint32_t overhead_bytes; /* below UDP, for each packet */
    uint8_t waits;           /* 1: a full queue makes the sender wait instead of dropping */
};

struct te_sim_node {
    uint64_t pool_bytes;     /* memory for messages under way */
    uint64_t stall_every_ns; /* mean time between stalls; 0: none */
    uint64_t stall_min_ns;
    uint64_t stall_max_ns;
    uint32_t inbox_packets;  /* arrivals that a stalled node keeps */
};

/* How a flow is configured, at both ends. */
struct te_sim_settings {
    char congestion[16];
    uint64_t credit_bytes;
    uint64_t handshake_timeout_ns;
    uint64_t keep_alive_ns;
    uint64_t dead_ns;
    uint64_t reopen_ns;    /* after a flow died its client opens another */
    uint64_t first_number; /* of packets; UINT64_MAX: random */
    uint32_t message_bytes_max;
    uint32_t mtu_bytes;
    uint8_t profile; /* 0 rack, 1 cloud */
    uint8_t retry;   /* 1: a listener answers the first INIT with a token */
};

struct te_sim_flow {
    uint64_t start_ns;
    uint32_t client;
    uint32_t server;
    uint32_t settings;
    uint32_t workload;
    uint32_t forward[TE_SIM_HOPS_MAX]; /* links from client to server */
    uint32_t back[TE_SIM_HOPS_MAX];
    uint32_t hops;
};

enum te_sim_workload_kind {
    TE_SIM_LIST = 0,    /* the messages given */
    TE_SIM_CLOSED = 1,  /* each flow keeps `window` calls or messages under way */
    TE_SIM_POISSON = 2, /* messages at random times, each on a random flow */
    TE_SIM_INCAST = 3   /* all flows post one message at once; again when all are delivered */
};

struct te_sim_point {
    uint32_t size_bytes;
    uint32_t share_ppm; /* of messages not longer than this; ascending, the last 1,000,000 */
};

struct te_sim_message {
    uint64_t at_ns;
    uint32_t flow;
    uint32_t size_bytes;
    uint8_t from_server;
    uint8_t lane;
    uint8_t priority;
};

struct te_sim_workload {
    uint64_t start_ns;
    uint64_t stop_ns;      /* UINT64_MAX: when `count` is reached */
    uint64_t gap_ns;       /* POISSON: mean time between messages; INCAST: between rounds */
    uint64_t count;        /* messages for each flow (CLOSED), in all (POISSON), rounds (INCAST) */
    const struct te_sim_message *messages; /* LIST, ascending in time */
    const struct te_sim_point *sizes;      /* NULL: all are request_bytes */
    const uint32_t *class_bytes;           /* ascending upper bounds of classes but the last */
    uint32_t message_count;
    uint32_t size_count;
    uint32_t class_count; /* bounds; there is one class more */
    uint32_t request_bytes;
    uint32_t reply_bytes; /* 0: messages without an answer */
    uint32_t window;
    uint8_t kind; /* enum te_sim_workload_kind */
    uint8_t lane;
    uint8_t priority;
};

enum te_sim_event_kind {
    TE_SIM_LINK_DOWN = 0,  /* black-out; nests */
    TE_SIM_LINK_UP = 1,
    TE_SIM_LINK_RATE = 2,  /* value: bit/s */
    TE_SIM_LINK_DELAY = 3, /* value: ns */
    TE_SIM_LINK_LOSS = 4,  /* value: ppm */
    TE_SIM_NODE_STALL = 5, /* value: ns */
    TE_SIM_NODE_CRASH = 6  /* value: ns until it is up again */
};

struct te_sim_event {
    uint64_t at_ns;
    uint64_t value;
    uint32_t kind;
    uint32_t target; /* link or node */
};

struct te_sim_config {
    uint64_t seed;
    uint64_t duration_ns; /* work ends at the latest then */
    uint64_t heal_ns;     /* within this everything must drain once all faults are gone */
    uint64_t measure_from_ns;
    uint64_t measure_to_ns;
    uint64_t bin_ns; /* of goodput over time; 0: none */
    const struct te_sim_link *links;
    const struct te_sim_node *nodes;
    const struct te_sim_settings *settings;
    const struct te_sim_flow *flows;
    const struct te_sim_workload *workloads;
    const struct te_sim_event *events;
    uint32_t link_count;
    uint32_t node_count;
    uint32_t settings_count;
    uint32_t flow_count;
    uint32_t workload_count;
    uint32_t event_count;
    uint32_t trace_lines; /* that te_sim_trace can hold; 0: no trace */
    uint32_t zero;
};

enum te_sim_violation_kind {
    TE_SIM_V_TWICE = 1,      /* K1: a message was delivered again */
    TE_SIM_V_CONTENT = 2,    /* K1: delivered bytes are not those that were sent */
    TE_SIM_V_ORDER = 3,      /* K1: not in the order of its lane */
    TE_SIM_V_EPOCH = 4,      /* K1, K3: a message of one flow came out of another */
    TE_SIM_V_LOST = 5,       /* K1: an open, healed flow never delivered it */
    TE_SIM_V_CALL_TWICE = 6, /* K2: a call ended again */
    TE_SIM_V_CALL_OPEN = 7,  /* K2: a call never ended */
    TE_SIM_V_PROTOCOL = 8,   /* an honest peer was accused of breaking the protocol */
    TE_SIM_V_DEATH = 9,      /* a flow counted its peer as dead, which it had just heard */
    TE_SIM_V_CORRUPT = 10,   /* a damaged packet passed the check */
    TE_SIM_V_STUCK = 11,     /* something still runs long after all faults were healed */
    TE_SIM_V_LEAK = 12,      /* memory did not come back after all flows had ended */
    TE_SIM_V_SPIN = 13       /* events without end, and time stands still */
};

struct te_sim_violation {
    uint64_t at_ns;
    uint64_t message; /* number in its direction and epoch; UINT64_MAX: none */
    uint64_t detail;
    uint32_t kind;
    uint32_t flow; /* UINT32_MAX: none */
    uint32_t epoch;
    uint32_t node;
};

struct te_sim_totals {
    uint64_t now_ns;
    uint64_t work_end_ns; /* when the workloads were done, or stopped */
    uint64_t drained_ns;  /* when the last message was delivered after that */
    uint64_t measured_ns;
    uint64_t digest;
    uint64_t events;
    uint64_t packet_events; /* a packet over one link */
    uint64_t packets_sent;  /* by nodes */
    uint64_t packets_delivered;
    uint64_t packets_refused;  /* failed their check at a node */
    uint64_t packets_unknown;  /* for no flow of that node */
    uint64_t packets_dropped;  /* on their way, for whatever reason */
    uint64_t bytes_sent;       /* UDP payload */
    uint64_t message_bytes_sent; /* message bytes in packets, repeats included */
    uint64_t packets_retransmitted;
    uint64_t message_bytes_resent;
    uint64_t message_bytes_lost; /* message bytes in packets that were dropped or corrupted */
    uint64_t packets_spurious;   /* brought only bytes that had arrived, and were no duplicates */
    uint64_t message_bytes_spurious;
    uint64_t messages_posted;
    uint64_t messages_delivered;
    uint64_t messages_failed; /* under way when their flow ended */
    uint64_t calls_started;
    uint64_t calls_replied;
    uint64_t calls_failed;
    uint64_t probes;
    uint64_t timeouts;
    uint64_t packets_declared_lost;
    uint64_t handshakes;
    uint64_t handshakes_failed;
    uint64_t flows_died;     /* counted their peer as dead */
    uint64_t flows_reset;    /* their peer had forgotten them */
    uint64_t resets_sent;
    uint64_t crashes;
    uint64_t stalls;
    uint64_t stalls_felt; /* that kept a packet waiting */
    uint64_t wakes;      /* of flows by their timers */
    uint64_t wakes_idle; /* that sent nothing */
    uint64_t violations;
};

/* Shape: 50 %, 99 %, 99.9 %, and the largest. */
struct te_sim_quantiles {
    uint64_t count;
    uint64_t p50;
    uint64_t p99;
    uint64_t p999;
    uint64_t max;
};

struct te_sim_link_result {
    uint64_t packets;
    uint64_t bytes; /* of UDP payload */
    uint64_t lost;
    uint64_t overflowed;
    uint64_t policed;
    uint64_t blacked_out;
    uint64_t duplicated;
    uint64_t delayed; /* sent late on purpose */
    uint64_t corrupted;
    uint64_t marked;
    uint64_t busy_ns; /* of the measured interval */
    struct te_sim_quantiles queue_bytes; /* that packets found, in the measured interval */
};

struct te_sim_flow_result {
    uint64_t bytes_arrived; /* message bytes, each counted once, in the measured interval */
    uint64_t messages_delivered;
    uint64_t probes;
    uint64_t timeouts;
    uint64_t packets_declared_lost;
    uint64_t packets_retransmitted;
    uint64_t opened_ns; /* when it was first open at the client; UINT64_MAX: never */
    uint64_t window_bytes; /* of the client's congestion control, at the end of the work */
    uint64_t srtt_ns;
    uint64_t target_ns; /* queueing delay that it aims at, at the end of the work; 0: at none */
};

struct te_sim_class_result {
    uint32_t workload;
    uint32_t size_max_bytes; /* UINT32_MAX: no bound */
    uint64_t failed;
    struct te_sim_quantiles completion_ns;
    struct te_sim_quantiles slowdown_milli; /* thousandths of the time in an empty network */
    struct te_sim_quantiles untouched_ns;   /* completion of those whose packets all arrived */
    struct te_sim_quantiles touched_ns;     /* completion of the others */
};

enum te_sim_direction { TE_SIM_OUT = 0, TE_SIM_IN = 1, TE_SIM_DROP = 2 };

/* A packet at a node, or the end of one on its way; one more for each further message in it. */
struct te_sim_trace_line {
    uint64_t time_ns;
    uint64_t number;
    uint64_t message; /* id on the wire; UINT64_MAX: none */
    uint64_t retransmission_of; /* packet number; UINT64_MAX: none */
    uint32_t offset_bytes;
    uint32_t length_bytes;
    uint32_t flow;
    uint32_t node;
    uint32_t size_bytes; /* of the packet */
    uint8_t direction;   /* enum te_sim_direction */
    uint8_t type;        /* of the packet, docs/wire.md */
    uint8_t continues;   /* 1: another message of the packet before */
    uint8_t reason; /* DROP: 1 lost, 2 queue full, 3 policed, 4 black-out, 5 corrupted, 6 node */
};

struct te_sim;

/* Errors: TE_E_INVALID, TE_E_NO_MEMORY; `why` (TE_WHY_BYTES) names the field and what is allowed.
 * Owner: the caller keeps the arrays until te_sim_close. */
int te_sim_open(const struct te_sim_config *config, struct te_sim **sim, char *why);
void te_sim_close(struct te_sim *sim);
/* Handles up to `events_max` events. Returns 1: call again; 0: over. It stops early when the trace
 * is full: read it, then call again. */
int te_sim_run(struct te_sim *sim, uint64_t events_max);
/* Takes trace lines out; returns how many. */
uint32_t te_sim_trace(struct te_sim *sim, struct te_sim_trace_line *lines, uint32_t lines_max);

void te_sim_totals(const struct te_sim *sim, struct te_sim_totals *totals);
/* Each returns 1, or 0: there is no such index. */
int te_sim_violation_at(const struct te_sim *sim, uint32_t index, struct te_sim_violation *out);
int te_sim_link_at(const struct te_sim *sim, uint32_t index, struct te_sim_link_result *out);
int te_sim_flow_at(const struct te_sim *sim, uint32_t index, struct te_sim_flow_result *out);
int te_sim_class_at(const struct te_sim *sim, uint32_t index, struct te_sim_class_result *out);
/* Bytes that arrived on a flow in each bin; returns the bins. */
uint32_t te_sim_bins(const struct te_sim *sim, uint32_t flow, uint64_t *bins, uint32_t bins_max);

/* cffi: end */

#endif
