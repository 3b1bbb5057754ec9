/* The flow's life and what it does with packets and time; flow/handshake.c opens it,
 * flow/transmit.c writes its packets. */
#include "flow/flow.h"

#include "base/limits.h"
#include "flow/handshake.h"

enum flow_constant {
    ECN_CE = 3,    /* RFC 3168 §5 */
    ACK_EVERY = 2, /* RFC 9000 §13.2.2 */
    PERSISTENT_RTOS = 3, /* RFC 9002 §7.6.1 */
    PROBES_EVEN = 16, /* each followed by a wait of an RTO; then it doubles */
    PROBE_BACKOFF_MAX = 6,
    PROBE_WAIT_MAX_NS = 200000000
};

static void init(struct flow *flow, const struct flow_config *config,
                 const struct flow_birth *birth, uint64_t now_ns) {
    *flow = (struct flow){
        .local_id = birth->local_id,
        .local = birth->local,
        .remote = birth->remote,
        .config = config,
        .first_number = birth->first_number,
        .packet_bytes = (uint16_t)config->packet_bytes,
        .hello_due = true,
        .opened_ns = now_ns,
        .hello_next_ns = now_ns,
        .ack_due_ns = UINT64_MAX,
        .last_heard_ns = now_ns,
        .waiting_since_ns = now_ns,
        .close_deadline_ns = UINT64_MAX,
    };
    send_queue_init(&flow->out, config->parameters.segment_bytes);
    reassembly_init(&flow->in, config->parameters.segment_bytes, 0, 0);
    ledger_init(&flow->ledger, birth->first_number);
    rtt_init(&flow->rtt);
    pacer_init(&flow->pacer);
}

void flow_connect(struct flow *flow, const struct flow_config *config,
                  const struct flow_birth *birth, uint64_t now_ns) {
    init(flow, config, birth, now_ns);
    flow->hello_bytes = flow->packet_bytes;
    /* Flows that open in the same instant would measure one another's INITs, not the path. */
    flow->hello_due = false;
    flow->hello_next_ns = now_ns + flow_dither(flow) * FLOW_SPREAD_NS / 256;
    flow->waiting_since_ns = flow->hello_next_ns;
    flow->state = FLOW_CONNECTING;
}

void flow_accept(struct flow *flow, const struct flow_config *config,
                 const struct flow_birth *birth, const struct packet *packet, uint64_t now_ns) {
    struct parameters peer;
    init(flow, config, birth, now_ns);
    flow->is_server = true;
    flow->remote_id = packet->source_id;
    if (parameters_parse(packet->body, packet->body_bytes, &peer)) {
        handshake_ask(flow, packet);
        handshake_open(flow, &peer, packet->number);
    } else {
        flow_abort(flow, TE_R_PROTOCOL);
    }
}

void flow_fini(struct flow *flow, struct store *store) {
    send_queue_fini(&flow->out, store);
    reassembly_fini(&flow->in, store);
    ledger_fini(&flow->ledger, store);
    flow->state = FLOW_FREE;
}

void flow_abort(struct flow *flow, uint8_t reason) {
    flow->state = FLOW_CLOSED;
    flow->reason = reason;
    flow->ack_due_ns = UINT64_MAX;
    flow->hello_due = false;
    flow->close_due = false;
}

void flow_close(struct flow *flow, struct store *store, uint8_t reason, bool drain,
                uint64_t now_ns) {
    if (flow->state == FLOW_CONNECTING) {
        flow_abort(flow, reason);
    }
    if (flow->state == FLOW_CLOSED || (flow->state == FLOW_CLOSING && drain)) {
        return;
    }
    flow->state = FLOW_CLOSING;
    flow->reason = reason;
    flow->close_deadline_ns = min_u64(flow->close_deadline_ns, now_ns + flow->config->dead_ns);
    if (!drain) {
        send_queue_fini(&flow->out, store);
    }
    flow->close_due = flow->out.message_count == 0;
}

bool flow_is_over(const struct flow *flow) {
    return flow->state == FLOW_CLOSED && flow->ack_due_ns == UINT64_MAX;
}

void flow_release(struct flow *flow, struct store *store) {
    reassembly_release(&flow->in, store);
    uint64_t credit_units = flow->config->parameters.credit_units;
    uint64_t grant_units = flow->in.units_released + credit_units - flow->in.units_limit;
    uint64_t left_units = flow->in.units_limit - flow->in.units_started;
    bool is_tight = left_units < credit_units_of(flow->config->parameters.message_bytes_max);
    if (grant_units >= (credit_units + 3) / 4 || (grant_units > 0 && is_tight)) {
        flow->credit_due = true; /* in steps, unless the longest message would wait for more */
    }
}

