/* Engines of one team behind a card that spreads by RSS what comes in: a flow calls from a port
 * whose answers come to its own engine. Virtual time, one thread. */
#include "test.h"

#include "base/crc32c.h"
#include "base/prng.h"
#include "engine/command.h"
#include "engine/engine.h"
#include "engine/team.h"
#include "ip/rss.h"

enum {
    ENGINES = 3,
    FLOWS = 40, /* from each of them */
    PORT_FIRST = 7000,
    SLOTS = 1024,
    TABLE_SIZE = 128,
    STEP_NS = 10000,
    STEPS_MAX = 2000,
    HEADS = 64
};

/* A queue of the card, or the cable's far end. */
struct side {
    struct netif netif; /* first, so that the engine's pointer converts */
    uint16_t queue;
    bool is_far;
    uint64_t written, read;
    struct netif_datagram held[SLOTS];
    uint8_t bytes[SLOTS][2048];
};

static struct side queues[ENGINES], far_side;
static struct engine near[ENGINES], far;
static struct te_channel *channels[ENGINES + 1];
static struct te_team *team;
static struct rss rss;
static struct prng prng;
static uint64_t now_ns;

static uint64_t random_u64(void *context) {
    (void)context;
    return prng_next(&prng);
}

static uint64_t mac(void *context, const uint8_t *bytes, size_t size_bytes) {
    uint64_t total = 0;
    (void)context;
    for (size_t i = 0; i < size_bytes; i++) {
        total = total * 31 + bytes[i];
    }
    return total;
}

/* ---- the card ---- */

static struct side *side_for(const struct side *from, const struct netif_datagram *datagram) {
    if (!from->is_far) {
        return &far_side;
    }
    return &queues[rss.table[rss_hash(&rss, &datagram->local, &datagram->remote) %
                             TABLE_SIZE]];
}

static int side_tx(struct netif *netif, uint64_t at_ns, const struct netif_datagram *datagrams,
                   int count) {
    (void)at_ns;
    for (int i = 0; i < count; i++) {
        struct side *to = side_for((struct side *)netif, &datagrams[i]);
        uint64_t slot = to->written++ % SLOTS;
        assert_true(to->written - to->read <= SLOTS);
        assert_true(datagrams[i].size_bytes <= sizeof to->bytes[slot]);
        memcpy(to->bytes[slot], datagrams[i].bytes, datagrams[i].size_bytes);
        to->held[slot] = (struct netif_datagram){.local = datagrams[i].remote,
                                                 .remote = datagrams[i].local,
                                                 .bytes = to->bytes[slot],
                                                 .size_bytes = datagrams[i].size_bytes};
    }
    return count;
}

static int side_rx(struct netif *netif, uint64_t at_ns, struct netif_datagram *datagrams,
                   int count) {
    struct side *side = (struct side *)netif;
    int taken = 0;
    (void)at_ns;
    while (taken < count && side->read < side->written) {
        datagrams[taken++] = side->held[side->read++ % SLOTS];
    }
    return taken;
}

static int side_listen(struct netif *netif, uint16_t port) {
    (void)netif;
    (void)port;
    return TE_OK;
}

static void side_close(struct netif *netif) {
    (void)netif;
}

static uint16_t side_port_for(const struct netif *netif, const struct te_endpoint *remote) {
    return rss_port(&rss, &netif->local, remote, ((const struct side *)netif)->queue);
}

static const struct netif_ops told = {.name = "card", .rx_burst = side_rx, .tx_burst = side_tx,
                                      .listen = side_listen, .port_for = side_port_for,
                                      .close = side_close};
static const struct netif_ops untold = {.name = "card", .rx_burst = side_rx,
                                        .tx_burst = side_tx, .listen = side_listen,
                                        .close = side_close};

/* ---- the hosts ---- */

static struct te_completion command(struct engine *engine, struct te_command request) {
    struct te_completion done;
    command_execute(engine, &request, &done);
    assert_int_equal(done.error, TE_OK);
    return done;
}

