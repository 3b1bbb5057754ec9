/* Runs of datagrams that the udp driver has the kernel cut and gather: what arrives is what was
 * sent, one by one, however few messages it took, and also where the kernel will not cut. */
#define _GNU_SOURCE /* SO_NO_CHECK */
#include "netif_fixture.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netif/sockaddr.h"
#include "netif/udp_send.h"

enum { WAIT_MS = 2000, SIZE_MAX_BYTES = 65000 };

static uint8_t content[TE_BURST_MAX][NETIF_DATAGRAM_BYTES_MAX];

static struct netif *open_here(void) {
    struct te_engine_config config = config_for("udp", ipv4_endpoint(1, 0));
    return open_or_fail(&config);
}

static struct te_stats stats_of(const struct netif *netif) {
    struct te_stats stats = {0};
    netif->ops->add_stats(netif, &stats);
    return stats;
}

/* Datagram `i` of `size_bytes`, full of a byte of its own. */
static struct netif_datagram numbered(const struct netif *from, const struct netif *to, int i,
                                      uint32_t size_bytes) {
    memset(content[i], i + 1, size_bytes);
    return (struct netif_datagram){.local = from->local, .remote = to->local,
                                   .bytes = content[i], .size_bytes = size_bytes};
}

static int wait_and_receive(struct netif *netif, struct netif_datagram *datagrams, int count) {
    struct pollfd pollfd = {.fd = netif->fd, .events = POLLIN};
    if (!netif->ops->arm(netif)) {
        assert_int_equal(poll(&pollfd, 1, WAIT_MS), 1);
    }
    return netif->ops->rx_burst(netif, 0, datagrams, count);
}

/* Takes `sent` datagrams, at most `burst` at a time, and compares each. */
static void expect(struct netif *netif, const struct netif_datagram *sent, int count, int burst) {
    struct netif_datagram datagrams[TE_BURST_MAX];
    for (int seen = 0; seen < count;) {
        int received = wait_and_receive(netif, datagrams, burst);
        assert_in_range(received, 1, burst);
        for (int i = 0; i < received; i++, seen++) {
            assert_int_equal(datagrams[i].size_bytes, sent[seen].size_bytes);
            assert_memory_equal(datagrams[i].bytes, sent[seen].bytes, sent[seen].size_bytes);
            assert_memory_equal(&datagrams[i].remote, &sent[seen].local,
                                sizeof sent[seen].local);
            assert_memory_equal(&datagrams[i].local, &sent[seen].remote,
                                sizeof sent[seen].remote);
            assert_int_equal(datagrams[i].ecn, sent[seen].ecn);
        }
    }
    assert_false(netif->ops->arm(netif));
    assert_int_equal(netif->ops->rx_burst(netif, 0, datagrams, TE_BURST_MAX), 0);
}

static void test_a_run_takes_one_call_each_way(void **state) {
    (void)state;
    struct netif *from = open_here();
    struct netif *to = open_here();
    struct netif_datagram sent[TE_BURST_MAX];
    for (int i = 0; i < TE_BURST_MAX; i++) {
        sent[i] = numbered(from, to, i, i == TE_BURST_MAX - 1 ? 700 : 1400);
    }
    assert_int_equal(from->ops->tx_burst(from, 0, sent, TE_BURST_MAX), TE_BURST_MAX);
    assert_int_equal(stats_of(from).netif_send_calls, 1);
    expect(to, sent, TE_BURST_MAX, TE_BURST_MAX);
    assert_int_equal(stats_of(to).netif_receive_calls, 2); /* the last found nothing */
    from->ops->close(from);
    to->ops->close(to);
}

/* What does not fit into a burst waits, and the netif must not be left to sleep on it. */
static void test_a_long_run_is_handed_on_in_short_bursts(void **state) {
    (void)state;
    struct netif *from = open_here();
    struct netif *to = open_here();
    struct netif_datagram sent[TE_BURST_MAX];
    for (int i = 0; i < TE_BURST_MAX; i++) {
        sent[i] = numbered(from, to, i, 100);
    }
    assert_int_equal(from->ops->tx_burst(from, 0, sent, TE_BURST_MAX), TE_BURST_MAX);
    struct netif_datagram first[5];
    assert_int_equal(wait_and_receive(to, first, 5), 5);
    assert_true(to->ops->arm(to));
    expect(to, sent + 5, TE_BURST_MAX - 5, 5);
    from->ops->close(from);
    to->ops->close(to);
}

