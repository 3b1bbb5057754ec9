/* Two engines that take time to read what came, and to do what it asks for: none of it is the
 * path's. And how much an engine takes at once. */
#include "test.h"

#include <stdlib.h>

#include "base/crc32c.h"
#include "engine/command.h"
#include "engine/wire.h"

enum {
    PORT = 7000,
    PATH_NS = 10000,
    READ_NS = 3000,
    TICK_NS = 700,   /* between two looks at either engine */
    TICKS_MAX = 100000,
    QUEUE_MAX = 64,
    CALLS = 40,
    CALL_BYTES = 128,
    JUMBO_BYTES = 9216,
    LONG_BYTES = 17600, /* two packets of that: the second is acknowledged at once */
    WORK_NS = 5000,
    PACKET_BYTES = 1452
};

struct side {
    struct wire wire; /* first, so that what it sends knows whose it is */
    struct te_channel *channel;
    struct netif_datagram queue[QUEUE_MAX]; /* on the way here, or waiting in the kernel */
    uint64_t arrives_ns[QUEUE_MAX];
    uint8_t bytes[QUEUE_MAX][PACKET_BYTES_MAX];
    uint32_t taken, put;
    uint32_t flow;
    uint32_t messages;
};

static struct side sides[2];

static void pass_on(struct wire *from, const struct netif_datagram *datagram) {
    struct side *to = &sides[(struct side *)from == &sides[0]];
    uint32_t place = to->put++ % QUEUE_MAX;
    assert_true(to->put - to->taken <= QUEUE_MAX);
    memcpy(to->bytes[place], datagram->bytes, datagram->size_bytes);
    to->arrives_ns[place] = from->now_ns + PATH_NS;
    to->queue[place] = (struct netif_datagram){.local = datagram->remote,
                                               .remote = datagram->local,
                                               .bytes = to->bytes[place],
                                               .size_bytes = datagram->size_bytes};
}

static void open_side(struct side *side, uint8_t host, uint32_t mtu_bytes) {
    struct te_engine_config config;
    struct te_completion done;
    char why[TE_WHY_BYTES];
    te_engine_config_init(&config);
    config.mtu_bytes = mtu_bytes;
    config.local = (struct te_endpoint){{[10] = 0xff, [11] = 0xff, 10, 0, 0, host}, PORT, 0};
    *side = (struct side){.wire = {.sent = pass_on, .read_ns = READ_NS}};
    assert_int_equal(wire_open(&side->wire, &config), TE_OK);
    command_execute(&side->wire.engine,
                    &(struct te_command){.op = TE_ATTACH, .ring_bytes = TE_RING_BYTES_MIN}, &done);
    assert_int_equal(done.error, TE_OK);
    assert_int_equal(te_channel_open(done.memory_fd, done.doorbell_fd, &side->channel, why),
                     TE_OK);
}

static void drain(struct side *side) {
    static uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    struct te_record heads[QUEUE_MAX];
    int count = te_channel_receive(side->channel, heads, QUEUE_MAX, payload, sizeof payload);
    for (int i = 0; i < count; i++) {
        if (heads[i].kind == TE_FLOW_OPENED) {
            side->flow = heads[i].flow;
        }
        side->messages += heads[i].kind == TE_REQUEST;
    }
}

/* One engine after the other, on one clock. */
static void tick(void) {
    uint64_t now_ns = sides[0].wire.now_ns;
    for (int i = 0; i < 2; i++) {
        struct side *side = &sides[i];
        uint32_t place = side->taken % QUEUE_MAX;
        now_ns += TICK_NS;
        side->wire.now_ns = now_ns;
        if (side->taken < side->put && side->arrives_ns[place] <= now_ns) {
            side->taken++;
            side->queue[place].waited_ns = now_ns - side->arrives_ns[place];
            wire_receive(&side->wire, &side->queue[place]);
        } else {
            wire_poll(&side->wire);
        }
        now_ns = side->wire.now_ns;
        drain(side);
    }
    sides[0].wire.now_ns = now_ns;
}

