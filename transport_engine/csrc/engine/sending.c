/* Records of an application become messages of its flows. */
#include "engine/sending.h"

#include "engine/call_header.h"
#include "engine/shares.h"
#include "engine/tenants.h"

enum take { TAKE_DONE, TAKE_LATER, TAKE_CORRUPT };

static bool is_sendable(const struct engine_flow *flow) {
    return flow != NULL && flow->flow.state == FLOW_OPEN;
}

/* Whether the flow has the message still that it is in the midst of: one that was closed at once
 * has given up all. */
static bool takes_rest(const struct engine_flow *flow) {
    return is_sendable(flow) || (flow != NULL && flow->flow.state == FLOW_CLOSING &&
                                 flow->flow.out.message_count > 0);
}

uint32_t sending_bytes_max(const struct engine *engine, const struct engine_flow *flow) {
    uint32_t peer = flow->flow.peer_message_bytes_max;
    uint32_t own = share_message_bytes_max(&engine->shares[flow->share]);
    uint32_t bytes = peer < own ? peer : own;
    return bytes > TE_CALL_HEADER_BYTES ? bytes - TE_CALL_HEADER_BYTES : 0;
}

/* A message for a flow that is gone, or that its peer would not take, is read and forgotten: the
 * application learns of the former by TE_FLOW_CLOSED, and of the limit when the flow opens. */
static enum take begin(struct engine *engine, struct tenant *tenant,
                       const struct te_record *record) {
    struct transfer *transfer = &tenant->sending;
    struct engine_flow *flow = tenant_find_flow(engine, tenant, record->flow);
    *transfer = (struct transfer){.is_active = true, .handle = record->flow};
    if (!is_sendable(flow) || record->total_bytes > sending_bytes_max(engine, flow)) {
        transfer->is_discarded = true;
        if (flow != NULL) {
            flow->acked_below = UINT64_MAX; /* or later calls would speak for this one */
        }
        return TAKE_DONE;
    }
    uint32_t total_bytes = record->total_bytes + TE_CALL_HEADER_BYTES;
    transfer->message = share_has_memory(engine, total_bytes)
                            ? send_queue_begin(&flow->flow.out, &engine->store, total_bytes,
                                               record->lane, record->priority)
                            : NO_ITEM;
    if (transfer->message == NO_ITEM) {
        *transfer = (struct transfer){0};
        return TAKE_LATER;
    }
    share_note_given(engine, total_bytes);
    return TAKE_DONE;
}

/* Nobody waits for the answer to a request whose time is over; what has a lane keeps its place. */
static void expire(struct engine *engine, uint32_t message, const struct te_record *record) {
    if (record->lane == 0 && record->remaining_ns != 0 &&
        record->remaining_ns < UINT64_MAX - engine->now_ns) {
        send_queue_expire(&engine->store, message, engine->now_ns + record->remaining_ns);
    }
}

static void append(struct engine *engine, struct tenant *tenant,
                        const struct te_record *record, const uint8_t *payload) {
    struct transfer *transfer = &tenant->sending;
    struct engine_flow *flow = tenant_find_flow(engine, tenant, transfer->handle);
    if (!takes_rest(flow)) {
        transfer->is_discarded = true;
        return;
    }
    if (!transfer->has_header) {
        uint8_t header[TE_CALL_HEADER_BYTES];
        call_header_write(header, record);
        send_queue_append(&flow->flow.out, &engine->store, transfer->message, header,
                          sizeof header);
        transfer->has_header = true;
        if (record->kind == TE_REQUEST) {
            send_queue_tag(&flow->flow.out, &engine->store, transfer->message, record->call_id);
            expire(engine, transfer->message, record);
        }
    }
    send_queue_append(&flow->flow.out, &engine->store, transfer->message, payload,
                      record->size_bytes);
    engine_touch(engine, flow);
}

