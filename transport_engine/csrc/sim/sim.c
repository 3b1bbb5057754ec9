/* The simulator's loop, its phases, and what it tells afterwards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "sim/check.h"
#include "sim/half.h"
#include "sim/messages.h"
#include "sim/node.h"
#include "sim/route.h"
#include "sim/work.h"

enum sim_constant {
    PACKET_ROOM_BYTES = PACKET_BYTES_MAX,
    IP_UDP_BYTES = 48, /* as an engine counts */
    STILL_EVENTS_MAX = 2000000,
    RTO_MIN_RACK_NS = 1000000,
    RTO_MIN_CLOUD_NS = 5000000,
    ACK_DELAY_RACK_NS = 20000,
    ACK_DELAY_CLOUD_NS = 100000
};

struct te_sim {
    struct world world;
};

void world_event(struct world *world, uint64_t time_ns, enum event_kind kind, uint32_t index) {
    world->is_out_of_memory |= !events_push(&world->events, time_ns, kind, index);
}

void world_accuse(struct world *world, const struct accusation *accusation) {
    uint64_t place = world->totals.violations++;
    if (place < TE_SIM_VIOLATIONS_MAX) {
        world->violations[place] = (struct te_sim_violation){
            .at_ns = world->now_ns,
            .message = accusation->message,
            .detail = accusation->detail,
            .kind = accusation->kind,
            .flow = accusation->flow,
            .epoch = accusation->epoch,
            .node = accusation->node,
        };
    }
}

static void accuse_world(struct world *world, uint32_t kind, uint32_t node, uint64_t detail) {
    world_accuse(world, &(struct accusation){.kind = kind, .flow = UINT32_MAX, .node = node,
                                             .message = UINT64_MAX, .detail = detail});
}

/* ---- opening ---- */

static struct flow_config config_of(const struct te_sim_settings *settings,
                                    struct flow_counters *counters) {
    bool is_rack = settings->profile == PROFILE_RACK;
    uint32_t packet_bytes = settings->mtu_bytes - IP_UDP_BYTES;
    if (packet_bytes > PACKET_BYTES_MAX) {
        packet_bytes = PACKET_BYTES_MAX;
    }
    return (struct flow_config){
        .parameters = {packet_bytes - PACKET_BYTES_MIN - MESSAGE_HEADER_BYTES,
                       settings->message_bytes_max,
                       settings->credit_bytes / CREDIT_UNIT_BYTES + 1},
        .congestion = congestion_find(settings->congestion),
        .counters = counters,
        .rto_min_ns = is_rack ? RTO_MIN_RACK_NS : RTO_MIN_CLOUD_NS,
        .ack_delay_ns = is_rack ? ACK_DELAY_RACK_NS : ACK_DELAY_CLOUD_NS,
        .keep_alive_ns = settings->keep_alive_ns,
        .dead_ns = settings->dead_ns,
        .handshake_timeout_ns = settings->handshake_timeout_ns,
        .packet_bytes = packet_bytes,
        .profile = settings->profile,
    };
}

static bool open_flow(struct world *world, uint32_t index) {
    const struct te_sim_config *config = world->config;
    struct sim_flow *flow = &world->flows[index];
    flow->model = &config->flows[index];
    flow->config = config_of(&config->settings[flow->model->settings], &flow->counters);
    flow->client_half = flow->server_halves = NO_ITEM;
    flow->result.opened_ns = UINT64_MAX;
    world_event(world, flow->model->start_ns, EVENT_OPEN, index);
    if (config->bin_ns != 0) {
        flow->bins = calloc(TE_SIM_BINS_MAX, sizeof *flow->bins);
        return flow->bins != NULL;
    }
    return true;
}

static bool open_links(struct world *world) {
    for (uint32_t i = 0; i < world->config->link_count; i++) {
        struct prng stream = {world->config->seed ^ UINT64_C(0x9E6C63D0676A9A99) * (i + 1)};
        link_init(&world->links[i], &world->config->links[i], prng_next(&stream));
        world->links[i].measure_from_ns = world->config->measure_from_ns;
        world->links[i].measure_to_ns = world->config->measure_to_ns;
        if (world->links[i].queue == NULL) {
            return false;
        }
    }
    return true;
}

static bool open_classes(struct world *world) {
    const struct te_sim_config *config = world->config;
    for (uint32_t i = 0; i < config->workload_count; i++) {
        world->works[i].first_class = world->class_count;
        world->class_count += config->workloads[i].class_count + 1;
    }
    world->classes = calloc(world->class_count, sizeof *world->classes);
    for (uint32_t i = 0, at = 0; world->classes != NULL && i < config->workload_count; i++) {
        const struct te_sim_workload *work = &config->workloads[i];
        for (uint32_t k = 0; k <= work->class_count; k++, at++) {
            world->classes[at].workload = i;
            world->classes[at].size_max_bytes =
                k < work->class_count ? work->class_bytes[k] : UINT32_MAX;
        }
    }
    return world->classes != NULL;
}

