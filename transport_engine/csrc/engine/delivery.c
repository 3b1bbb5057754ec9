/* Messages and notices of flows become records for their application. */
#include "engine/delivery.h"

#include "engine/call_header.h"
#include "engine/sending.h"
#include "engine/shares.h"
#include "engine/tenants.h"
#include "transport_fates.h"

enum outcome {
    DELIVERED, /* everything that the flow had */
    BLOCKED,   /* the ring is full, or the budget is spent: go on later */
    CORRUPT
};

bool delivery_is_due(const struct engine *engine, const struct engine_flow *flow) {
    if (flow->flow.state == FLOW_CONNECTING) {
        return false;
    }
    return !flow->is_announced || flow->flow.state == FLOW_CLOSED ||
           reassembly_ready(&flow->flow.in, &engine->store) != NULL;
}

static enum outcome write_notice(struct tenant *tenant, const struct te_record *notice,
                                 const void *payload) {
    int error = TE_OK;
    struct te_record *record = channel_reserve(tenant->channel, notice->size_bytes, &error);
    if (record == NULL) {
        return error == TE_OK ? BLOCKED : CORRUPT;
    }
    *record = *notice;
    record->total_bytes = notice->size_bytes;
    record->flags = TE_FIRST | TE_LAST;
    if (payload != NULL) {
        memcpy(record + 1, payload, notice->size_bytes);
    }
    channel_commit(tenant->channel, notice->size_bytes);
    return DELIVERED;
}

static enum outcome announce(const struct engine *engine, struct tenant *tenant,
                             struct engine_flow *flow) {
    struct te_flow_ends ends = {
        .local = flow->flow.local,
        .remote = flow->flow.remote,
        .message_bytes_max = sending_bytes_max(engine, flow),
        .narrow_mtu_bytes = flow_narrow_mtu_bytes(&flow->flow),
        .number = flow->flow.local_id ^ flow->flow.remote_id,
    };
    struct te_record notice = {
        .kind = flow->flow.is_server ? TE_FLOW_ACCEPTED : TE_FLOW_OPENED,
        .flow = flow->handle,
        .call_id = flow->token,
        .size_bytes = sizeof ends,
    };
    enum outcome outcome = write_notice(tenant, &notice, &ends);
    flow->is_announced = outcome == DELIVERED;
    if (flow->is_announced) {
        channel_tell_acked(tenant->channel, flow->handle, 1); /* none yet */
    }
    return outcome;
}

static enum outcome tell_closed(struct engine *engine, struct tenant *tenant,
                                struct engine_flow *flow) {
    struct te_record notice = {
        .kind = TE_FLOW_CLOSED,
        .flow = flow->handle,
        .call_id = flow->is_announced ? 0 : flow->token,
        .status = flow->flow.reason,
    };
    enum outcome outcome = write_notice(tenant, &notice, NULL);
    if (outcome == DELIVERED) {
        tenant_disown(engine, flow);
        engine_touch(engine, flow);
    }
    return outcome;
}

/* Writes one piece of the message at the head of the flow. Field by field, into the ring: to copy a
 * record that has just been written so is to wait for that. */
static enum outcome write_piece(struct engine *engine, struct tenant *tenant,
                                const struct engine_flow *flow, const struct incoming *message,
                                const struct te_record *header) {
    struct transfer *transfer = &tenant->delivering;
    const uint32_t offset_bytes = transfer->offset_bytes;
    uint32_t total_bytes = message->body.total_bytes - TE_CALL_HEADER_BYTES;
    uint32_t left_bytes = total_bytes - offset_bytes;
    uint32_t size_bytes = left_bytes < TE_RECORD_PAYLOAD_MAX ? left_bytes : TE_RECORD_PAYLOAD_MAX;
    int first = offset_bytes == 0 ? TE_FIRST : 0;
    int last = size_bytes == left_bytes ? TE_LAST : 0;
    struct share *share = &engine->shares[flow->share];
    if (share->delivering.bytes <= 0) {
        return BLOCKED;
    }
    int error = TE_OK;
    struct te_record *record = channel_reserve(tenant->channel, size_bytes, &error);
    if (record == NULL) {
        return error == TE_OK ? BLOCKED : CORRUPT;
    }
    *record = (struct te_record){
        .call_id = header->call_id,
        .method_id = header->method_id,
        .remaining_ns = header->remaining_ns,
        .flow = flow->handle,
        .size_bytes = size_bytes,
        .offset_bytes = offset_bytes,
        .total_bytes = total_bytes,
        .kind = header->kind,
        .flags = (uint8_t)(header->flags | first | last),
        .lane = message->lane,
        .priority = message->priority,
        .status = header->status,
        .progress = header->progress,
    };
    share->delivering.bytes -= (int32_t)(sizeof *record + size_bytes);
    incoming_read(message, &engine->store, TE_CALL_HEADER_BYTES + offset_bytes,
                  (uint8_t *)(record + 1), size_bytes);
    channel_commit(tenant->channel, size_bytes);
    transfer->offset_bytes = offset_bytes + size_bytes;
    transfer->is_active = last == 0;
    return DELIVERED;
}

