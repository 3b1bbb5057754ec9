/* The simulator's loop, and the phases of a run: work, healing, closing. */
#include "sim/half.h"
#include "sim/messages.h"
#include "sim/node.h"
#include "sim/route.h"
#include "sim/work.h"

enum { STILL_EVENTS_MAX = 2000000 };

static void accuse_world(struct world *world, uint32_t kind, uint32_t node, uint64_t detail) {
    world_accuse(world, &(struct accusation){.kind = kind, .flow = UINT32_MAX, .node = node,
                                             .message = UINT64_MAX, .detail = detail});
}

/* ---- phases ---- */

static void note_flows(struct world *world) {
    for (uint32_t i = 0; i < world->config->flow_count; i++) {
        struct sim_flow *flow = &world->flows[i];
        if (flow->client_half != NO_ITEM) {
            const struct flow *half = &world->halves[flow->client_half]->flow;
            flow->result.window_bytes = congestion_window_bytes(&half->congestion);
            flow->result.srtt_ns = half->rtt.srtt_ns;
            flow->result.target_ns = half->congestion.swift.target_ns;
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