static void fail(struct flow *flow, struct store *store, uint64_t now_ns) {
    flow_close(flow, store, TE_R_PROTOCOL, false, now_ns);
}

/* ---- acknowledgements ---- */

static void on_acked(struct flow *flow, struct store *store, const struct sent_packet *packet) {
    for (int i = 0; i < packet->fragment_count; i++) {
        send_queue_acked(&flow->out, store, &packet->fragments[i]);
    }
    if (packet->flags & SENT_ACK) {
        sack_forget(&flow->sack, packet->acked_number);
    }
    if (packet->flags & SENT_CLOSE) {
        flow_abort(flow, flow->reason);
    }
}

static void on_lost(struct flow *flow, struct store *store, const struct sent_packet *packet) {
    for (int i = 0; i < packet->fragment_count; i++) {
        send_queue_lost(&flow->out, store, &packet->fragments[i]);
    }
    flow->credit_due |= (packet->flags & SENT_CREDIT) != 0;
    flow->close_due |= (packet->flags & SENT_CLOSE) != 0;
    flow->packets_lost++;
    flow->config->counters->packets_lost++;
}

static uint64_t flow_rto_ns(const struct flow *flow) {
    return rtt_rto_ns(&flow->rtt, flow->config->rto_min_ns);
}

/* Losses that span several timeouts with nothing acknowledged between them mean that the path is
 * gone or jammed (RFC 9002 §7.6); a silence that ends in acknowledgements means nothing. */
static void detect_losses(struct flow *flow, struct store *store, uint64_t now_ns) {
    uint32_t index = ledger_lost(&flow->ledger, store, &flow->rtt, now_ns);
    struct congestion_loss loss = {.now_ns = now_ns, .srtt_ns = flow->rtt.srtt_ns};
    uint16_t count = 0;
    if (index == NO_ITEM) {
        return;
    }
    uint64_t oldest_ns = ((const struct sent_packet *)pool_at(&store->sent, index))->sent_ns;
    while (index != NO_ITEM) {
        struct sent_packet *packet = pool_at(&store->sent, index);
        uint32_t next = packet->next;
        on_lost(flow, store, packet);
        loss.sent_ns = max_u64(loss.sent_ns, packet->sent_ns);
        loss.lost_bytes += packet->size_bytes;
        count++;
        pool_give(&store->sent, index);
        index = next;
    }
    uint64_t reduced_ns = flow->congestion.reduced_ns;
    flow->congestion.ops->lost(&flow->congestion, &loss);
    if (loss.sent_ns - oldest_ns >= PERSISTENT_RTOS * flow_rto_ns(flow)) {
        flow->config->counters->timeouts++;
        flow->congestion.ops->timed_out(&flow->congestion, now_ns);
    }
    bool is_reduced = flow->congestion.reduced_ns != reduced_ns;
    flow->doubtful_losses = is_reduced ? count : (uint16_t)(flow->doubtful_losses + count);
}

/* When every loss behind the last reduction has proved wrong, so has the reduction. */
static void forgive_losses(struct flow *flow, const struct ack_frame *ack, uint64_t now_ns) {
    uint32_t count = ledger_spurious(&flow->ledger, ack, &flow->rtt, now_ns);
    if (count == 0) {
        return;
    }
    flow->config->counters->packets_spurious += count;
    if (count < flow->doubtful_losses) {
        flow->doubtful_losses = (uint16_t)(flow->doubtful_losses - count);
        return;
    }
    flow->doubtful_losses = 0;
    congestion_undo(&flow->congestion);
}

static void update_pace(struct flow *flow) {
    const struct pace pace = {
        .window_bytes = congestion_window_bytes(&flow->congestion),
        .srtt_ns = flow->rtt.srtt_ns,
        .packet_bytes = flow->congestion.packet_bytes,
        .burst_bytes = max_u64(flow->config->burst_bytes, PACER_BURST_BYTES),
        .is_slow_start = flow->congestion.is_slow_start,
    };
    pacer_set_rate(&flow->pacer, &pace);
}

