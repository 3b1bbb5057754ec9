/* What a simulation tells while it runs and afterwards. */
#include <string.h>

#include "sim/world.h"

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
        .touched_ns = tally_quantiles(&class->touched),
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
