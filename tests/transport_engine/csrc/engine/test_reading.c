/* Two engines whose kernel takes time to hand over what came: none of it is the path's. */
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
    CALL_BYTES = 128
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

static void open_side(struct side *side, uint8_t host) {
    struct te_engine_config config;
    struct te_completion done;
    char why[TE_WHY_BYTES];
    te_engine_config_init(&config);
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

static void call(struct side *from) {
    uint8_t packed[sizeof(struct te_record) + CALL_BYTES] = {0};
    struct te_record record = {.kind = TE_REQUEST, .flags = TE_FIRST | TE_LAST, .flow = from->flow,
                               .size_bytes = CALL_BYTES, .total_bytes = CALL_BYTES};
    memcpy(packed, &record, sizeof record);
    assert_true(te_channel_send(from->channel, packed, sizeof packed) > 0);
}

static void a_path_is_as_long_as_it_is(void **state) {
    (void)state;
    struct te_completion done;
    crc32c_select();
    open_side(&sides[0], 1);
    open_side(&sides[1], 2);
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
    const struct rtt *rtt = &sides[0].wire.engine.flows[0].flow.rtt;
    for (uint32_t i = 1; i <= CALLS; i++) {
        call(&sides[0]);
        for (int ticks = 0; sides[1].messages < i; ticks++) {
            assert_true(ticks < TICKS_MAX);
            tick();
        }
        assert_true(rtt->path_min_ns[0] >= 2 * PATH_NS); /* no sample is too short, ... */
    }
    assert_int_equal(rtt->path_min_ns[0], 2 * PATH_NS); /* ... and the best one is right */
    for (int i = 0; i < 2; i++) {
        te_channel_close(sides[i].channel);
        engine_fini(&sides[i].wire.engine, sides[i].wire.now_ns);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_as_long_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
