/* What a host does not believe, and what it tells nobody; where its limits lie. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "ip/arp.h"
#include "ip/big_endian.h"
#include "ip/checksum.h"
#include "ip/host.h"
#include "ip/icmp.h"
#include "ip/ipv4.h"
#include "ip/ipv6.h"
#include "ip/ndp.h"
#include "ip/udp.h"

enum { PORT = 1000, MTU_BYTES = 1500, IP_AT = ETHERNET_HEADER_BYTES };

static const uint8_t everybody[MAC_BYTES] = {255, 255, 255, 255, 255, 255};
static const uint8_t group_mac[MAC_BYTES] = {0x33, 0x33, 0, 0, 0, 7};
static const uint8_t peer_mac[MAC_BYTES] = {2, 0, 0, 0, 0, 2};
static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};

static struct host host;
static uint8_t peer[16];
static uint8_t frame[HOST_FRAME_BYTES_MAX];
static struct netif_datagram received;

static int set_up(void **state, bool is_ipv4) {
    (void)state;
    struct host_config config = {
        .mac = {2, 0, 0, 0, 0, 1}, .prefix_bits = 24, .mtu_bytes = MTU_BYTES};
    static const uint8_t ipv4[16] = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 1};
    static const uint8_t ipv6[16] = {0xfd, [15] = 1};
    memcpy(config.address, is_ipv4 ? ipv4 : ipv6, sizeof config.address);
    host_init(&host, &config);
    assert_true(host_listen(&host, PORT));
    memcpy(peer, config.address, sizeof peer);
    peer[15] = 2;
    return 0;
}

static int set_up_ipv4(void **state) {
    return set_up(state, true);
}

static int set_up_ipv6(void **state) {
    return set_up(state, false);
}

static bool receive(size_t size_bytes) {
    struct host_frame came = {frame, size_bytes, false};
    return host_receive(&host, 0, &came, &received);
}

/* What the host says next; 0: nothing. */
static size_t poll(void) {
    return host_poll(&host, 0, frame);
}

static bool knows_peer(void) {
    bool is_gone;
    return neighbours_look(&host.neighbours, peer, &is_gone) != NULL;
}

static size_t send(const uint8_t *address, const void *bytes, size_t size_bytes) {
    struct netif_datagram datagram = {.local.port = PORT, .remote.port = PORT,
                                      .bytes = (uint8_t *)(uintptr_t)bytes,
                                      .size_bytes = (uint32_t)size_bytes};
    memcpy(datagram.remote.address, address, ADDRESS_BYTES);
    return host_send(&host, 0, &datagram, frame);
}

static size_t write_ping(const uint8_t *to, uint8_t code) {
    struct ip_header ip = {.payload_bytes = 16, .protocol = IP_ICMP, .hops = IP_HOPS};
    uint8_t *icmp = frame + IP_AT + IPV4_HEADER_BYTES;
    memcpy(ip.source, peer, ADDRESS_BYTES);
    memcpy(ip.destination, host.config.address, ADDRESS_BYTES);
    ethernet_write(frame, to, peer_mac, ETHERNET_IPV4);
    ipv4_write(frame + IP_AT, &ip);
    memset(icmp, 0, 16);
    icmp[0] = ICMP_ECHO_REQUEST;
    icmp[1] = code;
    icmp_seal(icmp, &ip);
    return IP_AT + IPV4_HEADER_BYTES + 16;
}

/* One such ping would have every host answer at once (RFC 1122 §3.2.2.6); nor is one answered that
 * comes from everybody or nobody, or goes to another host. */
