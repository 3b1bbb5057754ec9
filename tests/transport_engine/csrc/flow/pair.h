/* Two flows joined by a faulty link, in virtual time: the harness of the flow's tests.
 *
 * Time moves only to the next event. The link delays, loses, duplicates and corrupts by seed; it
 * never sleeps and never sends by itself.
 */
#ifndef TESTS_FLOW_PAIR_H
#define TESTS_FLOW_PAIR_H

#include "test.h"

#include "base/prng.h"
#include "flow/flow.h"

enum { LINK_MAX = 4096, PAIR_BLOCKS = 8192, CLIENT = 0, SERVER = 1 };

struct in_flight {
    uint64_t arrives_ns;
    uint32_t size_bytes;
    int to;
    uint8_t bytes[]; /* no more than there are, so that a read past them is seen */
};

struct pair {
    struct flow flows[2];
    bool has_server;
    bool is_marking; /* the link sets the ECN mark on every packet */
    struct flow_config config;
    struct flow_counters counters;
    struct store store;
    void *memory;
    struct prng prng;
    uint64_t now_ns;
    uint64_t delay_ns; /* one way */
    uint64_t stands_until_ns; /* the server's host reads nothing: what arrives waits there, ... */
    int waiting_max;          /* ... up to so many packets */
    uint64_t jitter_ns;
    uint32_t loss_ppm, duplicate_ppm, corrupt_ppm;
    uint64_t drop_mask; /* bit i: the i-th packet from now on is lost; for exact faults */
    struct in_flight *link[LINK_MAX]; /* in the order of posting */
    int link_count;
    uint64_t packets, bytes;
};

static inline struct pair *pair_open(uint64_t seed) {
    struct pair *pair = calloc(1, sizeof *pair);
    size_t bytes = store_bytes(PAIR_BLOCKS);
    pair->memory = aligned_alloc(BLOCK_BYTES, bytes);
    assert_non_null(pair->memory); /* its content is nothing that anybody may rely on */
    store_init(&pair->store, pair->memory, PAIR_BLOCKS);
    prng_init(&pair->prng, seed);
    pair->now_ns = 1000000000;
    pair->delay_ns = 25000;
    pair->config = (struct flow_config){
        .parameters = {1384, 1 << 20, 512},
        .congestion = congestion_find("swift"),
        .counters = &pair->counters,
        .rto_min_ns = 1000000,
        .hello_wait_ns = 2000000,
        .ack_delay_ns = 20000,
        .keep_alive_ns = 100000000,
        .dead_ns = 1000000000,
        .unfinished_ns = 60000000000,
        .handshake_timeout_ns = 2000000000,
        .packet_bytes = 1452,
        .profile = PROFILE_RACK,
    };
    return pair;
}

static inline struct flow_birth pair_birth(struct pair *pair, uint16_t local, uint16_t remote) {
    return (struct flow_birth){{{0}, local, 0}, {{0}, remote, 0}, prng_next(&pair->prng) | 1,
                               prng_next(&pair->prng) >> 2};
}

static inline void pair_connect(struct pair *pair) {
    struct flow_birth birth = pair_birth(pair, 1, 2);
    struct flow *client = &pair->flows[CLIENT];
    flow_connect(client, &pair->config, &birth, pair->now_ns);
    pair->now_ns = flow_next_ns(client);
    flow_timeout(client, &pair->store, pair->now_ns);
}

/* What is under way never arrives. */
static inline void pair_lose(struct pair *pair) {
    while (pair->link_count > 0) {
        free(pair->link[--pair->link_count]);
    }
}

static inline void pair_close(struct pair *pair) {
    flow_fini(&pair->flows[CLIENT], &pair->store);
    if (pair->has_server) {
        flow_fini(&pair->flows[SERVER], &pair->store);
    }
    assert_int_equal(pair->store.blocks.free_count, PAIR_BLOCKS);
    assert_int_equal(pair->store.outgoing.free_count, PAIR_BLOCKS);
    assert_int_equal(pair->store.incoming.free_count, PAIR_BLOCKS);
    assert_int_equal(pair->store.sent.free_count, 2 * PAIR_BLOCKS);
    pair_lose(pair);
    free(pair->memory);
    free(pair);
}

