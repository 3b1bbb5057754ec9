#include "flow/handshake.h"

#include <string.h>

#include "base/limits.h"

enum handshake_constant {
    HELLO_EVEN = 8, /* waits as long as the first one, before they double */
    HELLO_DOUBLINGS_MAX = 5,
    HELLO_LONG = 3, /* INITs of full length that may be lost by chance */
    ANSWERS_LATE = 2, /* round trips after which no answer is to an INIT of before */
    ID_SIZE_SHIFT = 40 /* bits of an id that neither the flow table nor a team gives a meaning */
};

/* That fit into the flow's packets. */
static uint32_t segment_bytes_of(const struct flow *flow) {
    const struct flow_config *config = flow->config;
    return flow->packet_bytes - (config->packet_bytes - config->parameters.segment_bytes);
}

/* Packets become no longer than it takes for such segments. */
static void limit_segments(struct flow *flow, uint32_t segment_bytes) {
    uint32_t own_bytes = segment_bytes_of(flow);
    if (segment_bytes < own_bytes) {
        flow->packet_bytes = (uint16_t)(flow->packet_bytes - (own_bytes - segment_bytes));
    }
}

void handshake_open(struct flow *flow, const struct parameters *peer, uint64_t first_number) {
    const struct parameters *own = &flow->config->parameters;
    limit_segments(flow, peer->segment_bytes);
    uint32_t segment_bytes = segment_bytes_of(flow);
    flow->peer_message_bytes_max = peer->message_bytes_max;
    send_queue_init(&flow->out, segment_bytes);
    flow->out.units_limit = peer->credit_units;
    reassembly_init(&flow->in, segment_bytes, own->message_bytes_max, own->credit_units);
    sack_init(&flow->sack, first_number);
    flow->congestion = (struct congestion){
        .ops = flow->config->congestion,
        .packet_bytes = segment_bytes + MESSAGE_HEADER_BYTES + PACKET_BYTES_MIN,
        .profile = flow->config->profile,
    };
    flow->congestion.ops->init(&flow->congestion);
    flow->state = FLOW_OPEN;
}

/* ---- answers ---- */

void handshake_ask(struct flow *flow, const struct packet *init) {
    flow->hello_bytes = (uint16_t)packet_size(init);
    flow->hello_due = true;
}

static bool has_token(const struct flow *flow) {
    static const uint8_t none[TOKEN_BYTES];
    return memcmp(flow->token, none, TOKEN_BYTES) != 0;
}

static void sample(struct flow *flow, const struct packet *packet, uint64_t now_ns) {
    if (flow->hello_count == 1) { /* only one copy was out: the sample is unambiguous */
        uint64_t total_ns = now_ns - flow->hello_sent_ns;
        struct rtt_sample sample = {total_ns, packet->waited_ns, .is_long = has_token(flow)};
        rtt_update(&flow->rtt, &sample, 0);
    }
}

/* Only what a listener may say; a peer does not choose our words. */
static uint8_t refusal(const struct packet *packet) {
    uint8_t reason = packet->body_bytes >= 2 ? packet->body[0] : TE_R_REFUSED;
    bool is_known = reason == TE_R_NO_RESOURCES || reason == TE_R_ENGINE_STOPPED;
    return is_known ? reason : TE_R_REFUSED;
}

/* Whether an answer that comes now is to an INIT that was sent once there was a token. */
static bool is_past_old_answers(const struct flow *flow, uint64_t now_ns) {
    uint64_t round_trip_ns = flow->last_heard_ns - flow->waiting_since_ns; /* or longer */
    return now_ns - flow->last_heard_ns >= ANSWERS_LATE * round_trip_ns;
}

/* Begins anew with shorter packets, and under another name: what the peer still says to the old
 * one, and a flow that it may have opened for it, end by a RESET. */
static void narrow(struct flow *flow, uint32_t packet_bytes, uint64_t now_ns) {
    flow->packet_bytes = (uint16_t)packet_bytes;
    flow->local_id ^= (uint64_t)packet_bytes << ID_SIZE_SHIFT;
    memset(flow->token, 0, TOKEN_BYTES);
    flow->waiting_since_ns = now_ns;
}

static void try_again(struct flow *flow, uint64_t now_ns) {
    flow->hello_count = 0;
    flow->probes_due = 0;
    flow->hello_due = true;
    flow->hello_next_ns = now_ns;
}

/* A listener that says how long its packets may be spares both sides a longer INIT. */
static void take_token(struct flow *flow, const struct packet *packet, uint64_t now_ns) {
    sample(flow, packet, now_ns);
    memcpy(flow->token, packet->body, TOKEN_BYTES);
    if (packet->body_bytes >= TOKEN_BYTES + sizeof(uint32_t)) {
        bool is_narrowed = flow_is_narrowed(flow);
        uint64_t segment_bytes = load_u32(packet->body + TOKEN_BYTES);
        limit_segments(flow, (uint32_t)max_u64(segment_bytes, SEGMENT_BYTES_MIN));
        flow->hello_bytes = is_narrowed ? flow->hello_bytes : flow->packet_bytes;
    }
    flow->last_heard_ns = now_ns;
    try_again(flow, now_ns);
}

/* The same token again answers a short INIT that followed the long ones: those are lost, or the
 * long answers to them. */
