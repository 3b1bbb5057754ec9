/* Messages that were begun and are not finished: of what they hold the memory is wanted by others.
 * Part of flow. */
#include "base/limits.h"
#include "flow/flow.h"

uint64_t flow_stalled_ns(const struct flow *flow) {
    bool may_be = flow->state == FLOW_OPEN && reassembly_waits(&flow->in);
    uint64_t since_ns = may_be ? flow->in.waiting_since_ns : UINT64_MAX;
    uint64_t patience_ns = flow->config->unfinished_ns;
    return since_ns < UINT64_MAX - patience_ns ? since_ns + patience_ns : UINT64_MAX;
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
