/* The netif in memory: endpoints swap, a full queue refuses, closed ends lose, sleepers wake. */
#include "netif_fixture.h"

#include <poll.h>

enum { QUEUE_DATAGRAMS = 256 };

struct ends {
    struct netif *pair[2];
};

static int setup(void **state) {
    static struct ends ends;
    struct te_engine_config a = config_for("loopback", ipv4_endpoint(1, 1000));
    struct te_engine_config b = config_for("loopback", ipv4_endpoint(2, 2000));
    char why[TE_WHY_BYTES];
    assert_int_equal(netif_loopback_pair(&a, &b, ends.pair, why), TE_OK);
    *state = &ends;
    return 0;
}

static int teardown(void **state) {
    struct ends *ends = *state;
    for (int i = 0; i < 2; i++) {
        if (ends->pair[i] != NULL) {
            ends->pair[i]->ops->close(ends->pair[i]);
        }
    }
    return 0;
}

static int receive(struct netif *netif, struct netif_datagram *datagrams) {
    return netif->ops->rx_burst(netif, 0, datagrams, TE_BURST_MAX);
}

static void test_single_comes_back_to_itself(void **state) {
    (void)state;
    struct te_engine_config config = config_for("loopback", ipv4_endpoint(1, 0));
    struct netif *netif = open_or_fail(&config);
    struct netif_datagram datagrams[TE_BURST_MAX];
    assert_int_equal(netif->local.port, TE_PORT_DEFAULT);
    assert_int_equal(send_one(netif, 77, ipv4_endpoint(1, 88), "hello"), 1);
    assert_int_equal(receive(netif, datagrams), 1);
    assert_holds(&datagrams[0], "hello");
    assert_int_equal(datagrams[0].local.port, 88);
    assert_int_equal(datagrams[0].remote.port, 77);
    assert_int_equal(receive(netif, datagrams), 0);
    netif->ops->close(netif);
}

static void test_pair_joins_back_to_back(void **state) {
    struct ends *ends = *state;
    struct netif_datagram datagrams[TE_BURST_MAX];
    assert_int_equal(send_one(ends->pair[0], 1000, ends->pair[1]->local, "over"), 1);
    assert_int_equal(receive(ends->pair[0], datagrams), 0);
    assert_int_equal(receive(ends->pair[1], datagrams), 1);
    assert_memory_equal(&datagrams[0].remote, &ends->pair[0]->local, sizeof datagrams[0].remote);
}

static void test_full_queue_refuses_until_the_receiver_is_done_looking(void **state) {
    struct ends *ends = *state;
    struct netif_datagram datagrams[TE_BURST_MAX];
    for (int i = 0; i < QUEUE_DATAGRAMS; i++) {
        assert_int_equal(send_one(ends->pair[0], 1000, ends->pair[1]->local, "fill"), 1);
    }
    assert_int_equal(send_one(ends->pair[0], 1000, ends->pair[1]->local, "over"), 0);
    assert_int_equal(receive(ends->pair[1], datagrams), TE_BURST_MAX);
    assert_int_equal(send_one(ends->pair[0], 1000, ends->pair[1]->local, "over"), 0);
    assert_holds(&datagrams[0], "fill");
    assert_int_equal(receive(ends->pair[1], datagrams), TE_BURST_MAX);
    assert_int_equal(send_one(ends->pair[0], 1000, ends->pair[1]->local, "over"), 1);
}

static void test_closed_peer_loses_datagrams(void **state) {
    struct ends *ends = *state;
    ends->pair[1]->ops->close(ends->pair[1]);
    ends->pair[1] = NULL;
    for (int i = 0; i < 2 * QUEUE_DATAGRAMS; i++) {
        assert_int_equal(send_one(ends->pair[0], 1000, ipv4_endpoint(2, 2000), "void"), 1);
    }
}

static void test_armed_sleeper_is_woken_once(void **state) {
    struct ends *ends = *state;
    struct netif_datagram datagrams[TE_BURST_MAX];
    struct pollfd pollfd = {.fd = ends->pair[1]->fd, .events = POLLIN};
    assert_false(ends->pair[1]->ops->arm(ends->pair[1]));
    assert_int_equal(poll(&pollfd, 1, 0), 0);
    send_one(ends->pair[0], 1000, ends->pair[1]->local, "wake");
    assert_int_equal(poll(&pollfd, 1, 0), 1);
    assert_true(ends->pair[1]->ops->arm(ends->pair[1]));
    assert_int_equal(receive(ends->pair[1], datagrams), 1);
    assert_false(ends->pair[1]->ops->arm(ends->pair[1]));
    assert_int_equal(poll(&pollfd, 1, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_comes_back_to_itself),
        cmocka_unit_test_setup_teardown(test_pair_joins_back_to_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_queue_refuses_until_the_receiver_is_done_looking,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_peer_loses_datagrams, setup, teardown),
        cmocka_unit_test_setup_teardown(test_armed_sleeper_is_woken_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
