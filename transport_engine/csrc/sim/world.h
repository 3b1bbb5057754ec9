/* The simulated network: links, nodes, flows and their ends, and what is left to happen.
 *
 * The files of this folder that begin with this header share it: route (packets over links), node
 * (packets at their goal), half (one side of a flow), work (what is sent), sim (the loop), results
 * (what came of it).
 * Owner: everything belongs to the world, and goes with it.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "flow/flow.h"
#include "sim/events.h"
#include "sim/link.h"
#include "sim/packets.h"
#include "sim/stream.h"
#include "transport_sim.h"

enum { FORWARD = 0, BACK = 1 };

/* One side of a flow, at one node. */
struct half {
    struct flow flow;
    uint32_t index;
    uint32_t of_flow;
    uint32_t next; /* of the server's ends of the same flow, or free */
    bool is_used;
    bool is_client;
    bool is_told;      /* that the flow is closed */
    uint64_t timer_ns; /* of the event that is under way; UINT64_MAX: none */
    uint64_t heard_ns; /* when a good packet for it was last taken */
    struct session *session;
};

/* A flow from its opening to the death of both ends: an epoch. */
struct session {
    uint16_t epoch;
    uint32_t of_flow;
    uint32_t halves[2]; /* client, server; NO_ITEM: not there */
    bool is_gone[2];
    struct stream streams[2]; /* forward, back */
};

/* A message that its flow has not taken yet. */
struct waiting {
    struct record record;
    const struct session *session; /* a reply belongs to it; NULL: to any */
};

struct waiting_line {
    struct waiting *items;
    uint32_t room; /* a power of two, or 0 */
    uint32_t first;
    uint32_t count;
};

struct sim_flow {
    const struct te_sim_flow *model;
    struct flow_config config;
    struct flow_counters counters;
    uint32_t client_half;  /* NO_ITEM: none */
    uint32_t server_halves; /* first of a list */
    uint16_t epoch;
    bool has_begun; /* its closed loop */
    struct waiting_line waiting[2];
    uint64_t posted;
    uint64_t *bins;
    struct te_sim_flow_result result;
};

struct node {
    const struct te_sim_node *model;
    struct store store;
    void *memory;
    struct prng prng;
    uint64_t secret;
    uint64_t stalled_until_ns;
    uint32_t inbox_first, inbox_last;
    uint32_t inbox_count;
    bool is_up;
};

struct work {
    const struct te_sim_workload *model;
    struct prng prng;
    uint32_t *flows;
    uint32_t flow_count;
    uint32_t first_class;
    uint32_t flows_done;
    uint32_t round_open; /* messages of this round that have not ended */
    uint64_t posted;     /* messages, or rounds */
    bool is_done;
};

struct size_class {
    uint32_t workload;
    uint32_t size_max_bytes;
    uint64_t failed;
    struct tally completion;
    struct tally slowdown;
    struct tally untouched;
    struct tally touched;
};

enum phase { PHASE_WORK, PHASE_HEAL, PHASE_CLOSE, PHASE_OVER };

struct trace {
    struct te_sim_trace_line *lines;
    uint32_t count, room, taken;
};

struct world {
    const struct te_sim_config *config;
    uint64_t now_ns;
    uint64_t phase_end_ns;
    uint64_t still_events; /* since time last moved */
    enum phase phase;
    bool is_out_of_memory;
    struct events events;
    struct packets packets;
    struct link *links;
    struct node *nodes;
    struct sim_flow *flows;
    struct work *works;
    struct size_class *classes;
    uint32_t class_count;
    uint32_t works_open;
    struct half **halves;
    uint32_t half_count, half_room, half_free, halves_used;
    uint64_t open_messages; /* posted, and neither delivered nor failed */
    uint64_t open_calls;
    struct prng prng;
    struct trace trace;
    struct te_sim_totals totals;
    struct te_sim_violation violations[TE_SIM_VIOLATIONS_MAX];
};

struct te_sim {
    struct world world;
};

void world_event(struct world *world, uint64_t time_ns, enum event_kind kind, uint32_t index);

struct accusation {
    uint32_t kind; /* enum te_sim_violation_kind */
    uint32_t flow;
    uint32_t node;
    uint32_t epoch;
    uint64_t message;
    uint64_t detail;
};

void world_accuse(struct world *world, const struct accusation *accusation);

static inline bool world_is_measured(const struct world *world, uint64_t time_ns) {
    return world->phase == PHASE_WORK && time_ns >= world->config->measure_from_ns &&
           time_ns < world->config->measure_to_ns;
}

#endif