static inline void pair_post(struct pair *pair, int to, const uint8_t *bytes, size_t size_bytes) {
    if (to == SERVER && pair->now_ns < pair->stands_until_ns &&
        pair->link_count >= pair->waiting_max) {
        return;
    }
    assert_true(pair->link_count < LINK_MAX);
    struct in_flight *packet = malloc(sizeof *packet + size_bytes);
    pair->link[pair->link_count++] = packet;
    packet->arrives_ns = pair->now_ns + pair->delay_ns +
                         prng_below(&pair->prng, (uint32_t)pair->jitter_ns);
    packet->size_bytes = (uint32_t)size_bytes;
    packet->to = to;
    memcpy(packet->bytes, bytes, size_bytes);
    if (prng_chance(&pair->prng, pair->corrupt_ppm)) {
        packet->bytes[prng_below(&pair->prng, packet->size_bytes)] ^=
            (uint8_t)(1u << prng_below(&pair->prng, 8));
    }
}

static inline void pair_transmit(struct pair *pair, int from) {
    uint8_t bytes[PACKET_BYTES_MAX];
    size_t size_bytes;
    while ((size_bytes = flow_transmit(&pair->flows[from], &pair->store, pair->now_ns, bytes))) {
        bool is_dropped = pair->drop_mask & 1;
        pair->drop_mask >>= 1;
        pair->packets++;
        pair->bytes += size_bytes;
        if (!is_dropped && !prng_chance(&pair->prng, pair->loss_ppm)) {
            pair_post(pair, 1 - from, bytes, size_bytes);
        }
        if (prng_chance(&pair->prng, pair->duplicate_ppm)) {
            pair_post(pair, 1 - from, bytes, size_bytes);
        }
    }
}

static inline void pair_arrive(struct pair *pair, struct in_flight *packet) {
    struct packet parsed;
    struct flow *flow = &pair->flows[packet->to];
    if (!packet_parse(packet->bytes, packet->size_bytes, &parsed)) {
        return;
    }
    parsed.ecn = pair->is_marking ? 3 : 0;
    parsed.waited_ns = pair->now_ns - packet->arrives_ns;
    if (packet->to == SERVER && !pair->has_server) {
        if (parsed.type == PACKET_INIT) {
            struct flow_birth birth = pair_birth(pair, 2, 1);
            flow_accept(flow, &pair->config, &birth, &parsed, pair->now_ns);
            pair->has_server = true;
        }
        return;
    }
    flow_receive(flow, &pair->store, &parsed, pair->now_ns);
}

/* When a side that may stand still can act on what is due at `due_ns`. */
static inline uint64_t pair_awake_ns(const struct pair *pair, int side, uint64_t due_ns) {
    return side == SERVER && due_ns < pair->stands_until_ns ? pair->stands_until_ns : due_ns;
}

static inline uint64_t pair_next_ns(const struct pair *pair) {
    uint64_t next_ns = UINT64_MAX;
    for (int i = 0; i < pair->link_count; i++) {
        const struct in_flight *packet = pair->link[i];
        uint64_t read_ns = pair_awake_ns(pair, packet->to, packet->arrives_ns);
        next_ns = read_ns < next_ns ? read_ns : next_ns;
    }
    for (int side = 0; side <= (pair->has_server ? SERVER : CLIENT); side++) {
        uint64_t flow_ns = pair_awake_ns(pair, side, flow_next_ns(&pair->flows[side]));
        if (pair->flows[side].state != FLOW_CLOSED && flow_ns < next_ns) {
            next_ns = flow_ns;
        }
    }
    return next_ns;
}

/* Moves to the next event and lets everything happen. False: nothing will ever happen again. */
static inline bool pair_step(struct pair *pair) {
    uint64_t next_ns = pair_next_ns(pair);
    if (next_ns == UINT64_MAX) {
        return false;
    }
    pair->now_ns = next_ns > pair->now_ns ? next_ns : pair->now_ns;
    for (int i = 0; i < pair->link_count;) {
        struct in_flight *packet = pair->link[i];
        if (pair_awake_ns(pair, packet->to, packet->arrives_ns) <= pair->now_ns) {
            pair->link_count--;
            memmove(&pair->link[i], &pair->link[i + 1],
                    (size_t)(pair->link_count - i) * sizeof packet); /* keeps their order */
            pair_arrive(pair, packet);
            free(packet);
        } else {
            i++;
        }
    }
    for (int side = 0; side <= (pair->has_server ? SERVER : CLIENT); side++) {
        if (pair_awake_ns(pair, side, pair->now_ns) > pair->now_ns) {
            continue;
        }
        flow_timeout(&pair->flows[side], &pair->store, pair->now_ns);
        pair_transmit(pair, side);
    }
    return true;
}

