/* What the udp driver hears of ports at which nobody is, and what that costs other datagrams. */
#include "netif_fixture.h"

#include <poll.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "ip/big_endian.h"
#include "ip/checksum.h"

enum { INIT_LIKE_BYTES = 256, WAIT_MS = 2000 };

static struct netif *netif;
static struct netif *peer;
static struct te_endpoint nobody; /* an address of this host without a socket */
static struct netif_datagram got[TE_BURST_MAX];
static uint8_t bytes[1400];

static struct netif *open_at(struct te_endpoint local) {
    struct te_engine_config config = config_for("udp", local);
    return open_or_fail(&config);
}

static void open_pair(struct te_endpoint at) {
    struct netif *gone = open_at(at);
    netif = open_at(at);
    peer = open_at(at);
    nobody = gone->local;
    gone->ops->close(gone);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
}

static void close_pair(void) {
    netif->ops->close(netif);
    peer->ops->close(peer);
}

static bool is_readable(const struct netif *of, int wait_ms) {
    struct pollfd pollfd = {.fd = of->fd, .events = POLLIN};
    return poll(&pollfd, 1, wait_ms) == 1;
}

static void send_to(struct te_endpoint remote, uint16_t port, uint32_t size_bytes) {
    struct netif_datagram datagram = {.local = netif->local, .remote = remote, .bytes = bytes,
                                      .size_bytes = size_bytes};
    datagram.local.port = port;
    assert_int_equal(netif->ops->tx_burst(netif, 0, &datagram, 1), 1);
}

/* Everything that can be had of `of`, counted by what it is. No more comes back than is kept. */
static void drain(struct netif *of, int *datagrams, int *returned) {
    *datagrams = *returned = 0;
    for (int looks = 0; looks < 100 && is_readable(of, looks == 0 ? WAIT_MS : 0); looks++) {
        int count = of->ops->rx_burst(of, 0, got, TE_BURST_MAX);
        for (int i = 0; i < count; i++) {
            assert_true(!got[i].is_returned || got[i].size_bytes < INIT_LIKE_BYTES);
            *(got[i].is_returned ? returned : datagrams) += 1;
        }
    }
    assert_false(is_readable(of, 0)); /* nor does it wake for what it has said */
}

static void comes_back(struct te_endpoint at) {
    int datagrams;
    int returned;
    open_pair(at);
    send_to(nobody, netif->local.port, INIT_LIKE_BYTES);
    assert_true(is_readable(netif, WAIT_MS));
    assert_int_equal(netif->ops->rx_burst(netif, 0, got, TE_BURST_MAX), 1);
    assert_true(got[0].is_returned);
    assert_memory_equal(&got[0].remote, &nobody, sizeof nobody);
    assert_int_equal(got[0].local.port, netif->local.port);
    assert_int_equal(got[0].size_bytes, INIT_LIKE_BYTES);
    assert_memory_equal(got[0].bytes, bytes, INIT_LIKE_BYTES);
    drain(netif, &datagrams, &returned);
    assert_int_equal(datagrams + returned, 0);
    close_pair();
}

static void what_is_sent_to_nobody_comes_back(void **state) {
    (void)state;
    comes_back(ipv4_endpoint(1, 0));
    comes_back((struct te_endpoint){.address = {[15] = 1}});
}

static void also_at_a_port_that_listens(void **state) {
    (void)state;
    open_pair(ipv4_endpoint(1, 0));
    const uint16_t port = peer->local.port;
    peer->ops->close(peer);
    peer = open_at(ipv4_endpoint(1, 0));
    assert_int_equal(netif->ops->listen(netif, port), TE_OK);
    send_to(nobody, port, 40);
    assert_true(is_readable(netif, WAIT_MS));
    assert_int_equal(netif->ops->rx_burst(netif, 0, got, TE_BURST_MAX), 1);
    assert_true(got[0].is_returned);
    assert_int_equal(got[0].local.port, port);
    assert_int_equal(got[0].size_bytes, 40);
    close_pair();
}