/* A path that was forgotten has the latest round trip, until there is one after it. */
static void tell_congestion(struct flow *flow, uint64_t acked_bytes,
                            const struct ack_frame *frame, uint64_t now_ns) {
    struct congestion_ack ack = {
        .now_ns = now_ns,
        .rtt_ns = flow->rtt.path_ns,
        .rtt_min_ns = min_u64(rtt_path_min_ns(&flow->rtt), flow->rtt.path_ns),
        .srtt_ns = flow->rtt.srtt_ns,
        .acked_bytes = (uint32_t)min_u64(acked_bytes, UINT32_MAX),
        .is_limited = flow->is_limited || flow->was_limited,
    };
    flow->was_limited = false;
    uint16_t marked = (uint16_t)(frame->marked_count - flow->marked_reported);
    if (marked <= INT16_MAX) { /* else the frame is older than the last one that counted */
        ack.marked_packets = marked;
        flow->marked_reported = frame->marked_count;
    }
    flow->congestion.ops->acked(&flow->congestion, &ack);
    if (ack.is_rtt_min_stale) {
        rtt_forget_path(&flow->rtt);
    }
}

static void receive_ack(struct flow *flow, struct store *store, const struct ack_frame *ack,
                        uint64_t waited_ns, uint64_t now_ns) {
    bool is_violation = !rebinding_acked(flow, ack);
    uint32_t index =
        is_violation ? NO_ITEM : ledger_acked(&flow->ledger, store, ack, &is_violation);
    uint64_t acked_bytes = 0;
    if (is_violation) {
        fail(flow, store, now_ns);
        return;
    }
    forgive_losses(flow, ack, now_ns);
    if (index == NO_ITEM) {
        return;
    }
    while (index != NO_ITEM) {
        struct sent_packet *packet = pool_at(&store->sent, index);
        uint32_t next = packet->next;
        acked_bytes += packet->size_bytes;
        if (packet->number == ack->ranges[0].last) {
            struct rtt_sample sample = {
                .total_ns = now_ns - packet->sent_ns,
                .held_ns = ack->delay_ns + waited_ns,
                .is_long = 2 * packet->size_bytes > flow->congestion.packet_bytes,
            };
            rtt_update(&flow->rtt, &sample, flow->config->ack_delay_ns);
        }
        on_acked(flow, store, packet);
        pool_give(&store->sent, index);
        index = next;
    }
    flow->probe_count = 0;
    flow->probes_due = 0;
    flow->waiting_since_ns = now_ns;
    if (flow->state == FLOW_CLOSED) {
        return;
    }
    tell_congestion(flow, acked_bytes, ack, now_ns);
    detect_losses(flow, store, now_ns);
    update_pace(flow);
    if (flow->state == FLOW_CLOSING && flow->out.message_count == 0 && !flow->close_sent) {
        flow->close_due = true;
    }
}

/* ---- data ---- */

static void receive_close(struct flow *flow, uint16_t reason) {
    bool is_kept = reason == TE_R_ENGINE_STOPPED || reason == TE_R_NO_RESOURCES ||
                   reason == TE_R_PROTOCOL || reason == TE_R_STALLED;
    flow_abort(flow, is_kept ? (uint8_t)reason : TE_R_PEER_CLOSED);
}

enum frames_verdict { FRAMES_DONE, FRAMES_NO_MEMORY };

static enum frames_verdict receive_frame(struct flow *flow, struct store *store,
                                         const struct frame *frame, uint64_t waited_ns,
                                         uint64_t now_ns) {
    switch (frame->type) {
    case FRAME_ACK:
        receive_ack(flow, store, &frame->ack, waited_ns, now_ns);
        break;
    case FRAME_MESSAGE:
        switch (reassembly_receive(&flow->in, store, &frame->message)) {
        case REASSEMBLY_NO_MEMORY:
            return FRAMES_NO_MEMORY;
        case REASSEMBLY_VIOLATION:
            fail(flow, store, now_ns);
            break;
        case REASSEMBLY_STORED:
        case REASSEMBLY_DUPLICATE:
            break;
        }
        break;
    case FRAME_PING:
        flow->ack_due_ns = now_ns;
        break;
    case FRAME_CREDIT:
        flow->out.units_limit = max_u64(flow->out.units_limit, frame->credit_units);
        break;
    default:
        break;
    }
    return FRAMES_DONE;
}

static void note_received(struct flow *flow, const struct packet *packet, bool asks_ack,
                          uint64_t now_ns) {
    uint64_t number = packet->number;
    bool is_newest = flow->sack.count == 0 || number > flow->sack.ranges[0].last;
    bool is_next = flow->sack.count == 0 || number == flow->sack.ranges[0].last + 1;
    sack_add(&flow->sack, number);
    if (is_newest) {
        flow->largest_received_ns = now_ns - packet->waited_ns;
    }
    if (!asks_ack) {
        return;
    }
    if (flow->ack_count < UINT8_MAX) {
        flow->ack_count++;
    }
    bool may_wait = is_next && flow->ack_count < ACK_EVERY && flow->state != FLOW_CLOSED;
    uint64_t due_ns = may_wait ? now_ns + flow->config->ack_delay_ns : now_ns;
    flow->ack_due_ns = min_u64(flow->ack_due_ns, due_ns);
}

