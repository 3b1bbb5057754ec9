/* The udp driver on 127.0.0.0/8 and ::1: ports, addresses, sizes, refusals, wake-ups. */
#include "netif_fixture.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { WAIT_MS = 2000 };

static const struct te_endpoint ipv6_loopback = {.address = {[15] = 1}};
static const struct te_endpoint ipv6_any = {.port = 0};

static void wait_readable(const struct netif *netif) {
    struct pollfd pollfd = {.fd = netif->fd, .events = POLLIN};
    assert_int_equal(poll(&pollfd, 1, WAIT_MS), 1);
}

static bool is_readable(const struct netif *netif) {
    struct pollfd pollfd = {.fd = netif->fd, .events = POLLIN};
    return poll(&pollfd, 1, 0) == 1;
}

static void receive_one(struct netif *netif, struct netif_datagram *datagram) {
    wait_readable(netif);
    assert_int_equal(netif->ops->rx_burst(netif, 0, datagram, TE_BURST_MAX), 1);
}

static struct netif *open_at(struct te_endpoint local) {
    struct te_engine_config config = config_for("udp", local);
    return open_or_fail(&config);
}

static struct netif_datagram datagram_of(const struct netif *netif, struct te_endpoint remote,
                                         uint8_t *bytes, uint32_t size_bytes) {
    return (struct netif_datagram){
        .local = netif->local, .remote = remote, .bytes = bytes, .size_bytes = size_bytes};
}

static void test_free_port_is_found_and_reported(void **state) {
    (void)state;
    struct netif *netif = open_at(ipv4_endpoint(1, 0));
    assert_int_not_equal(netif->local.port, 0);
    assert_true(netif->caps & NETIF_WAKES);
    assert_int_equal(netif->mtu_bytes, 1500);
    netif->ops->close(netif);
}

static void test_it_knows_which_endpoints_are_its_own(void **state) {
    (void)state;
    struct netif *netif = open_at(ipv4_endpoint(1, 0));
    struct netif *other = open_at(ipv4_endpoint(1, 0));
    const struct te_endpoint listens = other->local;
    const struct te_endpoint elsewhere = ipv4_endpoint(2, netif->local.port);
    assert_true(netif->ops->is_own(netif, &netif->local));
    assert_false(netif->ops->is_own(netif, &elsewhere));
    assert_false(netif->ops->is_own(netif, &listens)); /* others share the address */
    other->ops->close(other);
    assert_int_equal(netif->ops->listen(netif, listens.port), TE_OK);
    assert_true(netif->ops->is_own(netif, &listens));
    netif->ops->unlisten(netif, listens.port);
    assert_false(netif->ops->is_own(netif, &listens));
    netif->ops->close(netif);
}

static void exchange(struct te_endpoint at) {
    struct netif *a = open_at(at);
    struct netif *b = open_at(at);
    struct netif_datagram datagrams[TE_BURST_MAX];
    assert_int_equal(send_one(a, a->local.port, b->local, "ping"), 1);
    receive_one(b, datagrams);
    assert_holds(&datagrams[0], "ping");
    assert_memory_equal(&datagrams[0].remote, &a->local, sizeof a->local);
    assert_memory_equal(&datagrams[0].local, &b->local, sizeof b->local);
    a->ops->close(a);
    b->ops->close(b);
}

static void test_exchange_over_ipv4(void **state) {
    (void)state;
    exchange(ipv4_endpoint(1, 0));
}

static void test_exchange_over_ipv6(void **state) {
    (void)state;
    exchange(ipv6_loopback);
}

static void test_listener_receives_and_answers_from_its_port(void **state) {
    (void)state;
    struct netif *server = open_at(ipv4_endpoint(1, 0));
    struct netif *client = open_at(ipv4_endpoint(1, 0));
    struct netif *probe = open_at(ipv4_endpoint(1, 0));
    struct te_endpoint service = probe->local;
    probe->ops->close(probe);
    assert_int_equal(server->ops->listen(server, service.port), TE_OK);
    assert_int_equal(server->ops->listen(server, service.port), TE_E_IN_USE);
    assert_int_equal(server->ops->listen(server, server->local.port), TE_OK);

    struct netif_datagram datagrams[TE_BURST_MAX];
    send_one(client, client->local.port, service, "request");
    receive_one(server, datagrams);
    assert_int_equal(datagrams[0].local.port, service.port);
    send_one(server, service.port, client->local, "reply");
    receive_one(client, datagrams);
    assert_holds(&datagrams[0], "reply");
    assert_int_equal(datagrams[0].remote.port, service.port);

    server->ops->unlisten(server, service.port);
    send_one(client, client->local.port, service, "late");
    assert_false(is_readable(server));
    assert_int_equal(server->ops->listen(server, service.port), TE_OK);
    server->ops->close(server);
    client->ops->close(client);
}

