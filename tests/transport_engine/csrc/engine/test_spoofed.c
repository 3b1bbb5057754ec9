/* A million packets from addresses that nobody has proven: no flow, no memory, and never more
 * bytes out than in (docs/wire.md §4). */
#include "test.h"

#include <unistd.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "engine/command.h"
#include "engine/wire.h"

enum {
    PACKETS = 1000000,
    PORT = 7000,
    PERIOD_BITS = 33,
    TOKEN_AT = PACKET_HEADER_BYTES + 16,
    NUMBER_AT = 20
};

/* What is wrong with an INIT. */
enum flaw {
    NO_TOKEN,
    FORGED_TOKEN,
    STALE_TOKEN,
    FUTURE_TOKEN,
    OTHER_ADDRESS,
    OTHER_PORT,
    OTHER_SERVICE,
    OTHER_ID,
    NO_LISTENER,
    OTHER_VERSION,
    TOO_SHORT,
    NO_ID,
    WITH_DESTINATION,
    FLAWS
};

static struct wire wire;
static struct netif_datagram last; /* that the engine sent */
static uint8_t last_bytes[PACKET_BYTES_MAX];
static uint64_t sent_count;
static uint64_t sent_bytes;

static void note_sent(struct wire *from, const struct netif_datagram *datagram) {
    (void)from;
    last = *datagram;
    memcpy(last_bytes, datagram->bytes, datagram->size_bytes);
    sent_count++;
    sent_bytes += datagram->size_bytes;
}

static int set_up(void **state) {
    (void)state;
    struct te_engine_config config;
    struct te_completion done;
    crc32c_select();
    te_engine_config_init(&config);
    config.local = (struct te_endpoint){{[10] = 0xff, [11] = 0xff, 10, 0, 0, 1},
                                        TE_PORT_DEFAULT, 0};
    wire = (struct wire){.sent = note_sent};
    assert_int_equal(wire_open(&wire, &config), TE_OK);
    command_execute(&wire.engine, &(struct te_command){.op = TE_ATTACH,
                                                       .ring_bytes = TE_RING_BYTES_MIN}, &done);
    assert_int_equal(done.error, TE_OK);
    close(done.memory_fd);
    close(done.doorbell_fd);
    struct te_command listen = {.op = TE_LISTEN, .endpoint = {.port = PORT}};
    command_execute(&wire.engine, &listen, &done);
    assert_int_equal(done.error, TE_OK);
    listen.endpoint.port = PORT + 1;
    command_execute(&wire.engine, &listen, &done);
    assert_int_equal(done.error, TE_OK);
    sent_count = sent_bytes = 0;
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    engine_fini(&wire.engine, wire.now_ns);
    return 0;
}

/* Nothing was ever taken from memory, not even given back by now. */
static void check_nothing_kept(void) {
    const struct engine *engine = &wire.engine;
    const struct pool *pools[] = {&engine->store.blocks, &engine->store.outgoing,
                                  &engine->store.incoming, &engine->store.sent};
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++) {
        assert_int_equal(pools[i]->fresh, 0);
        assert_int_equal(pools[i]->free_count, pools[i]->capacity);
    }
    assert_int_equal(engine->stats.flows_open, 0);
    assert_int_equal(engine->stats.handshakes_completed, 0);
    assert_int_equal(engine->table.free_count, engine->table.capacity);
    assert_int_equal(engine->timers.count, 0);
    assert_int_equal(engine->active_first, NO_ITEM);
    assert_int_equal(engine->tenants[0].first_flow, NO_ITEM);
    assert_int_equal(engine->tenants[0].inbox_first, NO_ITEM);
}

static struct te_endpoint anywhere(void) {
    struct te_endpoint endpoint = {{[10] = 0xff, [11] = 0xff}, 0, 0};
    uint64_t random = prng_next(&wire.prng);
    memcpy(endpoint.address + 12, &random, 4);
    endpoint.port = (uint16_t)(1 + (random >> 32) % UINT16_MAX);
    return endpoint;
}

static struct te_endpoint service(uint16_t port) {
    struct te_endpoint endpoint = wire.netif.local;
    endpoint.port = port;
    return endpoint;
}

/* Hands one datagram over; the answer, if any, is at most one and no longer. */
static void receive(const struct netif_datagram *datagram) {
    uint64_t count = sent_count;
    uint64_t bytes = sent_bytes;
    wire_receive(&wire, datagram);
    if (sent_count > count + 1 || sent_bytes - bytes > datagram->size_bytes) {
        fail_msg("%u bytes of type %d were answered by %d packets with %d bytes",
                 datagram->size_bytes, datagram->bytes[1], (int)(sent_count - count),
                 (int)(sent_bytes - bytes));
    }
}

static void make_init(uint8_t bytes[INIT_BYTES], uint64_t id) {
    memset(bytes, 0, INIT_BYTES);
    packet_write_header(bytes, &(struct packet){.source_id = id, .number = 1,
                                                .version = PACKET_VERSION, .type = PACKET_INIT});
    const struct parameters parameters = {1396, 1 << 20, 64};
    parameters_write(bytes + PACKET_HEADER_BYTES, &parameters);
}

static void seal(struct netif_datagram *datagram) {
    packet_seal(datagram->bytes, datagram->size_bytes - PACKET_TRAILER_BYTES);
}

/* Asks for a token as an honest caller would, and puts it into the INIT. */
static void take_token(struct netif_datagram *datagram) {
    uint64_t count = sent_count;
    seal(datagram);
    wire_receive(&wire, datagram);
    assert_int_equal(sent_count, count + 1);
    assert_int_equal(last_bytes[1], PACKET_RETRY);
    assert_int_equal(last.size_bytes, 52);
    memcpy(datagram->bytes + TOKEN_AT, last_bytes + PACKET_HEADER_BYTES, TOKEN_BYTES);
}

