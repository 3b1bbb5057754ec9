/* Whoever polls a queue is known to DPDK, for as long as the thread lives: over net_null, which
 * needs no privilege. */
#include "netif_fixture.h"

#ifdef TE_HAVE_DPDK
#include <pthread.h>

#include <rte_lcore.h>

enum { THREADS = RTE_MAX_LCORE + 2 }; /* one after the other: more than DPDK has places for */

static void *poll_once(void *argument) {
    struct netif *netif = argument;
    struct netif_datagram datagrams[TE_BURST_MAX];
    netif->ops->rx_burst(netif, 0, datagrams, TE_BURST_MAX);
    return (void *)(uintptr_t)rte_lcore_id();
}

static void test_a_thread_that_polls_has_a_place_until_it_ends(void **state) {
    (void)state;
    struct te_endpoint local = ipv4_endpoint(1, 7000);
    local.address[12] = 10;
    struct te_engine_config config = config_for("dpdk", local);
    config.netif = "--no-huge -m 128 --vdev=net_null0";
    config.prefix_bits = 24;
    struct netif *netif = open_or_fail(&config);
    const unsigned own = (unsigned)(uintptr_t)poll_once(netif);
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        void *place = NULL;
        assert_int_equal(pthread_create(&thread, NULL, poll_once, netif), 0);
        assert_int_equal(pthread_join(thread, &place), 0);
        assert_int_not_equal((uintptr_t)place, LCORE_ID_ANY);
        assert_int_not_equal((uintptr_t)place, own);
    }
    netif->ops->close(netif);
}

#else

static void test_a_thread_that_polls_has_a_place_until_it_ends(void **state) {
    (void)state;
    skip(); /* this build has no DPDK */
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thread_that_polls_has_a_place_until_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
