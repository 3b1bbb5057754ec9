/* Messages that were begun and are not finished, and those that a peer does not take: of what they
 * hold the memory is wanted by others. Part of flow. */
#include "base/limits.h"
#include "flow/flow.h"

uint64_t flow_stalled_ns(const struct flow *flow) {
    bool may_be = flow->state == FLOW_OPEN && reassembly_waits(&flow->in);
    uint64_t since_ns = may_be ? flow->in.waiting_since_ns : UINT64_MAX;
    uint64_t patience_ns = flow->config->unfinished_ns;
    return since_ns < UINT64_MAX - patience_ns ? since_ns + patience_ns : UINT64_MAX;
}

/* A peer may take as long as it likes; but where no application has memory left to send with, one
 * that neither gives credit nor lets a message end, for as long as a silent one counts as alive,
 * does not hold on to it. Who sends as fast as he can leaves none at any time: if messages were
 * given as much as there is in that time, nobody lacks what this one holds. */
void flow_end_untaken(struct flow *flow, struct store *store, uint64_t now_ns) {
    struct fragment ignored;
    const uint32_t at = (uint32_t)(flow->out.units_limit + flow->out.whole.base);
    bool is_short = now_ns - store->refused_ns < flow->config->dead_ns;
    bool is_stuck = is_short && flow->state == FLOW_OPEN && send_queue_has_work(&flow->out) &&
                    !send_queue_pick(&flow->out, store, now_ns, &ignored);
    if (!is_stuck || at != flow->untaken_at || flow->untaken_since_ns == 0) {
        flow->untaken_at = at;
        flow->untaken_since_ns = is_stuck ? now_ns : 0;
    } else if (now_ns - flow->untaken_since_ns >= flow->config->dead_ns &&
               now_ns - store->renewed_ns >= flow->config->dead_ns) {
        flow->config->counters->stalls++;
        flow_close(flow, store, TE_R_NO_RESOURCES, false, now_ns);
    }
}

void flow_end_stalled(struct flow *flow, struct store *store, uint64_t now_ns) {
    if (now_ns < flow_stalled_ns(flow)) {
        return;
    }
    uint64_t since_ns = reassembly_waiting_since_ns(&flow->in, store);
    if (now_ns >= since_ns && now_ns - since_ns >= flow->config->unfinished_ns) {
        flow->config->counters->stalls++;
        flow_close(flow, store, TE_R_STALLED, false, now_ns);
    }
}