static void repeat_ack(struct flow *flow, uint64_t now_ns) {
    if (flow->sack.count > 0) {
        flow->ack_due_ns = now_ns;
    }
}

static void receive_data(struct flow *flow, struct store *store, const struct packet *packet,
                         uint64_t now_ns) {
    if (packet->number >= flow->sack.floor + FLOW_NUMBERS_AHEAD_MAX) {
        return;
    }
    flow->last_heard_ns = now_ns;
    if (store->refused_ns != 0) {
        flow_end_untaken(flow, store, now_ns); /* its timer never comes while it is heard */
    }
    rebinding_received(flow, packet);
    if (sack_has(&flow->sack, packet->number)) {
        flow->config->counters->packets_duplicate++;
        repeat_ack(flow, now_ns); /* perhaps ours was lost */
        return;
    }
    bool asks_ack = false;
    bool is_refused = false;
    uint16_t close_reason = TE_R_NONE;
    struct frame frame;
    for (size_t offset = 0; offset < packet->body_bytes;) {
        if (!frame_parse(packet->body, packet->body_bytes, &offset, &frame)) {
            fail(flow, store, now_ns);
            return;
        }
        if (frame.type == FRAME_MESSAGE) {
            frame.message.is_lent = packet->is_lent;
            frame.message.begun = packet->begun;
            frame.message.received_ns = now_ns;
        }
        is_refused |=
            receive_frame(flow, store, &frame, packet->waited_ns, now_ns) == FRAMES_NO_MEMORY;
        asks_ack |= frame.type != FRAME_ACK && frame.type != FRAME_PADDING;
        close_reason = frame.type == FRAME_CLOSE ? frame.close_reason : close_reason;
    }
    if (is_refused) {
        flow->config->counters->packets_no_memory++;
        repeat_ack(flow, now_ns); /* we are alive, if short of memory */
        return;
    }
    note_received(flow, packet, asks_ack, now_ns);
    if (packet->ecn == ECN_CE) {
        flow->marked_received++;
        flow->config->counters->packets_marked++;
    }
    if (close_reason != TE_R_NONE) {
        receive_close(flow, close_reason);
        flow->ack_due_ns = now_ns;
    }
}

void flow_receive(struct flow *flow, struct store *store, const struct packet *packet,
                  uint64_t now_ns) {
    if (flow->state == FLOW_CONNECTING) {
        handshake_receive(flow, packet, now_ns);
        return;
    }
    if (packet->type == PACKET_RESET) {
        flow_abort(flow, flow->state == FLOW_OPEN ? TE_R_PEER_RESTARTED : flow->reason);
    } else if (packet->type == PACKET_INIT && flow->is_server) {
        handshake_ask(flow, packet); /* our ACCEPT was lost */
    } else if (packet->type == PACKET_DATA &&
               (flow->state == FLOW_OPEN || flow->state == FLOW_CLOSING)) {
        receive_data(flow, store, packet, now_ns);
    }
}

/* ---- time ---- */

/* The first probe after two round trips, the second within an RTO after what the first repeated;
 * then the wait doubles. Flows that lost packets in the same instant must not probe in the same
 * instants ever after, so all but the first come somewhere in the second half of their wait. A
 * window below a packet spaces out probes, too. */
static uint64_t probe_ns(const struct flow *flow) {
    uint64_t first_ns = 2 * flow->rtt.srtt_ns + flow->config->ack_delay_ns;
    uint64_t wait_ns = first_ns;
    if (flow->probe_count > 0) {
        uint64_t further = max_u64(flow->probe_count, PROBES_EVEN) - PROBES_EVEN;
        uint64_t shift = min_u64(further, PROBE_BACKOFF_MAX);
        wait_ns = min_u64(flow_rto_ns(flow) << shift, PROBE_WAIT_MAX_NS);
        if (flow->probe_count == 1) {
            wait_ns = wait_ns > first_ns ? wait_ns - first_ns : 0;
        }
        wait_ns = max_u64(2 * flow->rtt.srtt_ns, wait_ns - wait_ns * flow_dither(flow) / 512);
    }
    uint64_t due_ns = flow->ledger.last_sent_ns + wait_ns;
    bool is_below_packet =
        congestion_window_bytes(&flow->congestion) < flow->congestion.packet_bytes;
    return is_below_packet ? max_u64(due_ns, flow->pacer.next_ns) : due_ns;
}