static void a_ping_of_everybody_is_not_answered(void **state) {
    (void)state;
    assert_false(receive(write_ping(everybody, 0)));
    assert_false(receive(write_ping(host.config.mac, 1)));
    size_t size_bytes = write_ping(host.config.mac, 0);
    memcpy(frame + MAC_BYTES, group_mac, MAC_BYTES);
    assert_false(receive(size_bytes));
    host.config.address[15] = 9;
    size_bytes = write_ping(host.config.mac, 0);
    host.config.address[15] = 1;
    assert_false(receive(size_bytes));
    memset(peer + 12, 0, 4);
    assert_false(receive(write_ping(host.config.mac, 0)));
    memcpy(peer + 12, host.config.address + 12, 4);
    peer[15] = 2;
    assert_int_equal(host.counts.bad, 0);
    size_bytes = write_ping(host.config.mac, 0);
    frame[size_bytes - 1] ^= 1;
    assert_false(receive(size_bytes));
    assert_int_equal(host.counts.bad, 1);
    assert_int_equal(poll(), 0);
    assert_false(receive(write_ping(host.config.mac, 0)));
    assert_int_not_equal(poll(), 0);
}

static size_t write_arp(uint16_t operation, const uint8_t *sender, const uint8_t *sender_mac,
                        const uint8_t *target) {
    struct arp arp = {.operation = operation};
    memcpy(arp.sender_mac, sender_mac, MAC_BYTES);
    memcpy(arp.sender, sender, ADDRESS_BYTES);
    memcpy(arp.target, target, ADDRESS_BYTES);
    ethernet_write(frame, everybody, peer_mac, ETHERNET_ARP);
    arp_write(frame + IP_AT, &arp);
    return IP_AT + ARP_BYTES;
}

static void a_group_is_nobodys_card(void **state) {
    (void)state;
    assert_false(receive(write_arp(ARP_REPLY, peer, group_mac, host.config.address)));
    assert_false(knows_peer());
    assert_int_equal(host.counts.bad, 1);
}

/* Of other hardware or protocols, or longer addresses, or that asks something else. */
static void an_arp_message_of_another_kind_says_nothing(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++) {
        size_t size_bytes = write_arp(ARP_REQUEST, peer, peer_mac, host.config.address);
        frame[IP_AT + i] ^= 0x40;
        assert_false(receive(size_bytes));
        assert_false(knows_peer());
    }
    assert_int_equal(poll(), 0);
}

/* RFC 5227 §2.1.1: by a question of nobody's. Else it would take the address. */
static void who_looks_whether_the_address_is_free_hears_that_it_is_not(void **state) {
    (void)state;
    static const uint8_t nobody[16] = {[10] = 0xff, [11] = 0xff};
    struct arp arp;
    bool is_gone;
    assert_false(receive(write_arp(ARP_REQUEST, nobody, peer_mac, peer)));
    assert_false(receive(write_arp(ARP_REPLY, nobody, peer_mac, host.config.address)));
    assert_int_equal(poll(), 0);
    assert_false(receive(write_arp(ARP_REQUEST, nobody, peer_mac, host.config.address)));
    assert_int_equal(poll(), IP_AT + ARP_BYTES);
    assert_memory_equal(frame, peer_mac, MAC_BYTES);
    assert_int_equal(arp_parse(frame + IP_AT, ARP_BYTES, &arp), VERDICT_OK);
    assert_int_equal(arp.operation, ARP_REPLY);
    assert_memory_equal(arp.sender, host.config.address, ADDRESS_BYTES);
    assert_memory_equal(arp.sender_mac, host.config.mac, MAC_BYTES);
    assert_null(neighbours_look(&host.neighbours, nobody, &is_gone));
    assert_true(is_gone);
}