static void spoil(struct netif_datagram *datagram, enum flaw flaw) {
    uint8_t *token = datagram->bytes + TOKEN_AT;
    uint64_t random = prng_next(&wire.prng);
    switch (flaw) {
    case FORGED_TOKEN:
        store_u64(token, (wire.now_ns >> PERIOD_BITS) - random % 2);
        store_u64(token + 8, random);
        break;
    case STALE_TOKEN:
        take_token(datagram);
        wire.now_ns += UINT64_C(2) << PERIOD_BITS;
        break;
    case FUTURE_TOKEN:
        take_token(datagram);
        store_u64(token, load_u64(token) + 1 + random % 1000);
        break;
    case OTHER_ADDRESS:
        take_token(datagram);
        datagram->remote.address[12 + random % 4] ^= (uint8_t)(1u << random / 4 % 8);
        break;
    case OTHER_PORT:
        take_token(datagram);
        datagram->remote.port ^= (uint16_t)(1u << random % 16);
        break;
    case OTHER_SERVICE:
        take_token(datagram);
        datagram->local.port = PORT + 1;
        break;
    case OTHER_ID:
        take_token(datagram);
        datagram->bytes[12 + random % 8] ^= (uint8_t)(1u << random / 8 % 8);
        break;
    case NO_LISTENER:
        datagram->local.port = PORT + 2;
        break;
    case OTHER_VERSION:
        datagram->bytes[0] = (uint8_t)(2 + random % 254);
        break;
    case TOO_SHORT:
        datagram->size_bytes = (uint32_t)(PACKET_BYTES_MIN + random % (256 - PACKET_BYTES_MIN));
        break;
    case NO_ID:
        store_u64(datagram->bytes + 12, 0);
        break;
    case WITH_DESTINATION:
        store_u64(datagram->bytes + 4, random | 1);
        break;
    default:
        break;
    }
}

static void spoofed_inits_leave_no_trace(void **state) {
    (void)state;
    uint8_t bytes[INIT_BYTES];
    uint64_t received_bytes = 0;
    uint64_t spoofed = 0;
    for (; spoofed < PACKETS; spoofed++) {
        make_init(bytes, prng_next(&wire.prng) | 1);
        struct netif_datagram datagram = {.local = service(PORT), .remote = anywhere(),
                                          .bytes = bytes, .size_bytes = INIT_BYTES};
        spoil(&datagram, (enum flaw)(spoofed % FLAWS));
        seal(&datagram);
        receive(&datagram);
    }
    received_bytes = wire.engine.stats.bytes_received;
    assert_true(wire.engine.stats.datagrams_received >= PACKETS);
    assert_true(sent_count > PACKETS / 2); /* it did answer */
    assert_true(sent_bytes <= received_bytes);
    check_nothing_kept();
}

static void spoofed_packets_leave_no_trace(void **state) {
    (void)state;
    static const uint8_t types[] = {PACKET_RETRY, PACKET_ACCEPT, PACKET_DATA,
                                    PACKET_RESET, PACKET_REFUSE, PACKET_VERSIONS};
    uint8_t bytes[PACKET_BYTES_MIN + 64];
    uint64_t resets = 0;
    for (int i = 0; i < PACKETS / 10; i++) {
        for (size_t at = 0; at + 8 <= sizeof bytes; at += 8) {
            store_u64(bytes + at, prng_next(&wire.prng));
        }
        struct netif_datagram datagram = {
            .local = service(PORT), .remote = anywhere(), .bytes = bytes,
            .size_bytes = PACKET_BYTES_MIN + (uint32_t)i % 65};
        bytes[0] = i % 16 == 0 ? bytes[0] : PACKET_VERSION;
        bytes[1] = types[(size_t)i % sizeof types];
        store_u16(bytes + 2, 0);
        if (i % 32 != 0) {
            seal(&datagram);
            resets += bytes[1] == PACKET_DATA || bytes[1] == PACKET_ACCEPT;
        }
        receive(&datagram);
    }
    assert_int_equal(wire.engine.stats.resets_sent, resets);
    assert_int_equal(sent_count, resets);
    assert_int_equal(sent_bytes, 32 * resets);
    check_nothing_kept();
}

/* What the spoofed ones had wrong is all that was wrong with them. */
static void open_flow(uint64_t wait_ns) {
    uint8_t bytes[INIT_BYTES];
    make_init(bytes, 77);
    struct netif_datagram datagram = {.local = service(PORT), .remote = anywhere(),
                                      .bytes = bytes, .size_bytes = INIT_BYTES};
    take_token(&datagram);
    wire.now_ns += wait_ns;
    seal(&datagram);
    receive(&datagram);
    assert_int_equal(last_bytes[1], PACKET_ACCEPT);
    assert_int_equal(load_u64(last_bytes + 4), 77);
    assert_true(load_u64(last_bytes + NUMBER_AT) < UINT64_C(1) << 62);
    assert_int_equal(wire.engine.stats.handshakes_completed, 1);
}

static void an_honest_init_opens_a_flow(void **state) {
    (void)state;
    open_flow(0);
}

static void a_token_is_good_in_the_next_period(void **state) {
    (void)state;
    open_flow(UINT64_C(1) << PERIOD_BITS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(spoofed_inits_leave_no_trace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(spoofed_packets_leave_no_trace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_honest_init_opens_a_flow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_is_good_in_the_next_period, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