static inline void pair_establish(struct pair *pair) {
    pair_connect(pair);
    for (int i = 0; i < 1000 && pair->flows[CLIENT].state == FLOW_CONNECTING; i++) {
        assert_true(pair_step(pair));
    }
    assert_int_equal(pair->flows[CLIENT].state, FLOW_OPEN);
}

/* The byte of message `message` at `offset`: a function of both, so that a mix-up is seen. */
static inline uint8_t pair_byte(uint32_t message, uint32_t offset) {
    return (uint8_t)((message * 2654435761u ^ offset * 40503u) >> 7);
}

static inline bool pair_send(struct pair *pair, int from, uint32_t message, uint32_t size_bytes,
                      uint8_t lane) {
    uint8_t *bytes = malloc(size_bytes);
    for (uint32_t i = 0; i < size_bytes; i++) {
        bytes[i] = (uint8_t)(i < 4 ? message >> (8 * i) : pair_byte(message, i));
    }
    struct send_queue *out = &pair->flows[from].out;
    uint32_t index = send_queue_begin(out, &pair->store, size_bytes, lane, 0);
    if (index != NO_ITEM) {
        send_queue_append(out, &pair->store, index, bytes, size_bytes);
    }
    free(bytes);
    return index != NO_ITEM;
}

/* Takes the next message that is ready at `side`. Returns its number, or UINT32_MAX. */
static inline uint32_t pair_take(struct pair *pair, int side) {
    struct flow *flow = &pair->flows[side];
    const struct incoming *message = reassembly_ready(&flow->in, &pair->store);
    if (message == NULL) {
        return UINT32_MAX;
    }
    uint32_t size_bytes = message->body.total_bytes;
    uint8_t *bytes = malloc(size_bytes);
    body_read(&message->body, &pair->store.blocks, 0, bytes, size_bytes);
    uint32_t number = 0;
    for (uint32_t i = 0; i < 4; i++) {
        number |= (uint32_t)bytes[i] << (8 * i);
    }
    for (uint32_t i = 4; i < size_bytes; i++) {
        assert_int_equal(bytes[i], pair_byte(number, i));
    }
    free(bytes);
    flow_release(flow, &pair->store);
    return number;
}

/* Sends `count` messages each way and takes each exactly once. */
static inline void exchange(struct pair *pair, uint32_t count, uint32_t size_max, uint8_t lane) {
    uint8_t *seen = calloc(2, count);
    uint32_t next[2] = {0, 0};
    uint32_t taken[2] = {0, 0};
    uint32_t last[2] = {UINT32_MAX, UINT32_MAX};
    for (uint64_t steps = 0; taken[0] < count || taken[1] < count; steps++) {
        assert_true(steps < 2000000);
        for (int side = 0; side < 2; side++) {
            while (next[side] < count && pair->flows[side].out.message_count < 32) {
                uint32_t size = 4 + prng_below(&pair->prng, size_max);
                assert_true(pair_send(pair, side, next[side]++, size, lane));
            }
            pair_transmit(pair, side);
        }
        assert_true(pair_step(pair));
        for (int side = 0; side < 2; side++) {
            uint32_t number;
            while ((number = pair_take(pair, side)) != UINT32_MAX) {
                assert_true(number < count);
                assert_int_equal(seen[(uint32_t)side * count + number]++, 0);
                assert_true(lane == 0 || number == last[side] + 1);
                last[side] = number;
                taken[side]++;
            }
        }
        assert_int_equal(pair->flows[CLIENT].state, FLOW_OPEN);
        assert_int_equal(pair->flows[SERVER].state, FLOW_OPEN);
    }
    free(seen);
}

#endif