/* Replies must leave from the address that was asked, or the client takes them for a stranger's. */
static void wildcard_answers_from(struct te_endpoint any) {
    struct netif *server = open_at(any);
    struct netif *client = open_at(ipv4_endpoint(1, 0));
    struct te_endpoint asked = ipv4_endpoint(7, server->local.port);
    struct netif_datagram datagrams[TE_BURST_MAX];
    send_one(client, client->local.port, asked, "request");
    receive_one(server, datagrams);
    assert_memory_equal(&datagrams[0].local, &asked, sizeof asked);
    struct netif_datagram reply = datagrams[0];
    assert_int_equal(server->ops->tx_burst(server, 0, &reply, 1), 1);
    receive_one(client, datagrams);
    assert_memory_equal(&datagrams[0].remote, &asked, sizeof asked);
    server->ops->close(server);
    client->ops->close(client);
}

static void test_ipv4_wildcard_answers_from_the_asked_address(void **state) {
    (void)state;
    struct te_endpoint any = ipv4_endpoint(0, 0);
    any.address[12] = 0;
    wildcard_answers_from(any);
}

static void test_dual_wildcard_answers_from_the_asked_address(void **state) {
    (void)state;
    wildcard_answers_from(ipv6_any);
}

static void test_ecn_bits_travel(void **state) {
    (void)state;
    struct netif *netif = open_at(ipv4_endpoint(1, 0));
    uint8_t byte = 'x';
    struct netif_datagram sent = datagram_of(netif, netif->local, &byte, 1);
    sent.ecn = 2;
    struct netif_datagram datagrams[TE_BURST_MAX];
    assert_int_equal(netif->ops->tx_burst(netif, 0, &sent, 1), 1);
    receive_one(netif, datagrams);
    assert_int_equal(datagrams[0].ecn, 2);
    netif->ops->close(netif);
}

static void test_full_burst_arrives_in_order(void **state) {
    (void)state;
    struct netif *netif = open_at(ipv4_endpoint(1, 0));
    uint8_t bytes[TE_BURST_MAX];
    struct netif_datagram datagrams[TE_BURST_MAX];
    for (int i = 0; i < TE_BURST_MAX; i++) {
        bytes[i] = (uint8_t)i;
        datagrams[i] = datagram_of(netif, netif->local, &bytes[i], 1);
    }
    assert_int_equal(netif->ops->tx_burst(netif, 0, datagrams, TE_BURST_MAX), TE_BURST_MAX);
    wait_readable(netif);
    int received = netif->ops->rx_burst(netif, 0, datagrams, TE_BURST_MAX);
    assert_int_equal(received, TE_BURST_MAX);
    for (int i = 0; i < TE_BURST_MAX; i++) {
        assert_int_equal(datagrams[i].bytes[0], i);
    }
    netif->ops->close(netif);
}

/* One socket's backlog fills whole bursts; the other's single datagram must still come soon. */
static void test_busy_socket_does_not_starve_another(void **state) {
    (void)state;
    struct netif *server = open_at(ipv4_endpoint(1, 0));
    struct netif *probe = open_at(ipv4_endpoint(1, 0));
    struct te_endpoint service = probe->local;
    probe->ops->close(probe);
    assert_int_equal(server->ops->listen(server, service.port), TE_OK);
    for (int i = 0; i < 4 * TE_BURST_MAX; i++) {
        send_one(server, server->local.port, server->local, "backlog");
    }
    send_one(server, server->local.port, service, "urgent");
    struct netif_datagram datagrams[TE_BURST_MAX];
    bool seen = false;
    for (int burst = 0; burst < 2; burst++) {
        int received = server->ops->rx_burst(server, 0, datagrams, TE_BURST_MAX);
        for (int i = 0; i < received; i++) {
            seen = seen || datagrams[i].local.port == service.port;
        }
    }
    assert_true(seen);
    server->ops->close(server);
}

