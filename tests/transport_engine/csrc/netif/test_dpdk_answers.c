/* What a queue tells the others of: neighbours' answers and announcements, and nothing else. Over
 * net_null, which needs no privilege. */
#include "netif_fixture.h"

#ifdef TE_HAVE_DPDK
#include <sys/types.h>

#include <rte_mbuf.h>

#include "ip/arp.h"
#include "ip/icmp.h"
#include "ip/ip_header.h"
#include "ip/ipv6.h"
#include "ip/ndp.h"
#include "netif/dpdk_answers.h"

enum { NUMBER = 7, MBUFS = 255 };

static const uint8_t everybody[MAC_BYTES] = {255, 255, 255, 255, 255, 255};
static const uint8_t peer_mac[MAC_BYTES] = {2, 0, 0, 0, 0, 2};
static const uint8_t peer[16] = {[10] = 255, 255, 10, 0, 0, 2};
static const uint8_t other[16] = {[10] = 255, 255, 10, 0, 0, 3};

static struct rte_mempool *pool;
static struct dpdk_answers answers;

static struct rte_mbuf *arp_frame(uint16_t operation, const uint8_t *target) {
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
    struct arp arp = {.operation = operation};
    assert_non_null(mbuf);
    memcpy(arp.sender_mac, peer_mac, sizeof arp.sender_mac);
    memcpy(arp.sender, peer, sizeof arp.sender);
    memcpy(arp.target, target, sizeof arp.target);
    uint8_t *bytes = (uint8_t *)rte_pktmbuf_append(mbuf, ETHERNET_HEADER_BYTES + ARP_BYTES);
    ethernet_write(bytes, everybody, peer_mac, ETHERNET_ARP);
    arp_write(bytes + ETHERNET_HEADER_BYTES, &arp);
    return mbuf;
}

static struct rte_mbuf *ndp_frame(uint8_t type) {
    static const uint8_t source[16] = {0xfd, [15] = 2};
    static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
    struct ip_header ip = {
        .payload_bytes = NDP_BYTES, .protocol = IP_ICMPV6, .hops = IP_HOPS_ON_LINK};
    struct ndp ndp = {.type = type};
    assert_non_null(mbuf);
    memcpy(ip.source, source, sizeof ip.source);
    memcpy(ip.destination, all_nodes, sizeof ip.destination);
    memcpy(ndp.target, source, sizeof ndp.target);
    memcpy(ndp.mac, peer_mac, sizeof ndp.mac);
    uint8_t *bytes = (uint8_t *)rte_pktmbuf_append(
        mbuf, ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + NDP_BYTES);
    ethernet_write(bytes, everybody, peer_mac, ETHERNET_IPV6);
    ipv6_write(bytes + ETHERNET_HEADER_BYTES, &ip);
    ndp_write(bytes + ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES, &ndp, &ip);
    return mbuf;
}

static void expect_told(struct rte_mbuf *frame, bool is_told) {
    struct rte_mbuf *copies[2];
    dpdk_answers_put(&answers, frame);
    int count = dpdk_answers_take(&answers, copies, 2);
    assert_int_equal(count, is_told ? 1 : 0);
    if (is_told) {
        assert_int_equal(copies[0]->data_len, frame->data_len);
        assert_memory_equal(rte_pktmbuf_mtod(copies[0], void *), rte_pktmbuf_mtod(frame, void *),
                            frame->data_len);
        rte_pktmbuf_free(copies[0]);
    }
    rte_pktmbuf_free(frame);
}

static void test_what_a_neighbour_says_of_itself_is_told(void **state) {
    (void)state;
    expect_told(arp_frame(ARP_REPLY, other), true);
    expect_told(arp_frame(ARP_REQUEST, peer), true); /* RFC 5227 §3: it asks for itself */
    expect_told(ndp_frame(ICMPV6_NEIGHBOUR_ADVERTISEMENT), true);
}

static void test_questions_are_for_who_has_them(void **state) {
    (void)state;
    expect_told(arp_frame(ARP_REQUEST, other), false); /* one answer is enough */
    expect_told(ndp_frame(ICMPV6_NEIGHBOUR_SOLICITATION), false);
}

static void test_what_is_too_short_is_nothing(void **state) {
    (void)state;
    for (uint16_t size = 0; size < ETHERNET_HEADER_BYTES + ARP_BYTES; size++) {
        struct rte_mbuf *frame = arp_frame(ARP_REQUEST, peer);
        rte_pktmbuf_trim(frame, (uint16_t)(frame->data_len - size));
        expect_told(frame, false);
    }
}

static int open_all(void **state) {
    struct te_endpoint local = ipv4_endpoint(1, 7000);
    local.address[12] = 10;
    struct te_engine_config config = config_for("dpdk", local);
    config.netif = "--no-huge -m 128 --vdev=net_null0";
    config.prefix_bits = 24;
    struct netif *netif = open_or_fail(&config);
    pool = rte_pktmbuf_pool_create("frames", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
                                   SOCKET_ID_ANY);
    assert_non_null(pool);
    assert_int_equal(dpdk_answers_open(&answers, NUMBER), TE_OK);
    *state = netif;
    return 0;
}

static int close_all(void **state) {
    struct netif *netif = *state;
    dpdk_answers_close(&answers);
    assert_int_equal(rte_mempool_avail_count(pool), MBUFS);
    rte_mempool_free(pool);
    netif->ops->close(netif);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_neighbour_says_of_itself_is_told),
        cmocka_unit_test(test_questions_are_for_who_has_them),
        cmocka_unit_test(test_what_is_too_short_is_nothing),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

#else

static void test_what_a_neighbour_says_of_itself_is_told(void **state) {
    (void)state;
    skip(); /* this build has no DPDK */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_neighbour_says_of_itself_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
