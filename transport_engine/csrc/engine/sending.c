/* Records of an application become messages of its flows. */
#include "engine/sending.h"

#include "engine/call_header.h"
#include "engine/tenants.h"

enum { INCOMING_SHARE = 4 };

enum take { TAKE_DONE, TAKE_LATER, TAKE_CORRUPT };

static bool is_sendable(const struct engine_flow *flow) {
    return flow != NULL && flow->flow.state == FLOW_OPEN;
}

/* A message for a flow that is gone, or that its peer would not take, is read and forgotten: the
 * application learns of the former by TE_FLOW_CLOSED, and of the limit when the flow opens. */
static enum take begin(struct engine *engine, struct tenant *tenant,
                       const struct te_record *record) {
    struct transfer *transfer = &tenant->sending;
    struct engine_flow *flow = tenant_find_flow(engine, tenant, record->flow);
    *transfer = (struct transfer){.is_active = true, .handle = record->flow};
    if (!is_sendable(flow) || record->total_bytes > flow->flow.peer_message_bytes_max -
                                                        TE_CALL_HEADER_BYTES) {
        transfer->is_discarded = true;
        return TAKE_DONE;
    }
    transfer->message =
        send_queue_begin(&flow->flow.out, &engine->store,
                         record->total_bytes + TE_CALL_HEADER_BYTES, record->lane,
                         record->priority);
    if (transfer->message == NO_ITEM) {
        *transfer = (struct transfer){0};
        return TAKE_LATER;
    }
    return TAKE_DONE;
}

static enum take append(struct engine *engine, struct tenant *tenant,
                        const struct te_record *record, const uint8_t *payload) {
    struct transfer *transfer = &tenant->sending;
    struct engine_flow *flow = tenant_find_flow(engine, tenant, transfer->handle);
    if (!is_sendable(flow)) {
        transfer->is_discarded = true;
        return TAKE_DONE;
    }
    if (!transfer->has_header) {
        uint8_t header[TE_CALL_HEADER_BYTES];
        call_header_write(header, record);
        if (!send_queue_append(&flow->flow.out, &engine->store, transfer->message, header,
                               sizeof header)) {
            return TAKE_LATER;
        }
        transfer->has_header = true;
    }
    if (record->size_bytes > 0 &&
        !send_queue_append(&flow->flow.out, &engine->store, transfer->message, payload,
                           record->size_bytes)) {
        return TAKE_LATER;
    }
    engine_touch(engine, flow);
    return TAKE_DONE;
}

/* A quarter of the memory is left to what arrives: two engines full of what they want to send
 * could not take each other's acknowledged bytes otherwise. */
static bool has_memory(const struct store *store) {
    return store->blocks.free_count > store->blocks.capacity / INCOMING_SHARE;
}

static enum take take_message(struct engine *engine, struct tenant *tenant,
                              const struct te_record *record, const uint8_t *payload) {
    enum take taken = has_memory(&engine->store) ? TAKE_DONE : TAKE_LATER;
    if (record->lane >= LANES || record->priority >= PRIORITIES) {
        return TAKE_CORRUPT;
    }
    if (taken == TAKE_DONE && !tenant->sending.is_active) {
        taken = begin(engine, tenant, record);
    }
    if (taken == TAKE_DONE && !tenant->sending.is_discarded) {
        taken = append(engine, tenant, record, payload);
    }
    if (taken == TAKE_DONE && (record->flags & TE_LAST)) {
        engine->stats.messages_sent += !tenant->sending.is_discarded;
        engine->stats.message_bytes_sent += record->total_bytes;
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

int sending_poll(struct engine *engine, uint32_t index) {
    struct tenant *tenant = &engine->tenants[index];
    int count = 0;
    while (count < TENANT_RECORDS_MAX) {
        struct te_record record;
        const uint8_t *payload;
        int found = channel_peek(tenant->channel, &record, &payload);
        if (found == 0) {
            break;
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
        channel_pop(tenant->channel);
        count++;
    }
    return count;
}