/* Nobody listens, no route, wrong family, too large: each is a lost datagram and no more. */
static void test_undeliverable_datagrams_are_lost_and_the_next_is_sent(void **state) {
    (void)state;
    struct netif *netif = open_at(ipv4_endpoint(1, 0));
    static uint8_t large[70000];
    struct te_endpoint nobody = ipv4_endpoint(1, 1);
    struct te_endpoint ipv6 = ipv6_loopback;
    ipv6.port = 9;
    struct te_endpoint off_link = ipv4_endpoint(1, 9);
    off_link.address[12] = 198; /* from 127.0.0.1 there is no way out */
    struct netif_datagram datagrams[TE_BURST_MAX] = {
        datagram_of(netif, nobody, large, 1),
        datagram_of(netif, ipv6, large, 1),
        datagram_of(netif, off_link, large, 1),
        datagram_of(netif, netif->local, large, sizeof large),
        datagram_of(netif, netif->local, large, 1),
        datagram_of(netif, netif->local, (uint8_t *)"good", 4),
    };
    datagrams[4].local.port = 2; /* not a port of ours */
    assert_int_equal(netif->ops->tx_burst(netif, 0, datagrams, 6), 6);
    wait_readable(netif);
    assert_int_equal(netif->ops->rx_burst(netif, 0, datagrams, TE_BURST_MAX), 2);
    assert_true(datagrams[0].is_returned);
    assert_holds(&datagrams[1], "good");
    netif->ops->close(netif);
}

static void test_truncated_datagram_is_dropped_and_counted(void **state) {
    (void)state;
    struct netif *netif = open_at(ipv4_endpoint(1, 0));
    static uint8_t large[NETIF_DATAGRAM_BYTES_MAX + 1];
    struct netif_datagram datagrams[TE_BURST_MAX] = {
        datagram_of(netif, netif->local, large, sizeof large),
        datagram_of(netif, netif->local, (uint8_t *)"good", 4),
    };
    assert_int_equal(netif->ops->tx_burst(netif, 0, datagrams, 2), 2);
    receive_one(netif, datagrams);
    assert_holds(&datagrams[0], "good");
    struct te_stats stats = {0};
    netif->ops->add_stats(netif, &stats);
    assert_int_equal(stats.datagrams_dropped_bad, 1);
    netif->ops->close(netif);
}

static void refuse(struct te_engine_config config, int error, const char *word) {
    struct netif *netif = NULL;
    char why[TE_WHY_BYTES] = "";
    assert_int_equal(netif_open(&config, &netif, why), error);
    assert_non_null(strstr(why, word));
}

static struct netif *open_queue(struct te_endpoint local, uint32_t queue) {
    struct te_engine_config config = config_for("udp", local);
    config.queue = queue;
    config.queues = 2;
    return open_or_fail(&config);
}

/* Two queues have one port; the kernel gives each datagram to the one at which it is at home. */
static void test_queues_of_one_port_get_what_is_theirs(void **state) {
    (void)state;
    struct netif *queues[2];
    queues[0] = open_queue(ipv4_endpoint(1, 0), 0);
    queues[1] = open_queue(queues[0]->local, 1);
    struct netif *client = open_at(ipv4_endpoint(1, 0));
    uint8_t bytes[16] = {0};
    for (int i = 0; i < 32; i++) {
        bytes[NETIF_HOME_OFFSET] = (uint8_t)((i % 2) << NETIF_HOME_SHIFT | (i & 15));
        struct netif_datagram sent = datagram_of(client, queues[0]->local, bytes, sizeof bytes);
        assert_int_equal(client->ops->tx_burst(client, 0, &sent, 1), 1);
        struct netif_datagram datagrams[TE_BURST_MAX];
        receive_one(queues[i % 2], datagrams);
        assert_memory_equal(datagrams[0].bytes, bytes, sizeof bytes);
        assert_false(is_readable(queues[1 - i % 2]));
    }
    /* One at home nowhere, and one too short to say, come somewhere all the same. */
    bytes[NETIF_HOME_OFFSET] = 9 << NETIF_HOME_SHIFT;
    struct netif_datagram odd[2] = {datagram_of(client, queues[0]->local, bytes, sizeof bytes),
                                    datagram_of(client, queues[0]->local, bytes, 3)};
    assert_int_equal(client->ops->tx_burst(client, 0, odd, 2), 2);
    struct netif_datagram datagrams[TE_BURST_MAX];
    int received = 0;
    for (int i = 0; i < 2; i++) {
        received += queues[i]->ops->rx_burst(queues[i], 0, datagrams, TE_BURST_MAX);
    }
    assert_int_equal(received, 2);
    for (int i = 0; i < 2; i++) {
        queues[i]->ops->close(queues[i]);
    }
    client->ops->close(client);
}