/* The kernel tells who sends next, and who asks next; neither loses anything by it. */
static void others_lose_nothing(void **state) {
    (void)state;
    int datagrams;
    int returned;
    int arrived = 0;
    open_pair(ipv4_endpoint(1, 0));
    for (int round = 0; round < 50; round++) {
        struct netif_datagram burst[TE_BURST_MAX];
        for (int i = 0; i < TE_BURST_MAX; i++) {
            bool is_lost = i % 5 == round % 5;
            burst[i] = (struct netif_datagram){.local = netif->local,
                                               .remote = is_lost ? nobody : peer->local,
                                               .bytes = bytes, .size_bytes = 64};
            arrived -= !is_lost;
        }
        assert_int_equal(netif->ops->tx_burst(netif, 0, burst, TE_BURST_MAX), TE_BURST_MAX);
        assert_int_equal(send_one(peer, peer->local.port, netif->local, "for you"), 1);
        drain(peer, &datagrams, &returned);
        arrived += datagrams;
        drain(netif, &datagrams, &returned);
        assert_int_equal(datagrams, 1);
        assert_true(returned > 0 && returned <= 16);
    }
    assert_int_equal(arrived, 0);
    close_pair();
}

/* More than are kept, more than one look takes, and longer than any that are wanted. */
static void a_flood_is_taken_and_forgotten(void **state) {
    (void)state;
    int datagrams;
    int returned;
    open_pair(ipv4_endpoint(1, 0));
    for (int i = 0; i < 2000; i++) {
        send_to(nobody, netif->local.port, i % 2 == 0 ? 32 : sizeof bytes);
    }
    drain(netif, &datagrams, &returned);
    assert_int_equal(datagrams, 0);
    assert_true(returned > 0);
    send_to(peer->local, netif->local.port, 32);
    drain(peer, &datagrams, &returned);
    assert_int_equal(datagrams, 1);
    close_pair();
}

/* A datagram from `netif` to `peer`, with such a word of why it did not arrive. */
static void send_back(int raw_fd, uint8_t code) {
    enum { IP_AT = 8, UDP_AT = IP_AT + 20, PAYLOAD_AT = UDP_AT + 8, SIZE_BYTES = PAYLOAD_AT + 32 };
    const struct sockaddr_in here = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint8_t icmp[SIZE_BYTES] = {ICMP_DEST_UNREACH, code, [IP_AT] = 0x45, [IP_AT + 8] = 64,
                                IPPROTO_UDP};
    store_be16(icmp + IP_AT + 2, SIZE_BYTES - IP_AT);
    memcpy(icmp + IP_AT + 12, netif->local.address + 12, 4);
    memcpy(icmp + IP_AT + 16, peer->local.address + 12, 4);
    store_be16(icmp + UDP_AT, netif->local.port);
    store_be16(icmp + UDP_AT + 2, peer->local.port);
    store_be16(icmp + UDP_AT + 4, SIZE_BYTES - UDP_AT);
    store_u16(icmp + 2, (uint16_t)~checksum_fold(checksum_add(0, icmp, sizeof icmp)));
    assert_int_equal(sendto(raw_fd, icmp, sizeof icmp, 0, (const struct sockaddr *)&here,
                            sizeof here), sizeof icmp);
}

/* That a host or its network cannot be reached is no word of whether anybody is at a port. */
static void only_the_host_itself_is_believed(void **state) {
    (void)state;
    int datagrams;
    int returned;
    const int raw_fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (raw_fd < 0) {
        skip(); /* only root can say so */
    }
    open_pair(ipv4_endpoint(1, 0));
    for (uint8_t code = ICMP_NET_UNREACH; code <= ICMP_PORT_UNREACH; code++) {
        send_back(raw_fd, code);
        drain(netif, &datagrams, &returned);
        assert_int_equal(returned, code == ICMP_PORT_UNREACH);
    }
    close_pair();
    close(raw_fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_to_nobody_comes_back),
        cmocka_unit_test(also_at_a_port_that_listens),
        cmocka_unit_test(others_lose_nothing),
        cmocka_unit_test(only_the_host_itself_is_believed),
        cmocka_unit_test(a_flood_is_taken_and_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
