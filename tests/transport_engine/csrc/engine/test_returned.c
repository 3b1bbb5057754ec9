/* A datagram that came back since nobody is at its port ends a flow only if it is the flow's own,
 * and the flow waits for nothing else than an answer from there. */
#include "test.h"

#include <unistd.h>

#include "base/crc32c.h"
#include "engine/command.h"
#include "engine/wire.h"

enum { PORT = 7000 };

static struct wire wire;
static struct te_channel *channel;
static struct netif_datagram last; /* that the engine sent */
static uint8_t last_bytes[PACKET_BYTES_MAX];

static void note_sent(struct wire *from, const struct netif_datagram *datagram) {
    (void)from;
    last = *datagram;
    last.bytes = last_bytes;
    memcpy(last_bytes, datagram->bytes, datagram->size_bytes);
}

static int set_up(void **state) {
    (void)state;
    struct te_engine_config config;
    struct te_completion done;
    char why[TE_WHY_BYTES];
    crc32c_select();
    te_engine_config_init(&config);
    config.local = (struct te_endpoint){{[10] = 0xff, [11] = 0xff, 10, 0, 0, 1},
                                        TE_PORT_DEFAULT, 0};
    wire = (struct wire){.sent = note_sent};
    assert_int_equal(wire_open(&wire, &config), TE_OK);
    command_execute(&wire.engine, &(struct te_command){.op = TE_ATTACH,
                                                       .ring_bytes = TE_RING_BYTES_MIN}, &done);
    assert_int_equal(done.error, TE_OK);
    assert_int_equal(te_channel_open(done.memory_fd, done.doorbell_fd, &channel, why), TE_OK);
    struct te_command connect = {.op = TE_CONNECT, .token = 5, .endpoint = {
        {[10] = 0xff, [11] = 0xff, 10, 0, 0, 2}, PORT, 0}};
    command_execute(&wire.engine, &connect, &done);
    assert_int_equal(done.error, TE_OK);
    wire_poll(&wire);
    wire.now_ns += FLOW_SPREAD_NS;
    wire_poll(&wire);
    assert_int_equal(last_bytes[1], PACKET_INIT);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    te_channel_close(channel);
    engine_fini(&wire.engine, wire.now_ns);
    return 0;
}

/* The reason with which the flow was closed; TE_R_NONE: it was not. */
static int closed_with(void) {
    struct te_record head;
    uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    int reason = TE_R_NONE;
    while (te_channel_receive(channel, &head, 1, payload, sizeof payload) == 1) {
        reason = head.kind == TE_FLOW_CLOSED ? head.status : reason;
    }
    return reason;
}

static void come_back(struct netif_datagram datagram) {
    datagram.is_returned = true;
    wire_receive(&wire, &datagram);
}

static void seal(struct netif_datagram *datagram) {
    packet_seal(datagram->bytes, datagram->size_bytes - PACKET_TRAILER_BYTES);
}

static void an_own_init_ends_the_attempt(void **state) {
    (void)state;
    come_back(last);
    assert_int_equal(closed_with(), TE_R_REFUSED);
    come_back(last); /* of a flow that is gone */
    wire_poll(&wire);
    assert_int_equal(wire.engine.stats.flows_open, 0);
}

static void nothing_else_does(void **state) {
    (void)state;
    const struct netif_datagram sent = last;
    uint8_t bytes[INIT_BYTES];
    for (int what = 0; what < 8; what++) {
        struct netif_datagram forged = sent;
        memcpy(bytes, sent.bytes, sent.size_bytes);
        forged.bytes = bytes;
        switch (what) {
        case 0: bytes[12] ^= 1; seal(&forged); break;       /* another flow's id */
        case 1: bytes[12] ^= 1; break;                      /* and its check is wrong */
        case 2: bytes[30] ^= 1; break;                      /* a damaged one */
        case 3: bytes[1] = PACKET_DATA; seal(&forged); break;
        case 4: bytes[4] = 1; seal(&forged); break;         /* an INIT has no destination */
        case 5: forged.remote.port++; break;                /* from where it was not sent to */
        case 6: forged.remote.address[15]++; break;
        default: forged.size_bytes = 40; break;             /* cut short */
        }
        come_back(forged);
        assert_int_equal(closed_with(), TE_R_NONE);
        assert_int_equal(wire.engine.stats.flows_open, 1);
    }
    come_back(sent);
    assert_int_equal(closed_with(), TE_R_REFUSED);
}

/* Opens the flow, as its peer would. */
static void accept(void) {
    struct packet init;
    struct flow peer;
    const struct flow_birth birth = {.local = last.remote, .remote = last.local, .local_id = 77,
                                     .first_number = 1000};
    static uint8_t out[PACKET_BYTES_MAX];
    assert_true(packet_parse(last.bytes, last.size_bytes, &init));
    flow_accept(&peer, &wire.engine.flow_config, &birth, &init, wire.now_ns);
    struct netif_datagram answer = {.local = last.local, .remote = last.remote, .bytes = out};
    answer.size_bytes =
        (uint32_t)flow_transmit(&peer, &wire.engine.store, wire.now_ns, out);
    wire_receive(&wire, &answer);
    assert_int_equal(last_bytes[1], PACKET_DATA);
}

static void an_open_flow_does_not_mind(void **state) {
    (void)state;
    accept();
    come_back(last);
    assert_int_equal(closed_with(), TE_R_NONE);
    assert_int_equal(wire.engine.stats.flows_open, 1);
}

static void a_flow_that_closes_has_nobody_to_wait_for(void **state) {
    (void)state;
    accept();
    struct te_record head;
    uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    assert_int_equal(te_channel_receive(channel, &head, 1, payload, sizeof payload), 1);
    assert_int_equal(head.kind, TE_FLOW_OPENED);
    const struct te_record close = {.flow = head.flow, .kind = TE_FLOW_CLOSE,
                                    .flags = TE_FIRST | TE_LAST};
    assert_int_equal(te_channel_put(channel, &close, payload), 1);
    wire_poll(&wire);
    wire_poll(&wire);
    assert_int_equal(closed_with(), TE_R_NONE);
    struct netif_datagram forged = last;
    forged.bytes[4] ^= 1; /* the peer's id */
    seal(&forged);
    come_back(forged);
    assert_int_equal(closed_with(), TE_R_NONE);
    forged.bytes[4] ^= 1;
    seal(&forged);
    come_back(forged);
    assert_int_equal(closed_with(), TE_R_CLOSED);
    wire_poll(&wire);
    assert_int_equal(wire.engine.stats.flows_open, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_own_init_ends_the_attempt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_else_does, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_open_flow_does_not_mind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flow_that_closes_has_nobody_to_wait_for, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