static bool open_world(struct world *world) {
    const struct te_sim_config *config = world->config;
    prng_init(&world->prng, config->seed);
    packets_init(&world->packets, PACKET_ROOM_BYTES);
    world->half_free = NO_ITEM;
    world->phase_end_ns = config->duration_ns;
    world->links = calloc(config->link_count, sizeof *world->links);
    world->nodes = calloc(config->node_count, sizeof *world->nodes);
    world->flows = calloc(config->flow_count, sizeof *world->flows);
    world->works = calloc(config->workload_count, sizeof *world->works);
    bool is_good = world->links != NULL && world->nodes != NULL && world->flows != NULL &&
                   world->works != NULL && open_links(world) && open_classes(world);
    for (uint32_t i = 0; is_good && i < config->node_count; i++) {
        is_good = node_init(world, i);
    }
    for (uint32_t i = 0; is_good && i < config->flow_count; i++) {
        is_good = open_flow(world, i);
    }
    for (uint32_t i = 0; is_good && i < config->workload_count; i++) {
        is_good = work_init(world, i);
    }
    for (uint32_t i = 0; i < config->event_count; i++) {
        world_event(world, config->events[i].at_ns, EVENT_SCRIPT, i);
    }
    return is_good && !world->is_out_of_memory;
}

int te_sim_open(const struct te_sim_config *config, struct te_sim **opened, char *why) {
    int error = check_config(config, why);
    if (error != TE_OK) {
        return error;
    }
    struct te_sim *sim = calloc(1, sizeof *sim);
    if (sim == NULL) {
        snprintf(why, TE_WHY_BYTES, "no memory for a simulation");
        return TE_E_NO_MEMORY;
    }
    crc32c_select();
    sim->world.config = config;
    if (!open_world(&sim->world)) {
        te_sim_close(sim);
        snprintf(why, TE_WHY_BYTES, "no memory for %u nodes: lower pool_bytes",
                 config->node_count);
        return TE_E_NO_MEMORY;
    }
    *opened = sim;
    return TE_OK;
}

void te_sim_close(struct te_sim *sim) {
    struct world *world = &sim->world;
    for (uint32_t i = 0; i < world->half_count; i++) {
        if (world->halves[i]->is_used) {
            half_fini(world, world->halves[i]);
        }
        free(world->halves[i]);
    }
    for (uint32_t i = 0; i < world->config->link_count && world->links != NULL; i++) {
        link_fini(&world->links[i]);
    }
    for (uint32_t i = 0; i < world->config->node_count && world->nodes != NULL; i++) {
        node_fini(&world->nodes[i]);
    }
    for (uint32_t i = 0; i < world->config->flow_count && world->flows != NULL; i++) {
        free(world->flows[i].bins);
        free(world->flows[i].waiting[FORWARD].items);
        free(world->flows[i].waiting[BACK].items);
    }
    for (uint32_t i = 0; i < world->config->workload_count && world->works != NULL; i++) {
        work_fini(&world->works[i]);
    }
    events_fini(&world->events);
    packets_fini(&world->packets);
    free(world->links);
    free(world->nodes);
    free(world->flows);
    free(world->works);
    free(world->classes);
    free(world->halves);
    free(world->trace.lines);
    free(sim);
}

/* ---- phases ---- */

static void note_flows(struct world *world) {
    for (uint32_t i = 0; i < world->config->flow_count; i++) {
        struct sim_flow *flow = &world->flows[i];
        if (flow->client_half != NO_ITEM) {
            const struct flow *half = &world->halves[flow->client_half]->flow;
            flow->result.window_bytes = congestion_window_bytes(&half->congestion);
            flow->result.srtt_ns = half->rtt.srtt_ns;
        }
    }
}

static void start_healing(struct world *world) {
    uint64_t now_ns = world->now_ns;
    uint64_t measured_to_ns =
        now_ns < world->config->measure_to_ns ? now_ns : world->config->measure_to_ns;
    uint64_t from_ns = world->config->measure_from_ns;
    note_flows(world);
    world->totals.work_end_ns = now_ns;
    world->totals.measured_ns = measured_to_ns > from_ns ? measured_to_ns - from_ns : 0;
    world->phase = PHASE_HEAL;
    world->phase_end_ns = now_ns + world->config->heal_ns;
    for (uint32_t i = 0; i < world->config->link_count; i++) {
        world->links[i].measure_to_ns = measured_to_ns;
        link_heal(&world->links[i]);
    }
    for (uint32_t i = 0; i < world->config->node_count; i++) {
        node_boot(world, i);
    }
}