/* Sizes, peers and marks that change in the middle end a run, and none of them is mixed up. */
static void test_each_datagram_keeps_what_is_its_own(void **state) {
    (void)state;
    struct netif *from = open_here();
    struct netif *to = open_here();
    struct netif *other = open_here();
    const uint32_t sizes[TE_BURST_MAX] = {9, 9, 9, 8, 8, 9, 0, 0, 1, 1, 9216, 9216, 9216, 9216,
                                          9216, 9216, 9216, 9216, 1, 1472, 1472, 1472, 1472};
    struct netif_datagram sent[TE_BURST_MAX];
    struct netif_datagram to_it[TE_BURST_MAX], to_other[TE_BURST_MAX];
    int count = 0, other_count = 0;
    for (int i = 0; i < TE_BURST_MAX; i++) {
        bool is_other = i == 4 || i == 21 || i == 30;
        sent[i] = numbered(from, is_other ? other : to, i, sizes[i]);
        sent[i].ecn = i == 20 ? 1 : i == 11 || i == 12 ? 2 : 0;
        *(is_other ? &to_other[other_count++] : &to_it[count++]) = sent[i];
    }
    assert_int_equal(from->ops->tx_burst(from, 0, sent, TE_BURST_MAX), TE_BURST_MAX);
    assert_true(stats_of(from).netif_send_calls == 1); /* they are messages of one call */
    expect(to, to_it, count, TE_BURST_MAX);
    expect(other, to_other, other_count, TE_BURST_MAX);
    from->ops->close(from);
    to->ops->close(to);
    other->ops->close(other);
}

/* Flows of a netif at all of a host's addresses go out from that which their peer knows. */
static void test_what_leaves_from_two_addresses_is_no_run(void **state) {
    (void)state;
    struct te_endpoint any = ipv4_endpoint(0, 0);
    any.address[12] = 0;
    struct te_engine_config config = config_for("udp", any);
    struct netif *from = open_or_fail(&config);
    struct netif *to = open_here();
    struct netif_datagram sent[TE_BURST_MAX];
    for (int i = 0; i < TE_BURST_MAX; i++) {
        sent[i] = numbered(from, to, i, 100);
        sent[i].local = ipv4_endpoint(i < 5 || i % 8 == 0 ? 1 : 2, from->local.port);
    }
    assert_int_equal(from->ops->tx_burst(from, 0, sent, TE_BURST_MAX), TE_BURST_MAX);
    expect(to, sent, TE_BURST_MAX, TE_BURST_MAX);
    from->ops->close(from);
    to->ops->close(to);
}

/* A peer may cut as it likes: into more than a burst holds, and into what is too large for us. */
static void test_any_cut_of_a_peer_is_read_rightly(void **state) {
    (void)state;
    static uint8_t bytes[SIZE_MAX_BYTES];
    struct netif *to = open_here();
    struct sockaddr_storage name;
    socklen_t name_bytes = sockaddr_write(&to->local, AF_INET, &name);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, name_bytes), 0);
    for (int i = 0; i < SIZE_MAX_BYTES; i++) {
        bytes[i] = (uint8_t)i;
    }
    int segment = 1;
    assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
    assert_int_equal(send(fd, bytes, 64, 0), 64);
    struct netif_datagram datagrams[TE_BURST_MAX];
    for (int i = 0; i < 64; i++) {
        if (i % TE_BURST_MAX == 0) {
            assert_int_equal(wait_and_receive(to, datagrams, TE_BURST_MAX), TE_BURST_MAX);
        }
        assert_int_equal(datagrams[i % TE_BURST_MAX].size_bytes, 1);
        assert_int_equal(datagrams[i % TE_BURST_MAX].bytes[0], i);
    }
    segment = NETIF_DATAGRAM_BYTES_MAX + 1;
    assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
    assert_int_equal(send(fd, bytes, 3 * (size_t)segment, 0), 3 * segment);
    segment = 0;
    assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
    assert_int_equal(send(fd, "good", 4, 0), 4);
    assert_int_equal(wait_and_receive(to, datagrams, TE_BURST_MAX), 1);
    assert_holds(&datagrams[0], "good");
    assert_int_equal(stats_of(to).datagrams_dropped_bad, 3);
    to->ops->close(to);
    close(fd);
}

/* A socket whose messages the kernel will not cut (it refuses those without checksums). */
static int open_uncuttable(struct netif *from) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    int yes = 1;
    struct sockaddr_storage name;
    struct te_endpoint local = from->local;
    local.port = 0;
    socklen_t name_bytes = sockaddr_write(&local, AF_INET, &name);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &yes, sizeof yes), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, name_bytes), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &name_bytes), 0);
    sockaddr_read(&name, &from->local);
    return fd;
}

