/* Seeded faults: rates, lateness, bounds, and the same again from the same seed. */
#include "netif_fixture.h"

#include "base/prng.h"

enum { DATAGRAMS = 20000, HALF_PPM = 500000, ALWAYS_PPM = 1000000, TENTH_PPM = 100000 };

static struct netif *open_with(struct te_fault fault) {
    struct te_engine_config config = config_for("loopback", ipv4_endpoint(1, 1));
    config.fault = fault;
    return open_or_fail(&config);
}

static struct te_stats stats_of(const struct netif *netif) {
    struct te_stats stats = {0};
    netif->ops->add_stats(netif, &stats);
    return stats;
}

static int receive(struct netif *netif, uint64_t now_ns, struct netif_datagram *datagrams) {
    return netif->ops->rx_burst(netif, now_ns, datagrams, TE_BURST_MAX);
}

/* Sends DATAGRAMS numbers, and folds what comes back, and when, into one. */
static uint64_t trace(struct netif *netif, uint64_t *received) {
    struct netif_datagram datagrams[TE_BURST_MAX];
    struct prng fold = {0};
    *received = 0;
    for (uint32_t now = 0; now < DATAGRAMS + 2000; now++) {
        if (now < DATAGRAMS) {
            char text[16] = {0};
            memcpy(text, "n", 1);
            memcpy(text + 1, &(uint32_t){now | 0x01010101}, 4);
            send_one(netif, 1, netif->local, text);
        }
        int count = receive(netif, now, datagrams);
        for (int i = 0; i < count; i++) {
            uint32_t number;
            memcpy(&number, datagrams[i].bytes + 1, sizeof number);
            fold.state ^= ((uint64_t)now << 32) | number;
            prng_next(&fold);
        }
        *received += (uint64_t)count;
    }
    return fold.state;
}

static void assert_about(uint64_t count, uint32_t ppm) {
    uint64_t expected = (uint64_t)DATAGRAMS * ppm / 1000000;
    assert_in_range(count, expected * 9 / 10, expected * 11 / 10);
}

static void test_rates_come_true_and_every_datagram_is_accounted_for(void **state) {
    (void)state;
    struct netif *netif = open_with((struct te_fault){.loss_ppm = TENTH_PPM,
                                                      .duplicate_ppm = TENTH_PPM / 2,
                                                      .corrupt_ppm = TENTH_PPM,
                                                      .reorder_ppm = TENTH_PPM,
                                                      .reorder_ns = 50,
                                                      .seed = 7});
    uint64_t received;
    trace(netif, &received);
    struct te_stats stats = stats_of(netif);
    assert_about(stats.faults_lost, TENTH_PPM);
    assert_about(stats.faults_corrupted, TENTH_PPM * 9 / 10);
    assert_about(stats.faults_duplicated, TENTH_PPM / 2 * 9 / 10);
    assert_about(stats.faults_reordered, TENTH_PPM * 9 / 10);
    assert_int_equal(received, DATAGRAMS - stats.faults_lost + stats.faults_duplicated);
    netif->ops->close(netif);
}

static uint64_t trace_of_seed(uint64_t seed) {
    struct netif *netif = open_with((struct te_fault){HALF_PPM, HALF_PPM, HALF_PPM, HALF_PPM,
                                                      .reorder_ns = 9, .seed = seed});
    uint64_t received;
    uint64_t folded = trace(netif, &received);
    netif->ops->close(netif);
    return folded;
}

static void test_same_seed_does_the_same(void **state) {
    (void)state;
    assert_int_equal(trace_of_seed(1), trace_of_seed(1));
    assert_int_not_equal(trace_of_seed(1), trace_of_seed(2));
}

static void test_corruption_flips_one_bit(void **state) {
    (void)state;
    struct netif *netif = open_with((struct te_fault){.corrupt_ppm = ALWAYS_PPM, .seed = 3});
    struct netif_datagram datagrams[TE_BURST_MAX];
    send_one(netif, 1, netif->local, "abcdefgh");
    assert_int_equal(receive(netif, 0, datagrams), 1);
    int flipped = 0;
    for (int i = 0; i < 8; i++) {
        flipped += __builtin_popcount((unsigned)(datagrams[0].bytes[i] ^ "abcdefgh"[i]));
    }
    assert_int_equal(flipped, 1);
    send_one(netif, 1, netif->local, ""); /* in which there is none */
    assert_int_equal(receive(netif, 0, datagrams), 1);
    assert_int_equal(stats_of(netif).faults_corrupted, 1);
    netif->ops->close(netif);
}

static void test_late_datagram_comes_when_it_is_due(void **state) {
    (void)state;
    struct netif *netif = open_with(
        (struct te_fault){.reorder_ppm = ALWAYS_PPM, .reorder_ns = 100, .seed = 3});
    struct netif_datagram datagrams[TE_BURST_MAX];
    send_one(netif, 1, netif->local, "late");
    assert_int_equal(netif->ops->next_ns(netif), UINT64_MAX);
    assert_int_equal(receive(netif, 1000, datagrams), 0);
    assert_int_equal(netif->ops->next_ns(netif), 1100);
    assert_int_equal(receive(netif, 1099, datagrams), 0);
    assert_int_equal(receive(netif, 1100, datagrams), 1);
    assert_holds(&datagrams[0], "late");
    assert_int_equal(netif->ops->next_ns(netif), UINT64_MAX);
    netif->ops->close(netif);
}