static void call(struct side *from, uint32_t size_bytes) {
    static uint8_t packed[sizeof(struct te_record) + LONG_BYTES];
    struct te_record record = {.kind = TE_REQUEST, .flags = TE_FIRST | TE_LAST, .flow = from->flow,
                               .size_bytes = size_bytes, .total_bytes = size_bytes};
    memcpy(packed, &record, sizeof record);
    assert_true(te_channel_send(from->channel, packed, sizeof record + size_bytes) > 0);
}

static void open_both(uint32_t mtu_bytes) {
    struct te_completion done;
    crc32c_select();
    open_side(&sides[0], 1, mtu_bytes);
    open_side(&sides[1], 2, mtu_bytes);
    struct te_command listen = {.op = TE_LISTEN, .endpoint = {.port = PORT}};
    command_execute(&sides[1].wire.engine, &listen, &done);
    assert_int_equal(done.error, TE_OK);
    struct te_command connect = {.op = TE_CONNECT, .endpoint = sides[1].wire.netif.local};
    command_execute(&sides[0].wire.engine, &connect, &done);
    assert_int_equal(done.error, TE_OK);
    for (int i = 0; sides[0].flow == 0; i++) {
        assert_true(i < TICKS_MAX);
        tick();
    }
}

static void close_both(void) {
    for (int i = 0; i < 2; i++) {
        te_channel_close(sides[i].channel);
        engine_fini(&sides[i].wire.engine, sides[i].wire.now_ns);
    }
}

/* No sample is too short, and the best one is right. */
static void measure(uint32_t size_bytes, bool is_long) {
    const struct rtt *rtt = &sides[0].wire.engine.flows[0].flow.rtt;
    for (uint32_t i = 1; i <= CALLS; i++) {
        call(&sides[0], size_bytes);
        for (int ticks = 0; sides[1].messages < i; ticks++) {
            assert_true(ticks < TICKS_MAX);
            tick();
        }
        assert_true(rtt->path_min_ns[is_long] >= 2 * PATH_NS);
    }
    assert_int_equal(rtt->path_min_ns[is_long], 2 * PATH_NS);
}

static void a_path_is_as_long_as_it_is(void **state) {
    (void)state;
    open_both(1500);
    measure(CALL_BYTES, false);
    close_both();
}

static void a_path_is_no_longer_for_work_at_its_ends(void **state) {
    (void)state;
    open_both(JUMBO_BYTES);
    sides[0].wire.work_ns = sides[1].wire.work_ns = WORK_NS;
    measure(LONG_BYTES, true);
    close_both();
}

/* ---- how much is taken at once ---- */

static uint32_t waiting; /* datagrams, in a netif that never runs dry */
static uint32_t waiting_bytes; /* each */

static int take_waiting(struct netif *netif, uint64_t now_ns, struct netif_datagram *datagrams,
                        int count) {
    static uint8_t noise[PACKET_BYTES];
    (void)netif;
    (void)now_ns;
    for (int i = 0; i < count; i++) {
        datagrams[i] = (struct netif_datagram){.bytes = noise, .size_bytes = waiting_bytes};
    }
    waiting -= (uint32_t)count;
    return count;
}

static uint32_t taken_by_a_poll(struct wire *wire, uint32_t size_bytes) {
    waiting = 1000;
    waiting_bytes = size_bytes;
    wire_poll(wire);
    return 1000 - waiting;
}

static void many_long_packets_are_left_to_wait(void **state) {
    (void)state;
    open_both(1500);
    struct wire *wire = &sides[0].wire;
    struct netif_ops ops = *wire->netif.ops;
    ops.rx_burst = take_waiting;
    wire->netif.ops = &ops;
    wire->netif.caps = 0; /* no stamps */
    assert_int_equal(taken_by_a_poll(wire, PACKET_BYTES), 8);
    assert_int_equal(taken_by_a_poll(wire, 64), RX_PACKETS_MAX);
    assert_in_range(taken_by_a_poll(wire, 512), 2 * RX_FEW, 3 * RX_FEW);
    wire->netif.caps = NETIF_STAMPS; /* which tell how long they waited */
    assert_int_equal(taken_by_a_poll(wire, PACKET_BYTES), RX_PACKETS_MAX);
    close_both();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_as_long_as_it_is),
        cmocka_unit_test(a_path_is_no_longer_for_work_at_its_ends),
        cmocka_unit_test(many_long_packets_are_left_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
