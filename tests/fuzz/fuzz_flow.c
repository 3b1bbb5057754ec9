/* Two flows and what may happen between them: any order of sending, losing, doubling, damaging and
 * forging datagrams, with applications that send, take and close, on virtual time.
 *
 * Every datagram carries valid ids and a valid check, so that nothing hides what lies behind them.
 * As long as none was damaged or forged, every message must come out once, whole, in the order of
 * its lane, and nobody may be accused. Input: three bytes of configuration, then operations.
 */
#include <string.h>

#include "base/bytes.h"
#include "flow/begun.h"
#include "flow_checks.h"

enum {
    LINK_MAX = 64,
    BURST_MAX = 4,
    SERVER = 1,
    BLOCKS_MAX = 1024,
    MESSAGES_MAX = 4096,
    FORGED_FRAMES_MAX = 6
};

enum operation {
    SEND, TRANSMIT, DELIVER, DELIVER_LATE, DROP, DOUBLE, DAMAGE, FORGE, WAIT, TAKE, CLOSE, OTHER,
    OPERATIONS
};

struct datagram {
    uint32_t size_bytes;
    uint8_t bytes[PACKET_BYTES_MAX];
};

/* One direction: on the wire, and what its messages must be at the other end. */
struct way {
    struct datagram link[LINK_MAX];
    int count;
    uint32_t posted;
    uint8_t lanes[MESSAGES_MAX];
    bool is_taken[MESSAGES_MAX];
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

static struct store store;
static void *memory;
static struct flow_counters counters;
static struct flow_config config;
static struct flow flows[2]; /* 0: the client */
static struct begun begun[2]; /* of what each receives */
static struct way ways[2];   /* from flow 0, from flow 1 */
static uint64_t now_ns;
static bool is_honest;
static uint8_t burst[BURST_MAX][PACKET_BYTES_MAX]; /* what has arrived last */
static int burst_count;

/* ---- messages, told apart by their first bytes ---- */

static uint8_t content(uint32_t message, uint32_t offset) {
    return (uint8_t)(offset < 4 ? message >> (8 * offset) : (message + offset) * 167u >> 3);
}

static void send_message(int side, struct input *input) {
    static uint8_t bytes[4 + UINT16_MAX];
    struct way *way = &ways[side];
    uint8_t how = input_u8(input);
    uint32_t size_bytes = 4u + (how & 0x80 ? input_u16(input) : input_u8(input) * 8u);
    uint8_t lane = how % 3;
    if (way->posted == MESSAGES_MAX || flows[side].state != FLOW_OPEN ||
        size_bytes > flows[side].peer_message_bytes_max) {
        return;
    }
    for (uint32_t i = 0; i < size_bytes; i++) {
        bytes[i] = content(way->posted, i);
    }
    struct send_queue *out = &flows[side].out;
    uint32_t index = send_queue_begin(out, &store, size_bytes, lane, how / 16 % PRIORITIES);
    if (index == NO_ITEM) {
        return;
    }
    way->lanes[way->posted++] = lane;
    send_queue_append(out, &store, index, bytes, size_bytes);
}

static void take_messages(int side) {
    struct way *way = &ways[1 - side];
    const struct incoming *message;
    while ((message = reassembly_ready(&flows[side].in, &store)) != NULL) {
        uint8_t bytes[1 << 17];
        uint32_t size_bytes = message->body.total_bytes;
        must(size_bytes <= sizeof bytes);
        incoming_read(message, &store, 0, bytes, size_bytes / 2);
        incoming_read(message, &store, size_bytes / 2, bytes + size_bytes / 2,
                      size_bytes - size_bytes / 2);
        uint32_t number = size_bytes >= 4 ? load_u32(bytes) : UINT32_MAX;
        if (is_honest) {
            must(number < way->posted && !way->is_taken[number]);
            must(message->lane == way->lanes[number]);
            way->is_taken[number] = true;
            for (uint32_t i = 0; i < size_bytes; i++) {
                must(bytes[i] == content(number, i));
            }
            for (uint32_t i = 0; i < number && message->lane != 0; i++) {
                must(way->is_taken[i] || way->lanes[i] != message->lane);
            }
        }
        flow_release(&flows[side], &store);
    }
}

/* ---- the wire ---- */

static void post(int from, const uint8_t *bytes, size_t size_bytes) {
    struct way *way = &ways[from];
    if (way->count == LINK_MAX) {
        return; /* lost */
    }
    struct datagram *datagram = &way->link[way->count++];
    datagram->size_bytes = (uint32_t)size_bytes;
    memcpy(datagram->bytes, bytes, size_bytes);
}

static void transmit(int side, int count) {
    uint8_t out[PACKET_BYTES_MAX];
    while (count-- > 0) {
        size_t size_bytes = flow_transmit(&flows[side], &store, now_ns, out);
        must(size_bytes <= config.packet_bytes);
        if (size_bytes == 0) {
            return;
        }
        post(side, out, size_bytes);
    }
}

/* Packets stay where they are until a burst of them is over. */
static const uint8_t *arrive(const uint8_t *bytes, size_t size_bytes) {
    if (burst_count == BURST_MAX) {
        reassembly_keep(&store);
        burst_count = 0;
    }
    return memcpy(burst[burst_count++], bytes, size_bytes);
}

static void receive(int to, const uint8_t *bytes, size_t size_bytes, uint8_t ecn) {
    struct packet packet;
    must(packet_parse(arrive(bytes, size_bytes), size_bytes, &packet));
    packet.is_lent = true;
    packet.begun = &begun[to];
    packet.ecn = ecn;
    packet.waited_ns = ecn * UINT64_C(1000);
    if (to == SERVER && flows[SERVER].state == FLOW_FREE) {
        struct flow_birth birth = {{{0}, 2, 0}, {{0}, 1, 0}, 9, 50};
        must(packet.type == PACKET_INIT);
        flow_accept(&flows[SERVER], &config, &birth, &packet, now_ns);
        return;
    }
    if (flow_may_rebind(&flows[to], &packet) && ecn == 1) {
        flow_rebind(&flows[to], &(struct te_endpoint){{0}, 3, 0}, packet.number * 7919);
    }
    flow_receive(&flows[to], &store, &packet, now_ns);
}

static void deliver(int from, int which, bool stays, uint8_t ecn) {
    struct way *way = &ways[from];
    if (which >= way->count) {
        return;
    }
    struct datagram datagram = way->link[which];
    if (!stays) {
        way->count--;
        memmove(&way->link[which], &way->link[which + 1],
                (size_t)(way->count - which) * sizeof datagram);
    }
    receive(1 - from, datagram.bytes, datagram.size_bytes, ecn);
}

/* Changes bytes behind the ids of the oldest datagram, and puts its check right again. */
static void damage(int from, struct input *input) {
    if (ways[from].count == 0) {
        return;
    }
    struct datagram *datagram = &ways[from].link[0];
    uint32_t body_bytes = datagram->size_bytes - PACKET_BYTES_MIN;
    is_honest = false;
    for (int left = 1 + input_u8(input) % 4; left > 0 && body_bytes > 0; left--) {
        uint32_t at = PACKET_HEADER_BYTES + input_u8(input) % body_bytes;
        datagram->bytes[at] ^= input_u8(input);
    }
    packet_seal(datagram->bytes, datagram->size_bytes - PACKET_TRAILER_BYTES);
    deliver(from, 0, false, 0);
}

static size_t forge_message(int from, struct input *input, uint8_t *out) {
    const struct flow *victim = &flows[1 - from];
    uint32_t segment_bytes = victim->in.segment_bytes;
    struct message_frame frame = {.id = victim->in.whole.base + input_u8(input) % 16};
    frame.total_bytes = 1 + (uint32_t)(input_u8(input) % 8) * segment_bytes / 2;
    frame.lane = input_u8(input) % LANES;
    frame.priority = input_u8(input) % PRIORITIES;
    frame.lane_sequence = input_u8(input) % 4;
    uint8_t place = input_u8(input);
    uint32_t count = (frame.total_bytes + segment_bytes - 1) / segment_bytes;
    frame.offset_bytes = place % count * segment_bytes;
    uint32_t left_bytes = frame.total_bytes - frame.offset_bytes;
    frame.size_bytes = (uint16_t)(left_bytes < segment_bytes ? left_bytes : segment_bytes);
    if (place >= 250) {
        frame.offset_bytes++; /* off the grid */
    } else if (place >= 240) {
        frame.id += MESSAGE_WINDOW;
    }
    size_t header_bytes = frame_write_message(out, &frame);
    memset(out + header_bytes, place, frame.size_bytes);
    return header_bytes + frame.size_bytes;
}

static size_t forge_ack(int from, struct input *input, uint8_t *out) {
    const struct flow *victim = &flows[1 - from];
    struct ack_frame ack = {.count = 1, .delay_ns = input_u16(input) * UINT64_C(100)};
    ack.marked_count = input_u8(input);
    uint64_t last = victim->ledger.next_number + 1 - input_u8(input) % 32;
    uint64_t length = input_u8(input) % 16;
    ack.ranges[0] = (struct ack_range){last < length ? 0 : last - length, last};
    if (ack.ranges[0].first > 40) {
        ack.ranges[1].last = ack.ranges[0].first - 2 - input_u8(input) % 4;
        ack.ranges[1].first = ack.ranges[1].last - input_u8(input) % 8;
        ack.count = 2;
    }
    return frame_write_ack(out, &ack);
}

static size_t forge_frame(int from, struct input *input, uint8_t *out, size_t room_bytes) {
    switch (input_u8(input) % 6) {
    case 0:
        return forge_message(from, input, out);
    case 1:
        return forge_ack(from, input, out);
    case 2:
        return frame_write_credit(out, UINT64_C(1) << (input_u8(input) % 64));
    case 3:
        return frame_write_close(out, input_u8(input));
    case 4:
        out[0] = input_u8(input) % 2 ? FRAME_PING : FRAME_PADDING;
        return 1;
    default:
        return input_copy(input, out, input_u8(input) % (room_bytes + 1));
    }
}

static void forge(int from, struct input *input) {
    enum { FRAME_BYTES_MAX = MESSAGE_HEADER_BYTES + 1396 };
    static uint8_t bytes[PACKET_HEADER_BYTES + FORGED_FRAMES_MAX * FRAME_BYTES_MAX + 4];
    if (flows[SERVER].state == FLOW_FREE) {
        return;
    }
    const struct flow *sender = &flows[from];
    struct packet packet = {.destination_id = flows[1 - from].local_id,
                            .source_id = sender->local_id, .version = PACKET_VERSION};
    packet.number = sender->ledger.next_number + input_u8(input) % 8 - 2u;
    packet.type = input_u8(input) < 240 ? PACKET_DATA : input_u8(input) % 8;
    size_t size_bytes = PACKET_HEADER_BYTES;
    is_honest = false;
    for (int left = input_u8(input) % FORGED_FRAMES_MAX; left > 0; left--) {
        size_bytes += forge_frame(from, input, bytes + size_bytes, FRAME_BYTES_MAX);
    }
    packet.type = packet.type == 0 ? PACKET_DATA : packet.type;
    packet_write_header(bytes, &packet);
    receive(1 - from, bytes, packet_seal(bytes, size_bytes), 0);
}

/* ---- the run ---- */

static void wait(struct input *input) {
    now_ns += UINT64_C(1) << (input_u8(input) % 32);
    for (int side = 0; side < 2; side++) {
        flow_timeout(&flows[side], &store, now_ns);
    }
}

static void act(struct input *input) {
    uint8_t how = input_u8(input);
    int side = how >> 7;
    switch (how % OPERATIONS) {
    case SEND:
        send_message(side, input);
        break;
    case TRANSMIT:
        transmit(side, 1 + input_u8(input) % 32);
        break;
    case DELIVER:
        deliver(side, 0, false, input_u8(input) % 4);
        break;
    case DELIVER_LATE:
        deliver(side, input_u8(input) % LINK_MAX, false, 0);
        break;
    case DROP:
        ways[side].count -= ways[side].count > 0;
        break;
    case DOUBLE:
        deliver(side, 0, true, 0);
        break;
    case DAMAGE:
        damage(side, input);
        break;
    case FORGE:
        forge(side, input);
        break;
    case WAIT:
        wait(input);
        break;
    case TAKE:
        take_messages(side);
        break;
    case CLOSE:
        if (flows[side].state != FLOW_FREE) {
            flow_close(&flows[side], &store, TE_R_CLOSED, how & 0x10, now_ns);
        }
        break;
    default:
        for (int i = 0; i < 2; i++) {
            transmit(i, LINK_MAX);
        }
        while (ways[side].count > 0) {
            deliver(side, 0, false, 0);
        }
        break;
    }
}

static void set_up(struct input *input) {
    static const char *const names[] = {"swift", "cubic", "fixed"};
    uint8_t how = input_u8(input);
    uint32_t blocks = BLOCKS_MAX >> (how >> 2) % 6; /* down to 32: memory runs out */
    if (memory == NULL) {
        memory = aligned_alloc(BLOCK_BYTES, store_bytes(BLOCKS_MAX));
        must(memory != NULL);
        memset(memory, 0, store_bytes(BLOCKS_MAX));
    }
    store_init(&store, memory, blocks);
    burst_count = 0;
    config = (struct flow_config){
        .parameters = {0, 1 << 17, 1u + input_u8(input)},
        .congestion = congestion_find(names[how % 3]),
        .counters = &counters,
        .keep_alive_ns = 100000000,
        .dead_ns = 1000000000,
        .unfinished_ns = 3000000000,
        .handshake_timeout_ns = 2000000000,
        .profile = how >> 7,
    };
    flow_config_derive(&config, 1500);
    now_ns = 1000000000;
    is_honest = true;
    memset(flows, 0, sizeof flows);
    memset(begun, 0, sizeof begun);
    for (int side = 0; side < 2; side++) {
        ways[side].count = 0;
        ways[side].posted = 0;
        memset(ways[side].is_taken, 0, sizeof ways[side].is_taken);
    }
    struct flow_birth birth = {{{0}, 1, 0}, {{0}, 2, 0}, 7,
                               input_u8(input) % 2 ? (UINT64_C(1) << 62) - 1 : 100};
    flow_connect(&flows[0], &config, &birth, now_ns);
    now_ns = flow_next_ns(&flows[0]);
    flow_timeout(&flows[0], &store, now_ns);
    transmit(0, 1);
    deliver(0, 0, false, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    struct input input = {bytes, size_bytes, 0};
    set_up(&input);
    while (input_has_more(&input)) {
        act(&input);
        check_flow(&flows[0], &store);
        check_flow(&flows[SERVER], &store);
        for (int side = 0; side < 2 && is_honest; side++) {
            must(flows[side].reason != TE_R_PROTOCOL);
        }
    }
    flow_fini(&flows[0], &store);
    flow_fini(&flows[SERVER], &store);
    check_all_returned(&store);
    must(begun[0].blocks == 0 && begun[0].beyond == NULL);
    must(begun[SERVER].blocks == 0 && begun[SERVER].beyond == NULL);
    return 0;
}