/* Who asks for the host's address. */
static size_t write_solicitation(const uint8_t *source, const uint8_t *from_mac, uint8_t hops,
                                 uint8_t option_length) {
    struct ip_header ip = {.payload_bytes = NDP_BYTES, .protocol = IP_ICMPV6, .hops = hops};
    struct ndp ndp = {.type = ICMPV6_NEIGHBOUR_SOLICITATION};
    uint8_t *out = frame + IP_AT + IPV6_HEADER_BYTES;
    memcpy(ip.source, source, ADDRESS_BYTES);
    ndp_solicited_node(host.config.address, ip.destination);
    memcpy(ndp.target, host.config.address, ADDRESS_BYTES);
    memcpy(ndp.mac, peer_mac, MAC_BYTES);
    ethernet_write(frame, group_mac, from_mac, ETHERNET_IPV6);
    ipv6_write(frame + IP_AT, &ip);
    ndp_write(out, &ndp, &ip);
    out[25] = option_length;
    icmp_seal(out, &ip);
    return IP_AT + IPV6_HEADER_BYTES + NDP_BYTES;
}

static void who_is_not_on_this_link_is_not_answered(void **state) {
    (void)state;
    assert_false(receive(write_solicitation(peer, peer_mac, IP_HOPS_ON_LINK - 1, 1)));
    assert_false(receive(write_solicitation(peer, group_mac, IP_HOPS_ON_LINK, 1)));
    assert_false(receive(write_solicitation(peer, peer_mac, IP_HOPS_ON_LINK, 0)));
    assert_false(receive(write_solicitation(peer, peer_mac, IP_HOPS_ON_LINK, 2)));
    assert_int_equal(poll(), 0);
    assert_false(knows_peer());
    assert_false(receive(write_solicitation(peer, peer_mac, IP_HOPS_ON_LINK, 1)));
    assert_true(knows_peer());
    assert_int_not_equal(poll(), 0);
}

/* Not from what follows it, as a nonce may (RFC 7527), and not of a group. */
static void a_card_is_what_its_option_says(void **state) {
    (void)state;
    struct ip_header ip;
    bool is_gone;
    size_t size_bytes = write_solicitation(peer, peer_mac, IP_HOPS_ON_LINK, 1) + 8;
    store_be16(frame + IP_AT + 4, NDP_BYTES + 8);
    memcpy(frame + size_bytes - 8, "\x0e\x01nonce!", 8);
    assert_int_equal(ipv6_parse(frame + IP_AT, size_bytes - IP_AT, &ip), VERDICT_OK);
    ip.payload[26] = 1;
    icmp_seal(ip.payload, &ip);
    assert_false(receive(size_bytes));
    assert_false(knows_peer());
    ip.payload[26] = peer_mac[0];
    icmp_seal(ip.payload, &ip);
    assert_false(receive(size_bytes));
    assert_memory_equal(neighbours_look(&host.neighbours, peer, &is_gone), peer_mac, MAC_BYTES);
}

/* RFC 4861 §7.2.4: all nodes hear of it, as of something that nobody asked for. */
static void who_has_no_address_yet_is_told_with_everybody(void **state) {
    (void)state;
    const uint8_t none[16] = {0};
    struct ip_header ip;
    struct ndp ndp;
    assert_false(receive(write_solicitation(none, peer_mac, IP_HOPS_ON_LINK, 1)));
    const size_t size_bytes = poll();
    assert_int_not_equal(size_bytes, 0);
    assert_int_equal(ipv6_parse(frame + IP_AT, size_bytes - IP_AT, &ip), VERDICT_OK);
    assert_int_equal(ndp_parse(&ip, &ndp), VERDICT_OK);
    assert_memory_equal(ip.destination, all_nodes, ADDRESS_BYTES);
    assert_false(ndp.solicited);
    bool is_gone;
    assert_null(neighbours_look(&host.neighbours, none, &is_gone));
    assert_false(knows_peer());
}

static size_t write_datagram(uint16_t source_port, size_t payload_bytes) {
    struct ip_header ip = {.payload_bytes = UDP_HEADER_BYTES + payload_bytes, .protocol = IP_UDP,
                           .hops = IP_HOPS};
    struct udp_header udp = {.source_port = source_port, .destination_port = PORT,
                             .payload_bytes = payload_bytes};
    memcpy(ip.source, peer, ADDRESS_BYTES);
    memcpy(ip.destination, host.config.address, ADDRESS_BYTES);
    memset(frame, 0, sizeof frame);
    ethernet_write(frame, host.config.mac, peer_mac, ETHERNET_IPV4);
    ipv4_write(frame + IP_AT, &ip);
    udp_write(frame + IP_AT + IPV4_HEADER_BYTES, &ip, &udp, false);
    return IP_AT + IPV4_HEADER_BYTES + ip.payload_bytes;
}

