/* The dpdk driver over net_null, which needs no privilege and no hugepages: refusals, and one life
 * for a process. Real devices are in ../../netif/test_dpdk.py. */
#define _GNU_SOURCE
#include "netif_fixture.h"

#include <sched.h>

enum { MESSAGES = 5000 };

static struct te_engine_config dpdk_config(const char *arguments) {
    struct te_endpoint local = ipv4_endpoint(1, 7000);
    local.address[12] = 10;
    struct te_engine_config config = config_for("dpdk", local);
    config.netif = arguments;
    config.prefix_bits = 24;
    return config;
}

static void refuse(struct te_engine_config config, int error, const char *word) {
    struct netif *netif = NULL;
    char why[TE_WHY_BYTES] = "";
    assert_int_equal(netif_open(&config, &netif, why), error);
    if (strstr(why, word) == NULL) {
        fail_msg("%s", why);
    }
}

static void skip_without_dpdk(void) {
    if (strstr(te_drivers(), "dpdk") == NULL) {
        skip();
    }
}

static void test_bad_configurations_are_refused_before_the_eal_starts(void **state) {
    (void)state;
    skip_without_dpdk();
    refuse(dpdk_config("--vdev='net_null0"), TE_E_INVALID, "quote");
    struct te_engine_config config = dpdk_config("--no-huge --vdev=net_null0");
    config.prefix_bits = 33;
    refuse(config, TE_E_INVALID, "0 to 32");
    config = dpdk_config("--no-huge --vdev=net_null0");
    config.gateway[15] = 1; /* ::1 */
    refuse(config, TE_E_INVALID, "gateway");
    config = dpdk_config("--no-huge --vdev=net_null0");
    memset(config.local.address, 0, sizeof config.local.address);
    refuse(config, TE_E_INVALID, "address");
}

/* Everything that needs the EAL is in one test, because the EAL starts once in a process. */
static void test_one_life(void **state) {
    (void)state;
    skip_without_dpdk();
    cpu_set_t before;
    cpu_set_t after;
    sched_getaffinity(0, sizeof before, &before);
    struct te_engine_config config = dpdk_config("--no-huge -m 128 --vdev=net_null0");
    struct netif *netif = open_or_fail(&config);
    sched_getaffinity(0, sizeof after, &after);
    assert_memory_equal(&before, &after, sizeof before);
    assert_true(netif->caps & NETIF_NO_LOOP);
    refuse(config, TE_E_IN_USE, "once");

    assert_int_equal(netif->ops->listen(netif, 7000), TE_OK);
    assert_int_equal(netif->ops->listen(netif, 7001), TE_OK);
    assert_int_equal(netif->ops->listen(netif, 7001), TE_E_IN_USE);
    netif->ops->unlisten(netif, 7001);
    assert_int_equal(netif->ops->listen(netif, 7001), TE_OK);

    /* net_null gives frames of zeros without end, and swallows what it is sent. */
    struct netif_datagram datagrams[TE_BURST_MAX];
    struct te_endpoint remote = netif->local;
    remote.address[15] = 2;
    for (uint64_t i = 0; i < MESSAGES; i++) {
        assert_int_equal(netif->ops->rx_burst(netif, i, datagrams, TE_BURST_MAX), 0);
        assert_int_equal(send_one(netif, 7000, remote, "into the void"), 1);
    }
    assert_true(netif->ops->arm(netif)); /* there is always more of nothing */
    assert_int_equal(netif->ops->rx_burst(netif, MESSAGES, datagrams, 1), 0);
    struct te_stats stats = {0};
    netif->ops->add_stats(netif, &stats);
    assert_true(stats.datagrams_dropped_bad + stats.datagrams_dropped_unknown >= MESSAGES);
    netif->ops->close(netif);
    refuse(config, TE_E_IN_USE, "once");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_configurations_are_refused_before_the_eal_starts),
        cmocka_unit_test(test_one_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