static uint64_t dead_ns(const struct flow *flow) {
    return max_u64(flow->last_heard_ns, flow->waiting_since_ns) + flow->config->dead_ns;
}

/* Nothing may go before the peer says more. */
static uint64_t next_muted_ns(const struct flow *flow) {
    bool is_waiting = flow->ledger.count > 0 || flow->ping_due;
    uint64_t next_ns = is_waiting ? dead_ns(flow)
                                  : flow->last_heard_ns + flow->config->keep_alive_ns;
    return min_u64(min_u64(next_ns, flow->close_deadline_ns), flow_stalled_ns(flow));
}

static uint64_t next_open_ns(const struct flow *flow) {
    uint64_t next_ns = min_u64(flow->ack_due_ns, flow->close_deadline_ns);
    if (rebinding_limit_bytes(flow) == 0) {
        return next_muted_ns(flow);
    }
    if (flow->probes_due || flow->ping_due || flow->credit_due || flow->close_due ||
        flow->hello_due) {
        return 0;
    }
    if (flow->ledger.count > 0) {
        next_ns = min_u64(next_ns, min_u64(probe_ns(flow), flow->ledger.loss_ns));
        next_ns = min_u64(next_ns, dead_ns(flow));
    } else {
        next_ns = min_u64(next_ns, flow->last_heard_ns + flow->config->keep_alive_ns);
    }
    if (flow->is_limited && flow_has_window(flow)) {
        next_ns = min_u64(next_ns, flow->pacer.next_ns);
    }
    return min_u64(next_ns, flow_stalled_ns(flow));
}

bool flow_has_window(const struct flow *flow) {
    uint64_t in_flight_bytes = flow->ledger.bytes_in_flight;
    return in_flight_bytes == 0 || in_flight_bytes + flow->congestion.packet_bytes <=
                                       congestion_window_bytes(&flow->congestion);
}

uint64_t flow_next_ns(const struct flow *flow) {
    switch (flow->state) {
    case FLOW_CONNECTING:
        return min_u64(flow->hello_next_ns, flow->opened_ns + flow->config->handshake_timeout_ns);
    case FLOW_OPEN:
    case FLOW_CLOSING:
        return next_open_ns(flow);
    case FLOW_CLOSED:
        return 0;
    default:
        return UINT64_MAX;
    }
}

uint64_t flow_patience_ns(const struct flow *flow) {
    switch (flow->state) {
    case FLOW_CONNECTING:
        return flow->opened_ns + flow->config->handshake_timeout_ns;
    case FLOW_OPEN:
    case FLOW_CLOSING:
        if (flow->ledger.count == 0 && !flow->ping_due) {
            return min_u64(flow->close_deadline_ns,
                           flow->last_heard_ns + flow->config->keep_alive_ns);
        }
        return min_u64(flow->close_deadline_ns, dead_ns(flow));
    default:
        return UINT64_MAX;
    }
}

static void send_probe(struct flow *flow) {
    flow->config->counters->probes++;
    flow->probes_due = 1;
    if (flow->probe_count < UINT8_MAX) {
        flow->probe_count++;
    }
}

void flow_timeout(struct flow *flow, struct store *store, uint64_t now_ns) {
    if (flow->state == FLOW_CONNECTING) {
        handshake_timeout(flow, now_ns);
        return;
    }
    if (flow->state != FLOW_OPEN && flow->state != FLOW_CLOSING) {
        return;
    }
    if (now_ns >= flow->close_deadline_ns) {
        flow_abort(flow, flow->reason);
        return;
    }
    flow_end_stalled(flow, store, now_ns);
    flow_end_untaken(flow, store, now_ns);
    if (flow->ledger.count == 0 && !flow->ping_due) {
        if (now_ns >= flow->last_heard_ns + flow->config->keep_alive_ns) {
            flow->ping_due = true;
            flow->waiting_since_ns = now_ns; /* also where the netif does not let it out */
        }
        return;
    }
    if (now_ns >= dead_ns(flow)) {
        flow_abort(flow, TE_R_PEER_DEAD);
        return;
    }
    if (now_ns >= flow->ledger.loss_ns) {
        detect_losses(flow, store, now_ns);
        update_pace(flow);
    }
    if (flow->ledger.count > 0 && flow->probes_due == 0 && now_ns >= probe_ns(flow)) {
        send_probe(flow);
    }
}
