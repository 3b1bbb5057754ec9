/* What an engine counts, and a page of its open flows. */
#include "engine/report.h"

#include "engine/team.h"
#include "flow/congestion.h"

_Static_assert(sizeof((struct te_flow_page *)0)->flows / sizeof(struct te_flow_report)
                   == TE_FLOWS_PAGE, "a page has one size");

static void report(const struct engine *engine, const struct engine_flow *flow,
                   struct te_flow_report *report) {
    const struct flow *each = &flow->flow;
    *report = (struct te_flow_report){
        .local = each->local,
        .remote = each->remote,
        .channel = flow->tenant == NO_ITEM ? UINT32_MAX : flow->tenant,
        .messages = each->out.message_count,
        .open_ns = engine->now_ns - each->opened_ns,
        .in_flight_bytes = each->ledger.bytes_in_flight,
        .packets_sent = each->ledger.next_number - each->first_number,
        .packets_lost = each->packets_lost,
        .packet_bytes = each->packet_bytes,
    };
    if (each->rtt.has_sample) {
        report->srtt_ns = each->rtt.srtt_ns;
        report->rtt_min_ns = each->rtt.min_ns;
    }
    if (each->state == FLOW_OPEN || each->state == FLOW_CLOSING) {
        report->window_bytes = congestion_window_bytes(&each->congestion);
    }
}

void report_flows(struct engine *engine, struct te_flow_page *page) {
    uint32_t slot = page->next;
    page->count = 0;
    for (int looked = 0; slot < engine->flows_max && looked < TE_FLOWS_LOOKED_AT; looked++) {
        const struct engine_flow *flow = engine_flow_at(engine, slot);
        bool is_open = flow->flow.state != FLOW_FREE && flow->flow.state != FLOW_CLOSED;
        if (is_open && page->count == TE_FLOWS_PAGE) {
            break;
        }
        if (is_open) {
            report(engine, flow, &page->flows[page->count++]);
        }
        slot++;
    }
    page->next = slot < engine->flows_max ? slot : UINT32_MAX;
}

void engine_fill_stats(const struct engine *engine, struct te_stats *stats) {
    const struct flow_counters *counters = &engine->flow_counters;
    *stats = engine->stats;
    stats->now_ns = engine->now_ns;
    stats->datagrams_sent = engine->output.datagrams_sent;
    stats->bytes_sent = engine->output.bytes_sent;
    stats->datagrams_dropped_full = counters->packets_no_memory;
    if (engine->membership != NULL) {
        stats->datagrams_handed_over = engine->membership->handed_over;
        stats->handovers_lost = engine->membership->lost;
    }
    stats->packets_retransmitted = counters->packets_retransmitted;
    stats->packets_lost = counters->packets_lost;
    stats->packets_spurious = counters->packets_spurious;
    stats->packets_duplicate = counters->packets_duplicate;
    stats->packets_marked = counters->packets_marked;
    stats->rebinds = counters->rebinds;
    stats->probes = counters->probes;
    stats->timeouts = counters->timeouts;
    stats->flows_stalled = counters->stalls;
    stats->flows_narrowed = counters->narrowed;
    stats->pool_blocks = engine->store.blocks.capacity;
    stats->pool_blocks_free = engine->store.blocks.free_count;
    if (engine->netif->ops->add_stats != NULL) {
        engine->netif->ops->add_stats(engine->netif, stats);
    }
}