static void start_closing(struct world *world) {
    world->totals.drained_ns = world->now_ns;
    world->phase = PHASE_CLOSE;
    world->phase_end_ns = world->now_ns + world->config->heal_ns;
    for (uint32_t i = 0; i < world->config->flow_count; i++) {
        uint32_t client = world->flows[i].client_half;
        if (client != NO_ITEM) {
            half_close(world, world->halves[client]);
        }
    }
}

static bool has_leaked(const struct store *store) {
    return store->blocks.free_count != store->blocks.capacity ||
           store->outgoing.free_count != store->outgoing.capacity ||
           store->incoming.free_count != store->incoming.capacity ||
           store->sent.free_count != store->sent.capacity;
}

static void finish(struct world *world) {
    for (uint32_t i = 0; i < world->config->node_count; i++) {
        const struct store *store = &world->nodes[i].store;
        if (has_leaked(store)) {
            accuse_world(world, TE_SIM_V_LEAK, i,
                         store->blocks.capacity - store->blocks.free_count);
        }
    }
    world->phase = PHASE_OVER;
}

static void stop_stuck(struct world *world) {
    messages_accuse_open(world);
    accuse_world(world, TE_SIM_V_STUCK, UINT32_MAX, world->open_messages + world->open_calls);
    world->phase = PHASE_OVER;
}

/* Moves on when a phase has reached its goal, or its time is over. */
static void advance(struct world *world) {
    bool is_late = world->now_ns >= world->phase_end_ns;
    bool is_drained = world->open_messages == 0 && world->open_calls == 0;
    switch (world->phase) {
    case PHASE_WORK:
        if (is_late || (world->works_open == 0 && is_drained)) {
            start_healing(world);
        }
        break;
    case PHASE_HEAL:
        if (is_drained) {
            start_closing(world);
        } else if (is_late) {
            stop_stuck(world);
        }
        break;
    case PHASE_CLOSE:
        if (world->halves_used == 0) {
            finish(world);
        } else if (is_late) {
            stop_stuck(world);
        }
        break;
    default:
        break;
    }
}

/* ---- events ---- */

static void play_script(struct world *world, uint32_t index) {
    const struct te_sim_event *event = &world->config->events[index];
    if (world->phase != PHASE_WORK) {
        return;
    }
    switch (event->kind) {
    case TE_SIM_LINK_DOWN:
        world->links[event->target].down_count++;
        break;
    case TE_SIM_LINK_UP:
        world->links[event->target].down_count -= world->links[event->target].down_count > 0;
        break;
    case TE_SIM_LINK_RATE:
        link_set_rate(&world->links[event->target], event->value);
        break;
    case TE_SIM_LINK_DELAY:
        world->links[event->target].model.delay_ns = event->value;
        break;
    case TE_SIM_LINK_LOSS:
        world->links[event->target].model.loss_ppm = (uint32_t)event->value;
        break;
    case TE_SIM_NODE_STALL:
        node_stall(world, event->target, event->value);
        break;
    default:
        node_crash(world, event->target, event->value);
        break;
    }
}

static void stall_at_random(struct world *world, uint32_t index) {
    struct node *node = &world->nodes[index];
    const struct te_sim_node *model = node->model;
    if (world->phase != PHASE_WORK) {
        return;
    }
    uint64_t range_ns = model->stall_max_ns - model->stall_min_ns + 1;
    node_stall(world, index, model->stall_min_ns + prng_next(&node->prng) % range_ns);
    node_plan_stall(world, index);
}

static void handle(struct world *world, const struct event *event) {
    switch (event->kind) {
    case EVENT_LINK:
        route_link_event(world, event->index);
        break;
    case EVENT_PACKET:
        route_arrive(world, event->index);
        break;
    case EVENT_TIMER:
        half_timer(world, event->index);
        break;
    case EVENT_OPEN:
        if (world->phase < PHASE_CLOSE) {
            half_connect(world, event->index);
        }
        break;
    case EVENT_WORK:
        work_event(world, event->index);
        break;
    case EVENT_WAKE:
        node_wake(world, event->index);
        break;
    case EVENT_STALL:
        stall_at_random(world, event->index);
        break;
    case EVENT_BOOT:
        node_boot(world, event->index);
        break;
    default:
        play_script(world, event->index);
        break;
    }
}

