/* An engine and whoever may talk to it before a flow is open, on both of its sides: as a listener
 * that answers INITs, and as a caller that waits for RETRY, ACCEPT, REFUSE or VERSIONS.
 *
 * Datagrams are made from fields that are often right (ids and tokens that the engine has sent),
 * or are the engine's own, damaged; every check is put right. Some come back, as ICMP quotes them.
 * Claims: a flow is accepted only for a token that was sent to that address, port and id; an answer
 * without a flow is no longer than what it answers, and there is at most one, and none to what came
 * back; in the end every flow ends and all memory is back.
 */
#include <unistd.h>

#include "base/bytes.h"
#include "engine/command.h"
#include "engine/wire.h"
#include "input.h"

enum {
    SENT_MAX = 16,
    TOKENS_MAX = 64,
    PEERS = 4,
    PORT = 7000,
    END_STEPS_MAX = 4000,
    HEADS = 16,
    TOKEN_AT = PACKET_HEADER_BYTES + 16
};

enum operation { CONNECT, FORWARD, DAMAGE, MAKE, MAKE_AGAIN, WAIT, LISTEN, RAW, APPLICATION,
                 OPERATIONS };

struct datagram {
    struct te_endpoint local;
    struct te_endpoint remote;
    uint32_t size_bytes;
    bool is_returned;
    uint8_t bytes[PACKET_BYTES_MAX];
};