/* Whether a request waited here until nobody waits for its answer any more. */
static bool is_expired(const struct engine *engine, const struct incoming *message,
                       const struct te_record *header) {
    return header->kind == TE_REQUEST && header->remaining_ns != 0 &&
           engine->now_ns - message->moved_ns >= header->remaining_ns;
}

/* Says so in place of the application: an error without a word (docs/wire.md §6). Where there is
 * no memory to say it, the caller's own clock does. */
static void answer_expired(struct engine *engine, struct engine_flow *flow,
                           const struct te_record *request, uint8_t priority) {
    struct te_record reply = {
        .kind = TE_REPLY,
        .flags = TE_ERROR,
        .call_id = request->call_id,
        .method_id = request->method_id,
        .status = TE_DEADLINE_EXCEEDED,
    };
    uint8_t header[TE_CALL_HEADER_BYTES];
    engine->stats.requests_expired++;
    uint32_t index = NO_ITEM;
    if (flow->flow.state == FLOW_OPEN && share_has_memory(engine, sizeof header)) {
        index = send_queue_begin(&flow->flow.out, &engine->store, sizeof header, 0, priority);
    }
    if (index != NO_ITEM) {
        call_header_write(header, &reply);
        send_queue_append(&flow->flow.out, &engine->store, index, header, sizeof header);
    }
}

static enum outcome deliver_message(struct engine *engine, struct tenant *tenant,
                                    struct engine_flow *flow, const struct incoming *message) {
    uint8_t bytes[TE_CALL_HEADER_BYTES];
    struct te_record header;
    bool is_good = message->body.total_bytes >= sizeof bytes;
    if (is_good) {
        incoming_read(message, &engine->store, 0, bytes, sizeof bytes);
        is_good = call_header_read(bytes, &header);
    }
    if (!is_good) {
        flow_close(&flow->flow, &engine->store, TE_R_PROTOCOL, false, engine->now_ns);
        flow_release(&flow->flow, &engine->store);
        return DELIVERED;
    }
    if (!tenant->delivering.is_active && is_expired(engine, message, &header)) {
        answer_expired(engine, flow, &header, message->priority);
        flow_release(&flow->flow, &engine->store);
        return DELIVERED;
    }
    do {
        enum outcome outcome = write_piece(engine, tenant, flow, message, &header);
        if (outcome != DELIVERED) {
            return outcome;
        }
    } while (tenant->delivering.is_active);
    engine->stats.messages_received++;
    engine->stats.message_bytes_received += message->body.total_bytes - TE_CALL_HEADER_BYTES;
    tenant->delivering.offset_bytes = 0;
    flow_release(&flow->flow, &engine->store);
    return DELIVERED;
}

static enum outcome deliver_flow(struct engine *engine, struct tenant *tenant,
                                 struct engine_flow *flow, int *budget) {
    bool has_opened = flow->flow.is_server || flow->flow.remote_id != 0;
    enum outcome outcome = DELIVERED;
    struct share *share = &engine->shares[flow->share];
    if (!flow->is_announced && has_opened) {
        outcome = announce(engine, tenant, flow);
    }
    const struct incoming *message;
    while (outcome == DELIVERED &&
           (message = reassembly_ready(&flow->flow.in, &engine->store)) != NULL) {
        if ((*budget)-- <= 0 || share->delivering.items-- <= 0) {
            return BLOCKED;
        }
        if (flow->flow.state == FLOW_CLOSING && !tenant->delivering.is_active) {
            flow_release(&flow->flow, &engine->store); /* the application wants no more of it */
            continue;
        }
        outcome = deliver_message(engine, tenant, flow, message);
        engine_touch(engine, flow);
    }
    if (outcome == DELIVERED && flow->flow.state == FLOW_CLOSED) {
        outcome = tell_closed(engine, tenant, flow);
    }
    return outcome;
}

/* Takes the first flow out of the inbox. */
static void pop_inbox(struct engine *engine, struct tenant *tenant, struct engine_flow *flow) {
    tenant->inbox_first = flow->next_in_inbox;
    if (tenant->inbox_first == NO_ITEM) {
        tenant->inbox_last = NO_ITEM;
    }
    flow->is_in_inbox = false;
    engine_notify(engine, flow); /* to the end, if its turn ended before its messages did */
}

int delivery_poll(struct engine *engine, uint32_t index) {
    struct tenant *tenant = &engine->tenants[index];
    share_bill(engine, tenant->share);
    int budget = DELIVERIES_MAX;
    int count = 0;
    while (tenant->inbox_first != NO_ITEM) {
        struct engine_flow *flow = engine_flow_at(engine, tenant->inbox_first);
        int before = budget;
        enum outcome outcome = deliver_flow(engine, tenant, flow, &budget);
        count += before - budget;
        if (outcome == CORRUPT) {
            engine->stats.channels_quarantined++;
            tenant_stop(engine, index, TE_R_QUARANTINED);
            return count;
        }
        if (flow->is_in_inbox && !tenant->delivering.is_active) {
            pop_inbox(engine, tenant, flow); /* one that was told closed has left by itself */
        }
        if (outcome == BLOCKED) {
            return count;
        }
        count++;
    }
    return count;
}
