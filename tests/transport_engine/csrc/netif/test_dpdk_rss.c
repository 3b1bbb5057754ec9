/* Two queues of a port whose driver tells how it spreads what comes in: net_null, which needs no
 * privilege. Each queue calls from ports whose answers come to it. */
#include "netif_fixture.h"

#ifdef TE_HAVE_DPDK
#include <rte_ethdev.h>

#include "ip/rss.h"

enum { PEERS = 100, PORT = 7000, KEY_BYTES = 40, GROUP = RTE_ETH_RETA_GROUP_SIZE };

static struct te_engine_config queue_config(uint32_t queue) {
    struct te_endpoint local = ipv4_endpoint(1, PORT);
    local.address[12] = 10;
    struct te_engine_config config = config_for("dpdk", local);
    config.netif = "--no-huge -m 128 --vdev=net_null0";
    config.prefix_bits = 24;
    config.queues = 2;
    config.queue = queue;
    return config;
}

/* Every other entry for the second queue: the driver itself leaves all to the first. */
static struct rss spread_evenly(uint16_t port_id) {
    struct rte_eth_dev_info info;
    struct rte_eth_rss_reta_entry64 groups[RSS_TABLE_MAX / GROUP];
    struct rss rss = {.table_size = 0};
    struct rte_eth_rss_conf conf = {.rss_key = rss.key, .rss_key_len = KEY_BYTES};
    assert_int_equal(rte_eth_dev_info_get(port_id, &info), 0);
    memset(groups, 0, sizeof groups);
    for (uint16_t i = 0; i < info.reta_size; i++) {
        groups[i / GROUP].mask |= UINT64_C(1) << i % GROUP;
        groups[i / GROUP].reta[i % GROUP] = i % 2;
        rss.table[i] = i % 2;
    }
    assert_int_equal(rte_eth_dev_rss_reta_update(port_id, groups, info.reta_size), 0);
    assert_int_equal(rte_eth_dev_rss_hash_conf_get(port_id, &conf), 0);
    rss.table_size = info.reta_size;
    return rss;
}

static void test_a_queue_calls_from_where_answers_come_to_it(void **state) {
    (void)state;
    struct te_engine_config config = queue_config(0);
    struct netif *first = open_or_fail(&config);
    const struct rss rss = spread_evenly(0);
    config = queue_config(1);
    struct netif *second = open_or_fail(&config);
    uint32_t elsewhere = 0;
    for (int i = 0; i < PEERS; i++) {
        struct te_endpoint remote = first->local;
        remote.address[15] = (uint8_t)(2 + i);
        struct te_endpoint local = second->local;
        local.port = second->ops->port_for(second, &remote);
        assert_in_range(local.port, PORT, PORT + RSS_PORTS - 1);
        assert_int_equal(rss_hash(&rss, &remote, &local) % 2, 1);
        elsewhere += local.port != PORT;
        /* It was opened while all led to it. */
        assert_int_equal(first->ops->port_for(first, &remote), PORT);
    }
    assert_in_range(elsewhere, PEERS / 4, 3 * PEERS / 4);
    second->ops->close(second);
    first->ops->close(first);
}

#else

static void test_a_queue_calls_from_where_answers_come_to_it(void **state) {
    (void)state;
    skip(); /* this build has no DPDK */
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_queue_calls_from_where_answers_come_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