/* With nothing ever due, the store fills; after that datagrams pass instead of growing it. */
static void test_full_store_lets_datagrams_pass(void **state) {
    (void)state;
    struct netif *netif = open_with(
        (struct te_fault){.reorder_ppm = ALWAYS_PPM, .reorder_ns = 1u << 30, .seed = 3});
    uint64_t received;
    trace(netif, &received);
    assert_int_equal(stats_of(netif).faults_reordered, 1024);
    assert_int_equal(received, DATAGRAMS - 1024);
    netif->ops->close(netif);
}

/* Although what comes with it wants its place. */
static void test_late_datagram_is_there_until_the_next_look(void **state) {
    (void)state;
    enum { HELD = 1024, FIRST = 4 };
    struct netif *netif = open_with(
        (struct te_fault){.reorder_ppm = ALWAYS_PPM, .reorder_ns = 100, .seed = 3});
    struct netif_datagram datagrams[TE_BURST_MAX];
    for (int i = 0; i < HELD; i++) {
        send_one(netif, 1, netif->local, i < FIRST ? "first" : "second");
        assert_int_equal(receive(netif, i < FIRST ? 0 : 50, datagrams), 0);
    }
    for (int i = FIRST; i < TE_BURST_MAX; i++) {
        send_one(netif, 1, netif->local, "third");
    }
    assert_int_equal(receive(netif, 100, datagrams), TE_BURST_MAX);
    for (int i = 0; i < TE_BURST_MAX; i++) {
        assert_holds(&datagrams[i], i < FIRST ? "first" : "third");
    }
    netif->ops->close(netif);
}

/* A driver that notes what it is told. */
static struct {
    struct netif netif;
    uint32_t lost, unanswered, closed;
} told;

static void note_lost(struct netif *netif, const struct te_endpoint *remote) {
    (void)netif;
    told.lost += remote->port;
}

static void note_unanswered(struct netif *netif, const struct te_endpoint *remote,
                            uint64_t now_ns) {
    (void)netif;
    told.unanswered += remote->port + (uint32_t)now_ns;
}

static void note_closed(struct netif *netif) {
    (void)netif;
    told.closed++;
}

static uint16_t next_port(const struct netif *netif, const struct te_endpoint *remote) {
    (void)netif;
    return (uint16_t)(remote->port + 1);
}

static bool lose_the_power_to_wake(struct netif *netif) {
    netif->caps = 0;
    return false;
}

static const struct netif_ops noting = {.lost = note_lost, .unanswered = note_unanswered,
                                        .arm = lose_the_power_to_wake, .port_for = next_port,
                                        .close = note_closed};

static void test_what_it_is_told_reaches_the_driver(void **state) {
    (void)state;
    const struct te_endpoint peer = ipv4_endpoint(1, 7000);
    struct netif *netif;
    char why[TE_WHY_BYTES];
    told.netif = (struct netif){.ops = &noting, .caps = NETIF_WAKES};
    assert_int_equal(netif_fault_open(&(struct te_fault){0}, &told.netif, &netif, why), TE_OK);
    netif->ops->lost(netif, &peer);
    assert_int_equal(told.lost, 7000);
    netif->ops->unanswered(netif, &peer, 5);
    assert_int_equal(told.unanswered, 7005);
    assert_int_equal(netif->ops->port_for(netif, &peer), 7001);
    assert_int_equal(netif->caps, NETIF_WAKES);
    assert_false(netif->ops->arm(netif));
    assert_int_equal(netif->caps, 0);
    netif->ops->close(netif);
    assert_int_equal(told.closed, 1);
    const struct te_fault beyond = {.reorder_ppm = ALWAYS_PPM + 1};
    assert_int_equal(netif_fault_open(&beyond, &told.netif, &netif, why), TE_E_INVALID);
    assert_int_equal(told.closed, 2); /* it took it over */
}

static void test_rate_above_one_is_refused(void **state) {
    (void)state;
    struct te_engine_config config = config_for("loopback", ipv4_endpoint(1, 1));
    config.fault.loss_ppm = ALWAYS_PPM + 1;
    struct netif *netif;
    char why[TE_WHY_BYTES] = "";
    assert_int_equal(netif_open(&config, &netif, why), TE_E_INVALID);
    assert_non_null(strstr(why, "parts per million"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates_come_true_and_every_datagram_is_accounted_for),
        cmocka_unit_test(test_same_seed_does_the_same),
        cmocka_unit_test(test_corruption_flips_one_bit),
        cmocka_unit_test(test_late_datagram_comes_when_it_is_due),
        cmocka_unit_test(test_full_store_lets_datagrams_pass),
        cmocka_unit_test(test_late_datagram_is_there_until_the_next_look),
        cmocka_unit_test(test_what_it_is_told_reaches_the_driver),
        cmocka_unit_test(test_rate_above_one_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