/* From where no answer could go, longer than any driver gives, and to everybody's card. */
static void a_datagram_that_no_peer_sends_is_dropped(void **state) {
    (void)state;
    assert_false(receive(write_datagram(0, 1)));
    assert_true(receive(write_datagram(PORT, NETIF_DATAGRAM_BYTES_MAX)));
    assert_false(receive(write_datagram(PORT, NETIF_DATAGRAM_BYTES_MAX + 1)));
    assert_int_equal(host.counts.bad, 2);
    const size_t size_bytes = write_datagram(PORT, 1);
    memcpy(frame, everybody, MAC_BYTES);
    assert_false(receive(size_bytes));
    assert_int_equal(host.counts.foreign, 1);
}

/* Its header says that it ends before it does. */
static void a_header_longer_than_its_packet_is_bad(void **state) {
    (void)state;
    enum { OPTIONS_BYTES = 40, UDP_BYTES = 13 };
    uint8_t *ip_at = frame + IP_AT;
    uint8_t *udp_at = ip_at + IPV4_HEADER_BYTES + OPTIONS_BYTES;
    struct ip_header ip = {.payload_bytes = UDP_BYTES, .protocol = IP_UDP, .hops = IP_HOPS};
    memcpy(ip.source, peer, ADDRESS_BYTES);
    memcpy(ip.destination, host.config.address, ADDRESS_BYTES);
    memset(frame, 0, sizeof frame);
    ethernet_write(frame, host.config.mac, peer_mac, ETHERNET_IPV4);
    ipv4_write(ip_at, &ip);
    ip_at[0] = 4 << 4 | (IPV4_HEADER_BYTES + OPTIONS_BYTES) / 4;
    store_be16(ip_at + 10, 0);
    store_u16(ip_at + 10, (uint16_t)~checksum_fold(checksum_add(
                              0, ip_at, IPV4_HEADER_BYTES + OPTIONS_BYTES)));
    store_be16(udp_at, PORT);
    store_be16(udp_at + 2, PORT);
    store_be16(udp_at + 4, UDP_BYTES);
    assert_false(receive(IP_AT + IPV4_HEADER_BYTES + OPTIONS_BYTES + UDP_BYTES));
    assert_int_equal(host.counts.bad, 1);
}

static void an_ipv4_address_in_an_ipv6_packet_is_bad(void **state) {
    (void)state;
    const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 9};
    assert_false(receive(write_solicitation(mapped, peer_mac, IP_HOPS_ON_LINK, 1)));
    assert_int_equal(host.counts.bad, 1);
    assert_int_equal(poll(), 0);
}

static void the_first_address_beyond_the_network_is_not_on_link(void **state) {
    (void)state;
    uint8_t beyond[16];
    const int last_bit = host.ipv4 ? 14 : 2; /* the byte that the prefix's 24th bit ends */
    memcpy(beyond, peer, sizeof beyond);
    assert_int_equal(send(beyond, "x", 1), 0);
    assert_int_equal(host.counts.unsent, 0); /* it waits for its neighbour */
    beyond[last_bit] ^= 1;
    assert_int_equal(send(beyond, "x", 1), 0);
    assert_int_equal(host.counts.unsent, 1);
    beyond[last_bit] ^= 1;
    beyond[last_bit + 1] ^= 0x80;
    assert_int_equal(send(beyond, "x", 1), 0);
    assert_int_equal(host.counts.unsent, 1);
}