/* What one queue holds another may have, too; no stranger may, with queues or without. */
static void test_a_port_is_shared_within_and_with_nobody_else(void **state) {
    (void)state;
    struct netif *queues[2];
    queues[0] = open_queue(ipv4_endpoint(1, 0), 0);
    queues[1] = open_queue(queues[0]->local, 1);
    struct netif *holder = open_at(ipv4_endpoint(1, 0));
    uint16_t taken = holder->local.port;
    assert_int_equal(queues[0]->ops->listen(queues[0], taken), TE_E_IN_USE);
    assert_int_equal(queues[1]->ops->listen(queues[1], taken), TE_E_IN_USE);
    holder->ops->close(holder);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(queues[1]->ops->listen(queues[1], taken), TE_OK);
        assert_int_equal(queues[0]->ops->listen(queues[0], taken), TE_OK);
        struct te_endpoint there = queues[0]->local;
        refuse(config_for("udp", there), TE_E_IN_USE, "choose another port");
        there.port = taken;
        refuse(config_for("udp", there), TE_E_IN_USE, "choose another port");
        queues[1]->ops->unlisten(queues[1], taken);
        refuse(config_for("udp", there), TE_E_IN_USE, "choose another port");
        queues[0]->ops->unlisten(queues[0], taken);
    }
    struct te_endpoint there = queues[0]->local;
    there.port = taken;
    struct netif *stranger = open_at(there);
    stranger->ops->close(stranger);
    for (int i = 0; i < 2; i++) {
        queues[i]->ops->close(queues[i]);
    }
}

/* What does not fit into a burst waits for the next one in this host, and not on the path. */
static void test_what_a_burst_leaves_waits_on(void **state) {
    (void)state;
    enum { PAUSE_MS = 3 };
    struct te_engine_config config = config_for("udp", ipv4_endpoint(1, 0));
    struct netif *netif = open_or_fail(&config);
    uint8_t bytes[10] = {0};
    const struct netif_datagram sent = {.local = netif->local, .remote = netif->local,
                                        .bytes = bytes, .size_bytes = sizeof bytes};
    const struct netif_datagram both[2] = {sent, sent}; /* as one message of the kernel's */
    struct netif_datagram datagram;
    assert_int_equal(netif->ops->tx_burst(netif, 0, both, 2), 2);
    assert_int_equal(netif->ops->rx_burst(netif, 0, &datagram, 1), 1);
    assert_true(netif->ops->arm(netif)); /* the other one is read, and left */
    poll(NULL, 0, PAUSE_MS);
    assert_int_equal(netif->ops->rx_burst(netif, 0, &datagram, 1), 1);
    assert_true(datagram.waited_ns >= (PAUSE_MS - 1) * UINT64_C(1000000));
    netif->ops->close(netif);
}

static void test_idle_netif_may_sleep_and_has_no_timer(void **state) {
    (void)state;
    struct netif *netif = open_at(ipv4_endpoint(1, 0));
    assert_false(netif->ops->arm(netif));
    assert_int_equal(netif->ops->next_ns(netif), UINT64_MAX);
    assert_int_equal(netif->ops->rx_burst(netif, 0, (struct netif_datagram[TE_BURST_MAX]){0}, 32),
                     0);
    netif->ops->close(netif);
}

static void test_refusals_say_what_to_do(void **state) {
    (void)state;
    struct netif *holder = open_at(ipv4_endpoint(1, 0));
    refuse(config_for("udp", holder->local), TE_E_IN_USE, "choose another port");
    assert_int_equal(holder->ops->listen(holder, holder->local.port), TE_OK);
    holder->ops->close(holder);

    struct te_endpoint foreign = ipv4_endpoint(1, 0);
    foreign.address[12] = 198;
    refuse(config_for("udp", foreign), TE_E_INVALID, "ip addr");

    struct te_engine_config config = config_for("udp", ipv4_endpoint(1, 0));
    config.mtu_bytes = 100;
    refuse(config, TE_E_INVALID, "576");

    config = config_for("udp", ipv4_endpoint(1, 0));
    config.netif = "no-sense";
    refuse(config, TE_E_INVALID, "no-segments");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_free_port_is_found_and_reported),
        cmocka_unit_test(test_exchange_over_ipv4),
        cmocka_unit_test(test_exchange_over_ipv6),
        cmocka_unit_test(test_listener_receives_and_answers_from_its_port),
        cmocka_unit_test(test_ipv4_wildcard_answers_from_the_asked_address),
        cmocka_unit_test(test_dual_wildcard_answers_from_the_asked_address),
        cmocka_unit_test(test_ecn_bits_travel),
        cmocka_unit_test(test_full_burst_arrives_in_order),
        cmocka_unit_test(test_busy_socket_does_not_starve_another),
        cmocka_unit_test(test_undeliverable_datagrams_are_lost_and_the_next_is_sent),
        cmocka_unit_test(test_truncated_datagram_is_dropped_and_counted),
        cmocka_unit_test(test_queues_of_one_port_get_what_is_theirs),
        cmocka_unit_test(test_a_port_is_shared_within_and_with_nobody_else),
        cmocka_unit_test(test_it_knows_which_endpoints_are_its_own),
        cmocka_unit_test(test_what_a_burst_leaves_waits_on),
        cmocka_unit_test(test_idle_netif_may_sleep_and_has_no_timer),
        cmocka_unit_test(test_refusals_say_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