static void test_where_the_kernel_will_not_cut_they_go_one_by_one(void **state) {
    (void)state;
    struct netif *to = open_here();
    struct netif from = {.local = ipv4_endpoint(1, 0)};
    int fd = open_uncuttable(&from);
    static struct udp_outbox outbox;
    udp_outbox_init(&outbox, AF_INET, false);
    udp_outbox_probe(&outbox, fd);
    assert_true(outbox.has_segments);
    struct netif_datagram sent[TE_BURST_MAX];
    for (int i = 0; i < TE_BURST_MAX; i++) {
        sent[i] = numbered(&from, to, i, i < 8 ? 50 : 60);
    }
    assert_int_equal(udp_outbox_send(&outbox, fd, sent, TE_BURST_MAX), TE_BURST_MAX);
    expect(to, sent, TE_BURST_MAX, TE_BURST_MAX);
    uint64_t calls = outbox.calls;
    assert_int_equal(udp_outbox_send(&outbox, fd, sent, TE_BURST_MAX), TE_BURST_MAX);
    assert_int_equal(outbox.calls, calls + 1); /* it remembers, and is not refused again */
    expect(to, sent, TE_BURST_MAX, TE_BURST_MAX);

    int checked = 0;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &checked, sizeof checked), 0);
    for (int i = 0; i < UDP_REST_MIN; i++) {
        assert_int_equal(udp_outbox_send(&outbox, fd, sent, 2), 2);
        expect(to, sent, 2, TE_BURST_MAX);
    }
    assert_int_equal(outbox.datagrams[0], 2); /* and it is tried again */
    to->ops->close(to);
    close(fd);
}

/* A path on which something was lost gets single datagrams, and longer so each time. */
static void test_a_path_that_loses_is_asked_for_less(void **state) {
    (void)state;
    static struct udp_paths paths;
    const struct te_endpoint peer = ipv4_endpoint(1, 7000);
    const struct te_endpoint other = ipv4_endpoint(2, 7000);
    for (int rest = UDP_REST_MIN; rest < 8 * UDP_REST_MIN; rest *= 2) {
        assert_true(udp_path_may_carry(udp_paths_find(&paths, &peer)));
        udp_path_failed(udp_paths_find(&paths, &peer));
        for (int i = 0; i < rest; i++) {
            assert_false(udp_path_may_carry(udp_paths_find(&paths, &peer)));
            udp_path_failed(udp_paths_find(&paths, &peer)); /* what was under way counts once */
            assert_true(udp_path_may_carry(udp_paths_find(&paths, &other)));
        }
    }
    for (int i = 0; i < 20 * UDP_TRUST_RUNS; i++) {
        assert_true(udp_path_may_carry(udp_paths_find(&paths, &peer)));
    }
    assert_int_equal(udp_paths_find(&paths, &peer)->next_rest, UDP_REST_MIN); /* forgiven */
    for (int i = 0; i < 40; i++) {
        struct udp_path *path = udp_paths_find(&paths, &peer);
        path->rest = 0;
        assert_true(udp_path_may_carry(path));
        udp_path_failed(path);
    }
    assert_int_equal(udp_paths_find(&paths, &peer)->rest, UDP_REST_MAX);
}

/* The same address at another port, and the same port elsewhere. */
static void test_who_takes_the_place_of_another_begins_anew(void **state) {
    (void)state;
    static struct udp_paths paths;
    const struct te_endpoint peer = ipv4_endpoint(1, 7000);
    struct udp_path *place = udp_paths_find(&paths, &peer);
    int met = 0;
    for (uint32_t i = 1; i <= UINT16_MAX; i++) {
        struct te_endpoint other = peer;
        if (i % 2 == 0) {
            memcpy(other.address + 13, &i, 2);
        } else {
            other.port = (uint16_t)(peer.port + i);
        }
        udp_paths_find(&paths, &peer)->rest = 1;
        if (udp_paths_find(&paths, &other) == place) {
            assert_int_equal(place->rest, 0);
            met |= 1 << i % 2;
        }
    }
    assert_int_equal(met, 3);
}

static void test_the_driver_can_be_told_to_send_one_by_one(void **state) {
    (void)state;
    struct te_engine_config config = config_for("udp", ipv4_endpoint(1, 0));
    config.netif = "no-segments";
    struct netif *from = open_or_fail(&config);
    struct netif *to = open_here();
    const struct netif_datagram sent[2] = {numbered(from, to, 0, 50), numbered(from, to, 1, 50)};
    struct netif_datagram datagrams[TE_BURST_MAX];
    assert_int_equal(from->ops->tx_burst(from, 0, sent, 2), 2);
    assert_int_equal(wait_and_receive(to, datagrams, 1), 1);
    assert_false(to->ops->arm(to)); /* what came with it would wait */
    expect(to, sent + 1, 1, 1);
    from->ops->close(from);
    to->ops->close(to);
}