/* Time stops at the end of a phase, even when nothing happens there. */
static void step(struct world *world) {
    struct event event;
    bool has_event = events_pop(&world->events, &event);
    if (!has_event || event.time_ns >= world->phase_end_ns) {
        if (has_event) {
            world->is_out_of_memory |= !events_push_ordered(&world->events, &event);
        }
        world->now_ns = world->phase_end_ns;
        return;
    }
    world->still_events = event.time_ns == world->now_ns ? world->still_events + 1 : 0;
    world->now_ns = event.time_ns;
    world->totals.events++;
    handle(world, &event);
    if (world->still_events > STILL_EVENTS_MAX) {
        accuse_world(world, TE_SIM_V_SPIN, UINT32_MAX, world->still_events);
        world->phase = PHASE_OVER;
    }
}

int te_sim_run(struct te_sim *sim, uint64_t events_max) {
    struct world *world = &sim->world;
    uint32_t trace_lines = world->config->trace_lines;
    for (uint64_t i = 0; i < events_max && world->phase != PHASE_OVER; i++) {
        if (world->is_out_of_memory) {
            return TE_E_NO_MEMORY;
        }
        step(world);
        advance(world);
        if (trace_lines > 0 && world->trace.count >= trace_lines) {
            break;
        }
    }
    return world->phase != PHASE_OVER;
}

/* ---- results ---- */

uint32_t te_sim_trace(struct te_sim *sim, struct te_sim_trace_line *lines, uint32_t lines_max) {
    struct trace *trace = &sim->world.trace;
    uint32_t left = trace->count - trace->taken;
    uint32_t count = left < lines_max ? left : lines_max;
    if (count > 0) {
        memcpy(lines, trace->lines + trace->taken, count * sizeof *lines);
    }
    trace->taken += count;
    if (trace->taken == trace->count) {
        trace->taken = trace->count = 0;
    }
    return count;
}

void te_sim_totals(const struct te_sim *sim, struct te_sim_totals *totals) {
    const struct world *world = &sim->world;
    *totals = world->totals;
    totals->now_ns = world->now_ns;
    for (uint32_t i = 0; i < world->config->flow_count; i++) {
        const struct flow_counters *counters = &world->flows[i].counters;
        totals->probes += counters->probes;
        totals->timeouts += counters->timeouts;
        totals->packets_declared_lost += counters->packets_lost;
    }
}

int te_sim_violation_at(const struct te_sim *sim, uint32_t index, struct te_sim_violation *out) {
    if (index >= TE_SIM_VIOLATIONS_MAX || index >= sim->world.totals.violations) {
        return 0;
    }
    *out = sim->world.violations[index];
    return 1;
}

int te_sim_link_at(const struct te_sim *sim, uint32_t index, struct te_sim_link_result *out) {
    enum { PS_PER_NS = 1000 };
    if (index >= sim->world.config->link_count) {
        return 0;
    }
    const struct link *link = &sim->world.links[index];
    *out = link->result;
    out->busy_ns /= PS_PER_NS;
    out->queue_bytes = tally_quantiles(link->queue);
    return 1;
}

int te_sim_flow_at(const struct te_sim *sim, uint32_t index, struct te_sim_flow_result *out) {
    if (index >= sim->world.config->flow_count) {
        return 0;
    }
    const struct sim_flow *flow = &sim->world.flows[index];
    *out = flow->result;
    out->probes = flow->counters.probes;
    out->timeouts = flow->counters.timeouts;
    out->packets_declared_lost = flow->counters.packets_lost;
    out->packets_retransmitted = flow->counters.packets_retransmitted;
    return 1;
}

int te_sim_class_at(const struct te_sim *sim, uint32_t index, struct te_sim_class_result *out) {
    if (index >= sim->world.class_count) {
        return 0;
    }
    const struct size_class *class = &sim->world.classes[index];
    *out = (struct te_sim_class_result){
        .workload = class->workload,
        .size_max_bytes = class->size_max_bytes,
        .failed = class->failed,
        .completion_ns = tally_quantiles(&class->completion),
        .slowdown_milli = tally_quantiles(&class->slowdown),
        .untouched_ns = tally_quantiles(&class->untouched),
    };
    return 1;
}

uint32_t te_sim_bins(const struct te_sim *sim, uint32_t index, uint64_t *bins,
                     uint32_t bins_max) {
    const struct world *world = &sim->world;
    if (index >= world->config->flow_count || world->flows[index].bins == NULL) {
        return 0;
    }
    uint64_t used = world->totals.work_end_ns / world->config->bin_ns + 1;
    uint32_t count = used < bins_max ? (uint32_t)used : bins_max;
    count = count < TE_SIM_BINS_MAX ? count : TE_SIM_BINS_MAX;
    memcpy(bins, world->flows[index].bins, count * sizeof *bins);
    return count;
}