static void receive_retry(struct flow *flow, const struct packet *packet, uint64_t now_ns) {
    uint32_t narrower_bytes = flow_narrower_bytes(flow->packet_bytes);
    bool is_asked = has_token(flow) && flow->hello_count > HELLO_LONG && flow->probes_due == 0 &&
                    is_past_old_answers(flow, now_ns);
    if (packet->body_bytes < TOKEN_BYTES) {
        return;
    }
    if (memcmp(flow->token, packet->body, TOKEN_BYTES) != 0) {
        take_token(flow, packet, now_ns);
    } else if (is_asked && narrower_bytes != 0) {
        narrow(flow, narrower_bytes, now_ns);
        try_again(flow, now_ns);
    }
}

static void receive_accept(struct flow *flow, const struct packet *packet, uint64_t now_ns) {
    struct parameters peer;
    if (packet->source_id == 0 || !parameters_parse(packet->body, packet->body_bytes, &peer)) {
        return;
    }
    bool is_narrowed =
        flow_is_narrowed(flow) && peer.segment_bytes > segment_bytes_of(flow);
    flow->remote_id = packet->source_id;
    flow->hello_due = false;
    flow->probes_due = 0;
    sample(flow, packet, now_ns);
    handshake_open(flow, &peer, packet->number);
    if (is_narrowed) {
        flow->config->counters->narrowed++;
    } else {
        flow->hello_bytes = flow->packet_bytes;
    }
    flow->last_heard_ns = now_ns;
    flow->ping_due = true; /* gives the peer its first sample, too */
}

void handshake_receive(struct flow *flow, const struct packet *packet, uint64_t now_ns) {
    switch (packet->type) {
    case PACKET_RETRY:
        receive_retry(flow, packet, now_ns);
        return;
    case PACKET_ACCEPT:
        receive_accept(flow, packet, now_ns);
        return;
    case PACKET_REFUSE:
        flow_abort(flow, refusal(packet));
        return;
    case PACKET_VERSIONS:
        flow_abort(flow, TE_R_VERSION);
        return;
    default:
        return;
    }
}

void handshake_timeout(struct flow *flow, uint64_t now_ns) {
    if (now_ns >= flow->opened_ns + flow->config->handshake_timeout_ns) {
        flow_abort(flow, TE_R_NO_ANSWER);
    } else if (now_ns >= flow->hello_next_ns) {
        flow->hello_due = true;
    }
}

/* ---- packets ---- */

/* Flows that were opened in the same instant, and lost in the same queue, do not try again in the
 * same instants. */
static uint64_t hello_wait_ns(const struct flow *flow) {
    uint64_t further = max_u64(flow->hello_count, HELLO_EVEN) - HELLO_EVEN;
    uint64_t wait_ns = flow->config->hello_wait_ns << min_u64(further, HELLO_DOUBLINGS_MAX);
    return flow->hello_count == 0 ? wait_ns : wait_ns - wait_ns * flow_dither(flow) / 512;
}

/* One that was repeated in vain is followed by a short one, a while later: what goes in the same
 * instant may leave as one message of the kernel's, and get lost as one. */
static void note_init(struct flow *flow, uint64_t now_ns) {
    uint64_t wait_ns = hello_wait_ns(flow);
    if (flow->hello_count < UINT8_MAX) {
        flow->hello_count++;
    }
    flow->probes_due = has_token(flow) && flow->hello_count > HELLO_LONG &&
                       is_past_old_answers(flow, now_ns);
    flow->hello_sent_ns = now_ns;
    flow->hello_next_ns = now_ns + (flow->probes_due ? wait_ns / 4 : wait_ns);
}

static void note_question(struct flow *flow, uint64_t now_ns) {
    flow->probes_due = 0;
    flow->hello_next_ns = now_ns + hello_wait_ns(flow);
}

/* Writes the body of an INIT. Returns where its trailer begins. */
static size_t write_init(struct flow *flow, uint64_t now_ns, uint8_t *out) {
    bool is_long = has_token(flow) && flow->probes_due == 0;
    size_t end_bytes = (is_long ? flow->packet_bytes : INIT_BYTES) - PACKET_TRAILER_BYTES;
    struct parameters parameters = flow->config->parameters;
    parameters.segment_bytes = segment_bytes_of(flow);
    size_t size_bytes = PACKET_HEADER_BYTES;
    size_bytes += parameters_write(out + size_bytes, &parameters);
    memset(out + size_bytes, 0, end_bytes - size_bytes);
    if (is_long) {
        memcpy(out + size_bytes, flow->token, TOKEN_BYTES);
    }
    if (flow->probes_due) {
        note_question(flow, now_ns);
    } else {
        note_init(flow, now_ns);
    }
    return end_bytes;
}

static size_t write_accept(const struct flow *flow, uint8_t *out) {
    size_t size_bytes = PACKET_HEADER_BYTES;
    size_bytes += parameters_write(out + size_bytes, &flow->config->parameters);
    if (flow->hello_bytes < flow->packet_bytes) {
        return size_bytes; /* no answer is longer than its question */
    }
    size_t end_bytes = flow->packet_bytes - PACKET_TRAILER_BYTES;
    memset(out + size_bytes, 0, end_bytes - size_bytes);
    return end_bytes;
}

size_t handshake_write(struct flow *flow, uint64_t now_ns, uint8_t *out) {
    struct packet packet = {
        .destination_id = flow->remote_id,
        .source_id = flow->local_id,
        .number = flow->ledger.next_number,
        .version = PACKET_VERSION,
        .type = flow->is_server ? PACKET_ACCEPT : PACKET_INIT,
    };
    packet_write_header(out, &packet);
    flow->hello_due = false;
    size_t end_bytes = flow->is_server ? write_accept(flow, out) : write_init(flow, now_ns, out);
    return packet_seal(out, end_bytes);
}