void sending_tell_acked(const struct engine *engine, struct engine_flow *flow) {
    const uint64_t below = send_queue_unacked_tag(&flow->flow.out, &engine->store);
    if (below <= flow->acked_below || flow->tenant == NO_ITEM) {
        return;
    }
    const struct tenant *tenant = &engine->tenants[flow->tenant];
    if (tenant->reason == TE_R_NONE) {
        flow->acked_below = below;
        channel_tell_acked(tenant->channel, flow->handle, below);
    }
}

static enum take take_message(struct engine *engine, struct tenant *tenant,
                              const struct te_record *record, const uint8_t *payload) {
    enum take taken = TAKE_DONE;
    if (record->lane >= LANES || record->priority >= PRIORITIES) {
        return TAKE_CORRUPT;
    }
    if (!tenant->sending.is_active) {
        taken = begin(engine, tenant, record);
    }
    if (taken == TAKE_DONE && !tenant->sending.is_discarded) {
        append(engine, tenant, record, payload);
    }
    if (taken == TAKE_DONE && (record->flags & TE_LAST)) {
        if (!tenant->sending.is_discarded) {
            engine->stats.messages_sent++;
            engine->stats.message_bytes_sent += record->total_bytes;
        }
        tenant->sending = (struct transfer){0};
    }
    return taken;
}

static enum take take(struct engine *engine, struct tenant *tenant,
                      const struct te_record *record, const uint8_t *payload) {
    if (record->kind == TE_FLOW_CLOSE) {
        struct engine_flow *flow = tenant_find_flow(engine, tenant, record->flow);
        if (flow != NULL) {
            flow_close(&flow->flow, &engine->store, TE_R_CLOSED, true, engine->now_ns);
            engine_touch(engine, flow);
            engine_notify(engine, flow);
        }
        return TAKE_DONE;
    }
    return take_message(engine, tenant, record, payload);
}

static void pay(const struct engine *engine, struct share *share, const struct te_record *record) {
    uint32_t bytes = (uint32_t)sizeof *record + record->size_bytes;
    share->sending.items--;
    share->sending.bytes -= (int32_t)bytes;
    bucket_take(&share->bytes, engine->now_ns, bytes);
    if (record->flags & TE_LAST) {
        bucket_take(&share->messages, engine->now_ns, 1);
    }
}

/* Has the next record's flow fetched while this one is taken. */
static void fetch_ahead(const struct engine *engine, struct tenant *tenant, uint32_t handle) {
    uint32_t next;
    if (channel_ahead(tenant->channel, &next) && next != handle) {
        const struct engine_flow *flow = tenant_find_flow(engine, tenant, next);
        if (flow != NULL) {
            engine_fetch(flow);
        }
    }
}

int sending_poll(struct engine *engine, uint32_t index) {
    struct tenant *tenant = &engine->tenants[index];
    struct share *share = &engine->shares[tenant->share];
    struct te_record record;
    const uint8_t *payload;
    int count = 0;
    while (count < TENANT_RECORDS_MAX && share->sending.items > 0 && share->sending.bytes > 0) {
        int found = channel_peek(tenant->channel, &record, &payload);
        if (found == 0) {
            break;
        }
        if (count == 0) {
            share_bill(engine, tenant->share);
        }
        if (found > 0 && engine->stats.flows_open > FLOWS_CACHED) {
            fetch_ahead(engine, tenant, record.flow);
        }
        if (found > 0 && !share_may_send(engine, share)) {
            break; /* a record that was peeked at does not keep the engine awake */
        }
        enum take taken = found < 0 ? TAKE_CORRUPT : take(engine, tenant, &record, payload);
        if (taken == TAKE_CORRUPT) {
            engine->stats.channels_quarantined++;
            tenant_stop(engine, index, TE_R_QUARANTINED);
            break;
        }
        if (taken == TAKE_LATER) {
            break;
        }
        pay(engine, share, &record);
        channel_pop(tenant->channel);
        count++;
    }
    return count;
}
