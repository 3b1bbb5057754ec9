/* Flows that peers open: each counts once, wherever its peer goes, and a call that comes again is
 * answered again. */
#include "test.h"

#include <unistd.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "engine/command.h"
#include "engine/wire.h"

enum { PORT = 7000, TOKEN_AT = PACKET_HEADER_BYTES + 16, CALLER_ID = 77, NUMBER = 1 };

static struct wire wire;
static struct te_channel *channel;
static struct netif_datagram init;
static uint8_t init_bytes[PACKET_BYTES_MAX];
static uint8_t last_bytes[PACKET_BYTES_MAX]; /* that the engine sent */
static uint32_t last_size_bytes;
static struct te_endpoint last_remote;
static int sent_count;

static void note_sent(struct wire *from, const struct netif_datagram *datagram) {
    (void)from;
    memcpy(last_bytes, datagram->bytes, datagram->size_bytes);
    last_size_bytes = datagram->size_bytes;
    last_remote = datagram->remote;
    sent_count++;
}

static int set_up(void **state) {
    (void)state;
    struct te_engine_config config;
    struct te_completion done;
    char why[TE_WHY_BYTES];
    crc32c_select();
    te_engine_config_init(&config);
    config.local = (struct te_endpoint){{[10] = 0xff, [11] = 0xff, 10, 0, 0, 1}, PORT, 0};
    wire = (struct wire){.sent = note_sent};
    assert_int_equal(wire_open(&wire, &config), TE_OK);
    command_execute(&wire.engine, &(struct te_command){.op = TE_ATTACH,
                                                       .ring_bytes = TE_RING_BYTES_MIN}, &done);
    assert_int_equal(done.error, TE_OK);
    assert_int_equal(te_channel_open(done.memory_fd, done.doorbell_fd, &channel, why), TE_OK);
    command_execute(&wire.engine, &(struct te_command){.op = TE_LISTEN, .endpoint = {.port = PORT}},
                    &done);
    assert_int_equal(done.error, TE_OK);
    sent_count = 0;
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    te_channel_close(channel);
    engine_fini(&wire.engine, wire.now_ns);
    return 0;
}

static struct te_endpoint caller(uint8_t host) {
    return (struct te_endpoint){{[10] = 0xff, [11] = 0xff, 10, 0, 0, host}, 40000, 0};
}

static void receive_init(void) {
    packet_seal(init_bytes, init.size_bytes - PACKET_TRAILER_BYTES);
    wire_receive(&wire, &init);
}

/* A call of the engine's port, with the token that it asks for. */
static void call_from(uint8_t host) {
    const struct parameters parameters = {1396, 1 << 20, 64};
    memset(init_bytes, 0, sizeof init_bytes);
    packet_write_header(init_bytes, &(struct packet){.source_id = CALLER_ID, .number = NUMBER,
                                                     .version = PACKET_VERSION,
                                                     .type = PACKET_INIT});
    parameters_write(init_bytes + PACKET_HEADER_BYTES, &parameters);
    init = (struct netif_datagram){.local = wire.netif.local, .remote = caller(host),
                                   .bytes = init_bytes, .size_bytes = INIT_BYTES};
    receive_init();
    assert_int_equal(last_bytes[1], PACKET_RETRY);
    memcpy(init_bytes + TOKEN_AT, last_bytes + PACKET_HEADER_BYTES, TOKEN_BYTES);
    receive_init();
}

static uint32_t flows_of_peers(void) {
    uint32_t count = 0;
    for (uint32_t i = 0; i <= wire.engine.peers.mask; i++) {
        for (const struct peer *peer = wire.engine.peers.heads[i]; peer != NULL;
             peer = peer->next) {
            count += peer->flow_count;
        }
    }
    return count;
}

/* A packet of the flow that the last ACCEPT opened, from wherever its peer is now. */
static void receive_from(uint8_t host, uint8_t type, uint64_t number) {
    uint8_t bytes[PACKET_BYTES_MAX];
    const struct packet packet = {.destination_id = load_u64(last_bytes + 12),
                                  .source_id = CALLER_ID, .number = number,
                                  .version = PACKET_VERSION, .type = type};
    packet_write_header(bytes, &packet);
    bytes[PACKET_HEADER_BYTES] = FRAME_PING;
    const size_t body_bytes = type == PACKET_DATA ? 1 : 0;
    const struct netif_datagram datagram = {
        .local = wire.netif.local, .remote = caller(host), .bytes = bytes,
        .size_bytes = (uint32_t)packet_seal(bytes, PACKET_HEADER_BYTES + body_bytes)};
    wire_receive(&wire, &datagram);
}

