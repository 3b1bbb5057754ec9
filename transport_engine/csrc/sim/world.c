/* A world is opened from its configuration, and closed. */
#include "sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/limits.h"
#include "sim/check.h"
#include "sim/half.h"
#include "sim/node.h"
#include "sim/work.h"

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

/* Longer than any scenario: how long messages take is what they are about. */
static const uint64_t UNFINISHED_NS = UINT64_C(1) << 60;

/* As in an engine, a message and the first credit are a part of either pool at most. */
static struct flow_config config_of(const struct te_sim_config *all,
                                    const struct te_sim_flow *flow,
                                    struct flow_counters *counters) {
    const struct te_sim_settings *settings = &all->settings[flow->settings];
    uint64_t part_bytes = min_u64(all->nodes[flow->client].pool_bytes,
                                  all->nodes[flow->server].pool_bytes) / POOL_SHARE;
    struct flow_config config = {
        .parameters = {.message_bytes_max =
                           (uint32_t)min_u64(settings->message_bytes_max, part_bytes),
                       .credit_units =
                           min_u64(settings->credit_bytes, part_bytes) / CREDIT_UNIT_BYTES + 1},
        .congestion = congestion_find(settings->congestion),
        .counters = counters,
        .keep_alive_ns = settings->keep_alive_ns,
        .dead_ns = settings->dead_ns,
        .unfinished_ns = UNFINISHED_NS,
        .handshake_timeout_ns = settings->handshake_timeout_ns,
        .profile = settings->profile,
    };
    flow_config_derive(&config, settings->mtu_bytes);
    return config;
}

static bool open_flow(struct world *world, uint32_t index) {
    const struct te_sim_config *config = world->config;
    struct sim_flow *flow = &world->flows[index];
    flow->model = &config->flows[index];
    flow->config = config_of(config, flow->model, &flow->counters);
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
    packets_init(&world->packets);
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
            half_fini(world->halves[i]);
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