static void open_engine(struct engine *engine, struct side *side,
                        const struct te_engine_config *config, const struct netif_ops *ops) {
    const struct engine_world world = {random_u64, mac, NULL, NULL};
    char why[TE_WHY_BYTES] = "";
    side->netif = (struct netif){.ops = ops, .local = config->local, .mtu_bytes = 1500,
                                 .caps = NETIF_NO_LOOP, .fd = -1};
    side->queue = (uint16_t)config->queue;
    side->is_far = side == &far_side;
    side->written = side->read = 0;
    assert_int_equal(engine_init(engine, config, &world, &side->netif, now_ns, why), TE_OK);
    struct te_completion done =
        command(engine, (struct te_command){.op = TE_ATTACH, .ring_bytes = 1 << 18});
    struct te_channel **channel = &channels[side->is_far ? ENGINES : config->queue];
    assert_int_equal(te_channel_open(done.memory_fd, done.doorbell_fd, channel, why), TE_OK);
}

static void open_hosts(const struct netif_ops *ops) {
    struct te_engine_config config;
    char why[TE_WHY_BYTES] = "";
    te_engine_config_init(&config);
    crc32c_select();
    prng_init(&prng, 1);
    now_ns = UINT64_C(1) << 40;
    rss = (struct rss){.table_size = TABLE_SIZE};
    for (uint32_t i = 0; i < TABLE_SIZE; i++) {
        rss.table[i] = (uint16_t)(i % ENGINES);
        rss.key[i % RSS_KEY_BYTES] = (uint8_t)prng_next(&prng);
    }
    config.pool_bytes = 16 << 20;
    config.message_bytes_max = 4 << 20;
    const uint8_t here[TE_ADDRESS_BYTES] = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 2};
    memcpy(config.local.address, here, sizeof here);
    config.local.port = TE_PORT_DEFAULT;
    open_engine(&far, &far_side, &config, &untold);
    for (uint16_t i = 0; i < ENGINES * FLOWS; i++) {
        struct te_command request = {.op = TE_LISTEN,
                                     .endpoint = {.port = (uint16_t)(PORT_FIRST + i)}};
        command(&far, request);
    }
    assert_int_equal(te_team_open(ENGINES, &team, why), TE_OK);
    config.local.address[15] = 1;
    config.team = team;
    config.queues = ENGINES;
    for (config.queue = 0; config.queue < ENGINES; config.queue++) {
        open_engine(&near[config.queue], &queues[config.queue], &config, ops);
    }
}

static void close_hosts(void) {
    for (int i = 0; i <= ENGINES; i++) {
        te_channel_close(channels[i]);
        engine_fini(i < ENGINES ? &near[i] : &far, now_ns);
    }
    te_team_close(team);
}

static void connect_all(void) {
    for (uint16_t i = 0; i < ENGINES * FLOWS; i++) {
        struct te_command request = {.op = TE_CONNECT, .token = 1,
                                     .endpoint = far_side.netif.local};
        request.endpoint.port = (uint16_t)(PORT_FIRST + i);
        command(&near[i % ENGINES], request);
    }
}

static uint32_t count_opened(void) {
    struct te_record heads[HEADS];
    static uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    uint32_t opened = 0;
    for (int i = 0; i < ENGINES; i++) {
        int count = te_channel_receive(channels[i], heads, HEADS, payload, sizeof payload);
        for (int each = 0; each < count; each++) {
            opened += heads[each].kind == TE_FLOW_OPENED;
        }
    }
    return opened;
}

/* Opens flows from every engine; returns how many datagrams came in at another than theirs. */
static uint64_t hand_overs(const struct netif_ops *ops) {
    uint64_t handed_over = 0;
    uint32_t opened = 0;
    open_hosts(ops);
    connect_all();
    for (int i = 0; i < STEPS_MAX && opened < ENGINES * FLOWS; i++) {
        now_ns += STEP_NS;
        engine_poll(&far, now_ns);
        for (int each = 0; each < ENGINES; each++) {
            engine_poll(&near[each], now_ns);
        }
        opened += count_opened();
    }
    assert_int_equal(opened, ENGINES * FLOWS);
    for (int i = 0; i < ENGINES; i++) {
        struct te_stats stats;
        engine_fill_stats(&near[i], &stats);
        assert_int_equal(stats.datagrams_dropped_unknown, 0);
        handed_over += stats.datagrams_handed_over;
    }
    close_hosts();
    return handed_over;
}

static void test_answers_come_to_the_engine_that_called(void **state) {
    (void)state;
    assert_int_equal(hand_overs(&told), 0);
}

static void test_what_a_card_keeps_to_itself_costs_a_hand_over(void **state) {
    (void)state;
    assert_true(hand_overs(&untold) > ENGINES * FLOWS / 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_come_to_the_engine_that_called),
        cmocka_unit_test(test_what_a_card_keeps_to_itself_costs_a_hand_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
