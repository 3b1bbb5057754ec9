/* Writes a flow's packets: handshake, then whatever is due and allowed, in one datagram. */
#include "base/limits.h"
#include "flow/flow.h"
#include "flow/handshake.h"

enum transmit_constant {
    SMALL_WINDOW_PACKETS = 4,
    PROBES_PLAIN = 2 /* in a row before one brings the oldest message */
};

/* A packet being written. */
struct draft {
    uint8_t *out;
    size_t size_bytes; /* so far, header included */
    size_t limit_bytes; /* room for the trailer is kept */
    struct sent_packet *record;
    bool asks_ack;
    bool has_repeat;
};

static size_t room(const struct draft *draft) {
    return draft->limit_bytes - draft->size_bytes;
}

static void add_ack(struct flow *flow, struct draft *draft, uint64_t now_ns) {
    struct ack_frame ack;
    if (room(draft) < ACK_HEADER_BYTES) {
        return;
    }
    size_t fits = 1 + (room(draft) - ACK_HEADER_BYTES) / ACK_RANGE_BYTES;
    if (!sack_fill(&flow->sack, &ack, fits < ACK_RANGES_MAX ? (uint32_t)fits : ACK_RANGES_MAX)) {
        flow->ack_due_ns = UINT64_MAX; /* all that has come was refused */
        return;
    }
    ack.delay_ns = now_ns - flow->largest_received_ns;
    ack.marked_count = flow->marked_received;
    draft->size_bytes += frame_write_ack(draft->out + draft->size_bytes, &ack);
    draft->record->flags |= SENT_ACK;
    draft->record->acked_number = ack.ranges[0].last;
    flow->ack_count = 0;
    flow->ack_due_ns = UINT64_MAX;
}

static void add_fragment(struct flow *flow, struct store *store, struct draft *draft,
                         const struct fragment *fragment) {
    draft->has_repeat |= send_queue_is_repeat(store, fragment);
    draft->size_bytes +=
        send_queue_write(&flow->out, store, fragment, draft->out + draft->size_bytes);
    draft->record->fragments[draft->record->fragment_count++] = *fragment;
    draft->asks_ack = true;
}

static void add_messages(struct flow *flow, struct store *store, struct draft *draft,
                         uint64_t now_ns) {
    struct fragment fragment;
    while (draft->record->fragment_count < FRAGMENTS_MAX &&
           send_queue_pick(&flow->out, store, now_ns, &fragment) &&
           send_queue_size(&flow->out, store, &fragment) <= room(draft)) {
        add_fragment(flow, store, draft, &fragment);
    }
}

/* With nothing new to send, a probe repeats what the newest packet carried (RFC 8985 §7.3). */
static void repeat_newest(struct flow *flow, struct store *store, struct draft *draft) {
    if (flow->ledger.newest == NO_ITEM) {
        return;
    }
    const struct sent_packet *newest = pool_at(&store->sent, flow->ledger.newest);
    for (int i = 0; i < newest->fragment_count; i++) {
        uint32_t size_bytes = send_queue_size(&flow->out, store, &newest->fragments[i]);
        if (size_bytes > 0 && size_bytes <= room(draft)) {
            add_fragment(flow, store, draft, &newest->fragments[i]);
        }
    }
    flow->close_due |= (newest->flags & SENT_CLOSE) != 0;
    flow->credit_due |= (newest->flags & SENT_CREDIT) != 0;
}

/* A peer that is short of memory may refuse all but its oldest message (docs/wire.md §5). It gets
 * that, alone: a packet with a refused message is not acknowledged. */
static void add_oldest(struct flow *flow, struct store *store, struct draft *draft) {
    struct fragment fragment;
    if (send_queue_pick_oldest(&flow->out, store, &fragment) &&
        send_queue_size(&flow->out, store, &fragment) <= room(draft)) {
        add_fragment(flow, store, draft, &fragment);
    }
}

/* With a window of a few packets a delayed acknowledgement would stop the flow: ask for it. */
static bool is_last_of_small_window(const struct flow *flow, const struct draft *draft) {
    uint64_t window_bytes = congestion_window_bytes(&flow->congestion);
    uint64_t next_bytes = flow->ledger.bytes_in_flight + draft->size_bytes +
                          flow->congestion.packet_bytes;
    return draft->asks_ack && next_bytes > window_bytes &&
           window_bytes < SMALL_WINDOW_PACKETS * flow->congestion.packet_bytes &&
           send_queue_has_work(&flow->out);
}