static void test_the_driver_is_told_of_losses(void **state) {
    (void)state;
    struct netif *from = open_here();
    struct netif *to = open_here();
    const struct netif_datagram sent[2] = {numbered(from, to, 0, 50), numbered(from, to, 1, 50)};
    struct netif_datagram datagrams[TE_BURST_MAX];
    for (int lost = 0; lost < 2; lost++) {
        uint64_t calls = stats_of(to).netif_receive_calls;
        assert_int_equal(from->ops->tx_burst(from, 0, sent, 2), 2);
        for (int seen = 0; seen < 2; seen++) { /* as one message they come in one call */
            assert_int_equal(wait_and_receive(to, datagrams, 1), 1);
        }
        assert_int_equal(stats_of(to).netif_receive_calls - calls, 1 + lost);
        from->ops->lost(from, &to->local);
    }
    from->ops->close(from);
    to->ops->close(to);
}

static void test_a_kernel_that_cannot_cut_is_not_asked_to(void **state) {
    (void)state;
    struct netif *to = open_here();
    struct netif from = {.local = ipv4_endpoint(1, 0)};
    int fd = open_uncuttable(&from);
    static struct udp_outbox outbox;
    udp_outbox_init(&outbox, AF_INET, false);
    udp_outbox_probe(&outbox, -1);
    struct netif_datagram sent[TE_BURST_MAX];
    for (int i = 0; i < TE_BURST_MAX; i++) {
        sent[i] = numbered(&from, to, i, 50);
    }
    assert_int_equal(udp_outbox_send(&outbox, fd, sent, TE_BURST_MAX), TE_BURST_MAX);
    assert_int_equal(outbox.calls, 1);
    expect(to, sent, TE_BURST_MAX, TE_BURST_MAX);
    to->ops->close(to);
    close(fd);
}

/* In the middle of a burst: a run that no route takes is lost, and what follows is sent. */
static void test_a_run_that_cannot_be_delivered_is_lost_alone(void **state) {
    (void)state;
    struct netif *from = open_here();
    struct netif *to = open_here();
    struct netif_datagram sent[12];
    for (int i = 0; i < 12; i++) {
        sent[i] = numbered(from, to, i, 40);
    }
    for (int i = 4; i < 8; i++) {
        sent[i].remote.address[12] = 198; /* from 127.0.0.1 there is no way out */
    }
    assert_int_equal(from->ops->tx_burst(from, 0, sent, 12), 12);
    memmove(&sent[4], &sent[8], 4 * sizeof sent[0]);
    expect(to, sent, 8, TE_BURST_MAX);
    from->ops->close(from);
    to->ops->close(to);
}

static uint32_t burst_bytes_of(struct te_endpoint local, const char *arguments) {
    struct te_engine_config config = config_for("udp", local);
    struct netif *faulty;
    char why[TE_WHY_BYTES];
    config.netif = arguments;
    struct netif *netif = open_or_fail(&config);
    uint32_t burst_bytes = netif->burst_bytes;
    assert_int_equal(netif_fault_open(&config.fault, netif, &faulty, why), TE_OK);
    assert_int_equal(faulty->burst_bytes, burst_bytes);
    faulty->ops->close(faulty);
    return burst_bytes;
}

/* Elsewhere they would be a queue of their own. */
static void test_long_bursts_are_for_loopback(void **state) {
    (void)state;
    struct te_endpoint any = {{0}, 0, 0};
    struct te_endpoint loopback = {{[15] = 1}, 0, 0};
    assert_int_equal(burst_bytes_of(ipv4_endpoint(1, 0), NULL), UDP_SEGMENTED_BYTES_MAX);
    assert_int_equal(burst_bytes_of(ipv4_endpoint(9, 0), NULL), UDP_SEGMENTED_BYTES_MAX);
    assert_int_equal(burst_bytes_of(loopback, NULL), UDP_SEGMENTED_BYTES_MAX);
    assert_int_equal(burst_bytes_of(ipv4_endpoint(1, 0), "no-segments"), 0);
    assert_int_equal(burst_bytes_of(any, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_run_takes_one_call_each_way),
        cmocka_unit_test(test_a_long_run_is_handed_on_in_short_bursts),
        cmocka_unit_test(test_each_datagram_keeps_what_is_its_own),
        cmocka_unit_test(test_what_leaves_from_two_addresses_is_no_run),
        cmocka_unit_test(test_any_cut_of_a_peer_is_read_rightly),
        cmocka_unit_test(test_where_the_kernel_will_not_cut_they_go_one_by_one),
        cmocka_unit_test(test_a_path_that_loses_is_asked_for_less),
        cmocka_unit_test(test_who_takes_the_place_of_another_begins_anew),
        cmocka_unit_test(test_the_driver_can_be_told_to_send_one_by_one),
        cmocka_unit_test(test_the_driver_is_told_of_losses),
        cmocka_unit_test(test_a_kernel_that_cannot_cut_is_not_asked_to),
        cmocka_unit_test(test_a_run_that_cannot_be_delivered_is_lost_alone),
        cmocka_unit_test(test_long_bursts_are_for_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