static void let_the_application_read(void) {
    static struct te_record heads[16];
    static uint8_t payload[TE_RECORD_PAYLOAD_MAX * 2];
    for (int i = 0; i < 4; i++) {
        assert_true(te_channel_receive(channel, heads, 16, payload, sizeof payload) >= 0);
        wire_poll(&wire);
    }
}

static void a_call_that_comes_again_is_answered_again(void **state) {
    (void)state;
    call_from(2);
    assert_int_equal(last_bytes[1], PACKET_ACCEPT);
    const uint64_t id = load_u64(last_bytes + 12);
    const int count = sent_count;
    wire.now_ns += 2000000;
    receive_init();
    assert_int_equal(sent_count, count + 1); /* at once, for the first may be lost */
    assert_int_equal(last_bytes[1], PACKET_ACCEPT);
    assert_int_equal(load_u64(last_bytes + 12), id);
    assert_int_equal(wire.engine.stats.flows_open, 1);
}

/* An answer is as long as the flow's packets may be, to see that the way back carries them, but
 * never longer than what it answers; and a call that does not prove its address gets a token. */
static void an_answer_is_as_long_as_packets_unless_the_call_is_shorter(void **state) {
    (void)state;
    static const uint32_t calls[] = {INIT_BYTES, 1451, 1452, 1453, PACKET_BYTES_MAX, INIT_BYTES};
    static const uint32_t answers[] = {48, 48, 1452, 1452, 1452, 48};
    call_from(2);
    const uint64_t id = load_u64(last_bytes + 12);
    assert_int_equal(last_size_bytes, 48);
    for (int i = 0; i < 6; i++) {
        init.size_bytes = calls[i];
        receive_init();
        assert_int_equal(last_bytes[1], PACKET_ACCEPT);
        assert_int_equal(last_size_bytes, answers[i]);
        assert_int_equal(load_u64(last_bytes + 12), id);
    }
    memset(init_bytes + TOKEN_AT, 0, TOKEN_BYTES);
    init.size_bytes = PACKET_BYTES_MAX;
    receive_init();
    assert_int_equal(last_bytes[1], PACKET_RETRY);
    assert_int_equal(last_size_bytes, 52);
    assert_int_equal(load_u32(last_bytes + PACKET_HEADER_BYTES + TOKEN_BYTES), 1396);
    assert_int_equal(wire.engine.stats.flows_open, 1);
}

static void a_call_that_finds_no_room_counts_for_nobody(void **state) {
    (void)state;
    wire.engine.shares[0].flows_max = 0;
    call_from(2);
    assert_int_equal(last_bytes[1], PACKET_REFUSE);
    assert_int_equal(wire.engine.stats.flows_open, 0);
    assert_int_equal(flows_of_peers(), 0);
}

static void a_flow_whose_peer_went_counts_once(void **state) {
    (void)state;
    call_from(2);
    const uint8_t *opened = last_bytes;
    assert_int_equal(opened[1], PACKET_ACCEPT);
    const uint64_t id = load_u64(last_bytes + 12);
    receive_from(2, PACKET_DATA, NUMBER + 1);
    store_u64(last_bytes + 12, id);
    receive_from(3, PACKET_DATA, NUMBER + 2);
    assert_int_equal(wire.engine.flow_counters.rebinds, 1);
    assert_memory_equal(&last_remote, &(struct te_endpoint[]){caller(3)}, sizeof last_remote);
    assert_int_equal(flows_of_peers(), 1);
    store_u64(last_bytes + 12, id);
    receive_from(3, PACKET_RESET, 0);
    let_the_application_read();
    assert_int_equal(wire.engine.stats.flows_open, 0);
    assert_int_equal(flows_of_peers(), 0);
}

static void an_engine_that_drains_says_so(void **state) {
    (void)state;
    struct te_completion done;
    call_from(2);
    receive_from(2, PACKET_RESET, 0);
    let_the_application_read();
    command_execute(&wire.engine, &(struct te_command){.op = TE_DRAIN}, &done);
    receive_init();
    assert_int_equal(last_bytes[1], PACKET_REFUSE);
    assert_int_equal(last_bytes[PACKET_HEADER_BYTES], TE_R_ENGINE_STOPPED);
    assert_int_equal(wire.engine.stats.flows_open, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_call_that_comes_again_is_answered_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            an_answer_is_as_long_as_packets_unless_the_call_is_shorter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_call_that_finds_no_room_counts_for_nobody, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_flow_whose_peer_went_counts_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_engine_that_drains_says_so, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