static void add_control(struct flow *flow, struct draft *draft) {
    if (flow->credit_due && room(draft) >= CREDIT_BYTES) {
        flow->in.units_limit = flow->in.units_released + flow->config->parameters.credit_units;
        draft->size_bytes +=
            frame_write_credit(draft->out + draft->size_bytes, flow->in.units_limit);
        draft->record->flags |= SENT_CREDIT;
        draft->asks_ack = true;
        flow->credit_due = false;
    }
    if (flow->close_due && room(draft) >= CLOSE_BYTES) {
        draft->size_bytes += frame_write_close(draft->out + draft->size_bytes, flow->reason);
        draft->record->flags |= SENT_CLOSE;
        draft->asks_ack = true;
        flow->close_due = false;
        flow->close_sent = true;
    }
    if ((flow->ping_due || flow->probes_due || is_last_of_small_window(flow, draft)) &&
        room(draft) >= PING_BYTES) {
        draft->out[draft->size_bytes++] = FRAME_PING;
        draft->asks_ack = true;
        flow->ping_due = false;
    }
}

/* Enters the draft into the ledger. */
static void record(struct flow *flow, struct store *store, const struct draft *draft,
                   uint32_t index, uint64_t now_ns) {
    struct sent_packet *packet = draft->record;
    packet->number = flow->ledger.next_number;
    packet->sent_ns = now_ns;
    packet->size_bytes = (uint32_t)draft->size_bytes + PACKET_TRAILER_BYTES;
    if (flow->ledger.count == 0) {
        flow->waiting_since_ns = now_ns;
    }
    pacer_sent(&flow->pacer, now_ns, packet->size_bytes);
    ledger_add(&flow->ledger, store, index);
    flow->config->counters->packets_retransmitted += draft->has_repeat;
}

static void fill(struct flow *flow, struct store *store, struct draft *draft, uint64_t now_ns) {
    bool is_open = flow_has_window(flow) && now_ns >= flow->pacer.next_ns;
    bool may_send = is_open || flow->probes_due > 0;
    if (flow->probes_due > 0 && flow->probe_count > PROBES_PLAIN) {
        add_oldest(flow, store, draft);
    }
    if (may_send && draft->record->fragment_count == 0) {
        add_messages(flow, store, draft, now_ns);
        if (flow->probes_due > 0 && draft->record->fragment_count == 0) {
            repeat_newest(flow, store, draft);
        }
    }
    add_control(flow, draft);
    flow->probes_due = 0;
    flow->is_limited = !may_send && send_queue_has_work(&flow->out);
    flow->was_limited |= flow->is_limited;
}

/* An acknowledgement that is due goes first, so that bulk cannot starve it; one that still waits
 * for company rides along where it fits. */
static void compose(struct flow *flow, struct store *store, struct draft *draft, uint64_t now_ns) {
    struct sent_packet unrecorded; /* acknowledgements alone are not in the ledger */
    uint32_t entry = flow->state == FLOW_CLOSED ? NO_ITEM : pool_take(&store->sent);
    draft->record = entry == NO_ITEM ? &unrecorded : pool_at(&store->sent, entry);
    draft->record->flags = 0;
    draft->record->fragment_count = 0;
    if (now_ns >= flow->ack_due_ns) {
        add_ack(flow, draft, now_ns);
    }
    if (entry == NO_ITEM) {
        return;
    }
    fill(flow, store, draft, now_ns);
    if (!draft->asks_ack) {
        pool_give(&store->sent, entry);
        return;
    }
    if (flow->ack_due_ns != UINT64_MAX) {
        add_ack(flow, draft, now_ns);
    }
    record(flow, store, draft, entry, now_ns);
}

/* Most looks at a flow are in vain: after its last packet, and after each that it received. */
static bool has_nothing_to_say(const struct flow *flow, uint64_t now_ns) {
    return !send_queue_has_work(&flow->out) && now_ns < flow->ack_due_ns && !flow->credit_due &&
           !flow->close_due && !flow->ping_due && flow->probes_due == 0;
}

size_t flow_transmit(struct flow *flow, struct store *store, uint64_t now_ns, uint8_t *out) {
    if (flow->hello_due) {
        return handshake_write(flow, now_ns, out);
    }
    if (flow->state == FLOW_CONNECTING || flow->state == FLOW_FREE) {
        return 0;
    }
    size_t limit_bytes = rebinding_limit_bytes(flow);
    if (limit_bytes == 0 || has_nothing_to_say(flow, now_ns)) {
        flow->is_limited = false;
        return 0;
    }
    struct draft draft = {
        .out = out,
        .size_bytes = PACKET_HEADER_BYTES,
        .limit_bytes = limit_bytes - PACKET_TRAILER_BYTES,
    };
    compose(flow, store, &draft, now_ns);
    if (draft.size_bytes == PACKET_HEADER_BYTES) {
        return 0;
    }
    struct packet packet = {
        .destination_id = flow->remote_id,
        .source_id = flow->local_id,
        .number = flow->ledger.next_number++,
        .version = PACKET_VERSION,
        .type = PACKET_DATA,
    };
    packet_write_header(out, &packet);
    rebinding_sent(flow, draft.size_bytes + PACKET_TRAILER_BYTES);
    return packet_seal(out, draft.size_bytes);
}