struct token {
    struct te_endpoint local;
    struct te_endpoint remote;
    uint64_t id;
    uint8_t bytes[TOKEN_BYTES];
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

static struct wire wire;
static struct te_channel *application;
static struct datagram sent[SENT_MAX]; /* oldest first */
static int sent_count;
static struct datagram made;
static struct token tokens[TOKENS_MAX]; /* a ring */
static uint32_t tokens_sent;
static struct te_endpoint called;  /* by the engine's last INIT */
static uint64_t caller_id;         /* of that INIT */
static uint64_t accepted_id;       /* of the last ACCEPT */
static uint32_t handle;            /* of the flow that opened last */
static uint32_t answer_count;
static uint32_t answer_bytes;

static struct te_endpoint peer(uint8_t number) {
    struct te_endpoint endpoint = {{[10] = 0xff, [11] = 0xff, 10, 0, 0, 1}, PORT, 0};
    endpoint.address[15] = (uint8_t)(1 + number % PEERS); /* 1: the engine itself */
    return endpoint;
}

static void note_token(const struct netif_datagram *datagram) {
    struct token *token = &tokens[tokens_sent++ % TOKENS_MAX];
    *token = (struct token){.local = datagram->local, .remote = datagram->remote,
                            .id = load_u64(datagram->bytes + 4)};
    memcpy(token->bytes, datagram->bytes + PACKET_HEADER_BYTES, TOKEN_BYTES);
}

static void note_sent(struct wire *from, const struct netif_datagram *datagram) {
    struct packet packet;
    (void)from;
    must(packet_parse(datagram->bytes, datagram->size_bytes, &packet));
    switch (packet.type) {
    case PACKET_INIT:
        called = datagram->remote;
        caller_id = packet.source_id;
        break;
    case PACKET_ACCEPT:
        accepted_id = packet.source_id;
        break;
    case PACKET_RETRY:
        note_token(datagram);
        /* fall through */
    case PACKET_REFUSE:
    case PACKET_VERSIONS:
    case PACKET_RESET:
        answer_count++;
        answer_bytes += datagram->size_bytes;
        break;
    default:
        break;
    }
    if (sent_count < SENT_MAX) {
        struct datagram *copy = &sent[sent_count++];
        *copy = (struct datagram){.local = datagram->local, .remote = datagram->remote,
                                  .size_bytes = datagram->size_bytes};
        memcpy(copy->bytes, datagram->bytes, datagram->size_bytes);
    }
}

static void drain(void) {
    static uint8_t payload[HEADS * TE_RECORD_PAYLOAD_MAX];
    struct te_record heads[HEADS];
    int count = te_channel_receive(application, heads, HEADS, payload, sizeof payload);
    must(count >= 0);
    for (int i = 0; i < count; i++) {
        if (heads[i].kind == TE_FLOW_OPENED || heads[i].kind == TE_FLOW_ACCEPTED) {
            handle = heads[i].flow;
        }
    }
}

static void poll_engine(void) {
    wire_poll(&wire);
    drain();
}

static bool was_invited(const struct datagram *datagram) {
    for (uint32_t i = 0; i < TOKENS_MAX; i++) {
        const struct token *token = &tokens[i];
        if (datagram->size_bytes >= INIT_BYTES && datagram->bytes[1] == PACKET_INIT &&
            token->id == load_u64(datagram->bytes + 12) &&
            token->local.port == datagram->local.port &&
            token->remote.port == datagram->remote.port &&
            memcmp(token->remote.address, datagram->remote.address, TE_ADDRESS_BYTES) == 0 &&
            memcmp(token->bytes, datagram->bytes + TOKEN_AT, TOKEN_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static void receive(struct datagram *datagram) {
    const struct netif_datagram input = {.local = datagram->local, .remote = datagram->remote,
                                         .bytes = datagram->bytes,
                                         .size_bytes = datagram->size_bytes,
                                         .is_returned = datagram->is_returned};
    poll_engine();
    poll_engine(); /* so that flows_open falls by what is over before it is looked at */
    uint64_t flows_open = wire.engine.stats.flows_open;
    bool is_invited = !datagram->is_returned && was_invited(datagram);
    answer_count = answer_bytes = 0;
    wire.next = &input;
    poll_engine();
    must(wire.engine.stats.flows_open <= flows_open + is_invited);
    must(answer_count <= !datagram->is_returned && answer_bytes <= datagram->size_bytes);
}

static void seal(struct datagram *datagram) {
    if (datagram->size_bytes >= PACKET_BYTES_MIN) {
        packet_seal(datagram->bytes, datagram->size_bytes - PACKET_TRAILER_BYTES);
    }
}

/* What the engine has sent comes to it from where it went, as if it were that peer's; or it comes
 * back. */
static void forward(struct input *input, bool is_damaged, bool is_returned) {
    if (sent_count == 0) {
        return;
    }
    static struct datagram datagram;
    datagram = sent[0];
    datagram.is_returned = is_returned;
    if (!is_returned) {
        datagram.local = sent[0].remote;
        datagram.remote = sent[0].local;
    }
    sent_count--;
    memmove(&sent[0], &sent[1], (size_t)sent_count * sizeof sent[0]);
    for (int left = is_damaged ? 1 + input_u8(input) % 4 : 0; left > 0; left--) {
        uint32_t at = input_u8(input) % datagram.size_bytes;
        datagram.bytes[at] ^= input_u8(input);
    }
    seal(&datagram);
    receive(&datagram);
}

static uint64_t choose_id(uint8_t choice) {
    const uint64_t ids[] = {0, caller_id, accepted_id, 5, UINT64_MAX};
    return ids[choice % (sizeof ids / sizeof ids[0])];
}

static struct te_endpoint choose_local(uint8_t choice) {
    const uint16_t ports[] = {PORT, PORT + 1, TE_PORT_DEFAULT, 0};
    struct te_endpoint endpoint = peer(0);
    endpoint.port = ports[choice % (sizeof ports / sizeof ports[0])];
    return endpoint;
}

static void put_body(struct input *input, struct datagram *datagram, uint8_t type) {
    uint8_t choice = input_u8(input);
    uint8_t *body = datagram->bytes + PACKET_HEADER_BYTES;
    const struct parameters good = {1396, 1 << 20, 64};
    const uint8_t *token = tokens[(tokens_sent + TOKENS_MAX - 1) % TOKENS_MAX].bytes;
    if (type != PACKET_RETRY && !(choice & 1)) {
        body += parameters_write(body, &good);
    }
    if (choice & 2) {
        memcpy(body, token, TOKEN_BYTES);
        body += TOKEN_BYTES;
    }
    if (choice & 4) {
        store_u64(body - TOKEN_BYTES, load_u64(body - TOKEN_BYTES) + 1 - input_u8(input) % 4);
    }
    input_copy(input, body, input_u8(input) % 64);
}

/* MAKE_AGAIN repeats the last one, as a caller does after a retry. */
static void make(struct input *input, bool is_again) {
    uint8_t choice = input_u8(input);
    if (!is_again) {
        memset(made.bytes, 0, INIT_BYTES);
        struct packet packet = {.type = (uint8_t)(1 + choice % PACKET_VERSIONS)};
        packet.destination_id = choose_id(input_u8(input));
        packet.source_id = choose_id(input_u8(input));
        packet.number = input_u8(input) % 4;
        packet.version = choice & 0x80 ? input_u8(input) : PACKET_VERSION;
        packet_write_header(made.bytes, &packet);
        put_body(input, &made, packet.type);
        made.local = choose_local(choice >> 3);
        made.remote = choice & 0x40 ? called : peer(choice >> 4);
        uint8_t size = input_u8(input);
        made.size_bytes = size < 64 ? PACKET_BYTES_MIN + size : INIT_BYTES;
    } else if (choice & 1) {
        memcpy(made.bytes + TOKEN_AT,
               tokens[(tokens_sent + TOKENS_MAX - 1) % TOKENS_MAX].bytes, TOKEN_BYTES);
    }
    seal(&made);
    receive(&made);
}

static void receive_raw(struct input *input) {
    static struct datagram datagram;
    datagram.local = choose_local(input_u8(input));
    datagram.remote = peer(input_u8(input));
    uint8_t how = input_u8(input);
    datagram.is_returned = (how & 2) != 0;
    datagram.size_bytes = (uint32_t)input_copy(input, datagram.bytes, input_u16(input) % 512);
    if (how & 1) {
        seal(&datagram);
    }
    receive(&datagram);
}

static void command(uint32_t op, struct te_endpoint endpoint) {
    struct te_completion completion;
    command_execute(&wire.engine, &(struct te_command){.op = op, .endpoint = endpoint},
                    &completion);
}

static void send_record(uint8_t kind) {
    struct te_record record = {.kind = kind, .flow = handle, .flags = TE_FIRST | TE_LAST};
    must(te_channel_send(application, (const uint8_t *)&record, sizeof record) >= 0);
}

static void act(struct input *input) {
    uint8_t how = input_u8(input);
    switch (how % OPERATIONS) {
    case CONNECT:
        command(TE_CONNECT, peer(input_u8(input)));
        break;
    case FORWARD:
        forward(input, false, (how & 0x80) != 0);
        break;
    case DAMAGE:
        forward(input, true, (how & 0x80) != 0);
        break;
    case MAKE:
        make(input, false);
        break;
    case MAKE_AGAIN:
        make(input, true);
        break;
    case WAIT:
        wire.now_ns += UINT64_C(1) << (input_u8(input) % 35);
        break;
    case LISTEN:
        command(how & 0x80 ? TE_UNLISTEN : TE_LISTEN, peer(0));
        break;
    case RAW:
        receive_raw(input);
        break;
    default:
        send_record(how & 0x80 ? TE_FLOW_CLOSE : TE_REQUEST);
        break;
    }
    poll_engine();
}

static void set_up(void) {
    struct te_engine_config config;
    struct te_completion done;
    char why[TE_WHY_BYTES];
    te_engine_config_init(&config);
    config.local = peer(0);
    config.local.port = TE_PORT_DEFAULT;
    config.pool_bytes = 1 << 20;
    config.flows_max = 8;
    config.credit_bytes = config.message_bytes_max = 1 << 18;
    config.keep_alive_ns = config.dead_ns = config.handshake_timeout_ns = 100000000;
    must(wire_open(&wire, &config) == TE_OK);
    wire.sent = note_sent;
    struct te_command attach = {.op = TE_ATTACH, .ring_bytes = TE_RING_BYTES_MIN};
    command_execute(&wire.engine, &attach, &done);
    must(done.error == TE_OK && done.value == 0);
    must(te_channel_open(done.memory_fd, done.doorbell_fd, &application, why) == TE_OK);
}

/* Nobody answers any more: every flow must end by itself. */
static void end(void) {
    for (int step = 0; wire.engine.stats.flows_open > 0; step++) {
        uint64_t due_ns = wire_due_ns(&wire);
        must(step < END_STEPS_MAX);
        wire.now_ns = due_ns != UINT64_MAX && due_ns > wire.now_ns ? due_ns : wire.now_ns + 1;
        poll_engine();
    }
    must(wire.engine.store.blocks.free_count == wire.engine.store.blocks.capacity);
    must(wire.engine.store.sent.free_count == wire.engine.store.sent.capacity);
    must(wire.engine.timers.count == 0 && wire.engine.active_first == NO_ITEM);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    struct input input = {bytes, size_bytes, 0};
    if (application == NULL) {
        set_up();
    }
    prng_init(&wire.prng, 1);
    sent_count = 0;
    memset(tokens, 0, sizeof tokens);
    memset(&made, 0, sizeof made);
    command(TE_LISTEN, peer(0));
    while (input_has_more(&input)) {
        act(&input);
    }
    end();
    return 0;
}