static void a_packet_is_as_long_as_the_interface_carries(void **state) {
    (void)state;
    static const uint8_t bytes[MTU_BYTES];
    const size_t largest = MTU_BYTES + IP_AT - host_header_bytes(&host);
    neighbours_learn(&host.neighbours, peer, peer_mac, 0);
    assert_int_equal(send(peer, bytes, largest), IP_AT + MTU_BYTES);
    assert_int_equal(send(peer, bytes, largest + 1), 0);
    assert_int_equal(host.counts.unsent, 1);
}

/* They leave in their order, and whole: nothing completes their checksums. */
static void what_waited_for_a_neighbour_leaves_as_it_came(void **state) {
    (void)state;
    host.config.offload = true;
    assert_int_equal(send(peer, "first", 5), 0);
    assert_int_equal(send(peer, "second", 6), 0);
    assert_int_not_equal(poll(), 0); /* the question */
    neighbours_learn(&host.neighbours, peer, peer_mac, 0);
    for (int i = 0; i < 2; i++) {
        const char *text = i == 0 ? "first" : "second";
        struct ip_header ip;
        struct udp_header udp;
        const size_t size_bytes = poll() - IP_AT;
        assert_int_equal(host.ipv4 ? ipv4_parse(frame + IP_AT, size_bytes, &ip)
                                   : ipv6_parse(frame + IP_AT, size_bytes, &ip), VERDICT_OK);
        assert_int_equal(udp_parse(&ip, false, &udp), VERDICT_OK);
        assert_false(udp.partial);
        assert_int_equal(udp.payload_bytes, strlen(text));
        assert_memory_equal(udp.payload, text, strlen(text));
    }
}

/* RFC 768: a sum of zero is sent as its other form, for zero means that there is none. */
static void no_datagram_goes_without_a_checksum(void **state) {
    (void)state;
    const size_t udp_at = host_header_bytes(&host) - UDP_HEADER_BYTES;
    int others = 0;
    neighbours_learn(&host.neighbours, peer, peer_mac, 0);
    for (uint32_t value = 0; value <= UINT16_MAX; value++) {
        const uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
        assert_int_not_equal(send(peer, bytes, sizeof bytes), 0);
        assert_int_not_equal(load_u16(frame + udp_at + 6), 0);
        others += load_u16(frame + udp_at + 6) == UINT16_MAX;
    }
    assert_true(others > 0);
}

#define ON_IPV4(test) cmocka_unit_test_setup(test, set_up_ipv4)
#define ON_IPV6(test) cmocka_unit_test_setup(test, set_up_ipv6)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_IPV4(a_ping_of_everybody_is_not_answered),
        ON_IPV4(a_group_is_nobodys_card),
        ON_IPV4(an_arp_message_of_another_kind_says_nothing),
        ON_IPV4(who_looks_whether_the_address_is_free_hears_that_it_is_not),
        ON_IPV4(a_datagram_that_no_peer_sends_is_dropped),
        ON_IPV6(a_card_is_what_its_option_says),
        ON_IPV6(who_is_not_on_this_link_is_not_answered),
        ON_IPV6(who_has_no_address_yet_is_told_with_everybody),
        ON_IPV4(a_header_longer_than_its_packet_is_bad),
        ON_IPV6(an_ipv4_address_in_an_ipv6_packet_is_bad),
        ON_IPV4(the_first_address_beyond_the_network_is_not_on_link),
        ON_IPV6(the_first_address_beyond_the_network_is_not_on_link),
        ON_IPV4(a_packet_is_as_long_as_the_interface_carries),
        ON_IPV6(a_packet_is_as_long_as_the_interface_carries),
        ON_IPV4(what_waited_for_a_neighbour_leaves_as_it_came),
        ON_IPV6(what_waited_for_a_neighbour_leaves_as_it_came),
        ON_IPV4(no_datagram_goes_without_a_checksum),
        ON_IPV6(no_datagram_goes_without_a_checksum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
