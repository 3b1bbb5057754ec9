/* An address that is at another Ethernet address from now on: its host came again with another
 * card, or another host took it over. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <string.h>

#include "ip/arp.h"
#include "ip/host.h"
#include "ip/icmp.h"
#include "ip/ipv6.h"
#include "ip/ndp.h"

enum { PORT = 1000 };

static const uint64_t second_ns = 1000000000;
static const uint8_t everybody[MAC_BYTES] = {255, 255, 255, 255, 255, 255};
static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
static const uint8_t old_mac[MAC_BYTES] = {2, 0, 0, 0, 0, 2};
static const uint8_t new_mac[MAC_BYTES] = {2, 0, 0, 0, 0, 3};

/* A host and the address that moves. */
struct place {
    struct host host;
    uint8_t peer[16];
    uint8_t frame[HOST_FRAME_BYTES_MAX];
};

static struct place place;

static int set_up(void **state, bool is_ipv4) {
    struct host_config config = {.mac = {2, 0, 0, 0, 0, 1}, .prefix_bits = 24, .mtu_bytes = 1500};
    static const uint8_t ipv4[16] = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 1};
    static const uint8_t ipv6[16] = {0xfd, [15] = 1};
    memcpy(config.address, is_ipv4 ? ipv4 : ipv6, sizeof config.address);
    host_init(&place.host, &config);
    memcpy(place.peer, config.address, sizeof place.peer);
    place.peer[15] = 2;
    *state = &place;
    return 0;
}

static int set_up_ipv4(void **state) {
    return set_up(state, true);
}

static int set_up_ipv6(void **state) {
    return set_up(state, false);
}

static void receive(struct host *host, size_t size_bytes, uint64_t now_ns) {
    struct netif_datagram none;
    struct host_frame frame = {place.frame, size_bytes, false};
    assert_false(host_receive(host, now_ns, &frame, &none));
}

static void expect_mac(const uint8_t *mac, uint64_t now_ns) {
    struct netif_datagram datagram = {
        .local.port = PORT, .remote.port = PORT, .bytes = place.peer, .size_bytes = 1};
    memcpy(datagram.remote.address, place.peer, sizeof place.peer);
    size_t size_bytes = host_send(&place.host, now_ns, &datagram, place.frame);
    assert_int_equal(size_bytes != 0, mac != NULL);
    if (mac != NULL) {
        assert_memory_equal(place.frame, mac, MAC_BYTES);
    }
}

/* RFC 5227 §3: a request to everybody for the own address. */
static size_t write_arp_announcement(void) {
    struct arp arp = {.operation = ARP_REQUEST};
    memcpy(arp.sender_mac, new_mac, MAC_BYTES);
    memcpy(arp.sender, place.peer, sizeof arp.sender);
    memcpy(arp.target, place.peer, sizeof arp.target);
    ethernet_write(place.frame, everybody, new_mac, ETHERNET_ARP);
    arp_write(place.frame + ETHERNET_HEADER_BYTES, &arp);
    return ETHERNET_HEADER_BYTES + ARP_BYTES;
}

/* RFC 4861 §7.2.6: an advertisement to all nodes that nobody asked for. */
static size_t write_advertisement(bool overrides) {
    enum { FLAGS_AT = 4 };
    struct ip_header ip = {
        .payload_bytes = NDP_BYTES, .protocol = IP_ICMPV6, .hops = IP_HOPS_ON_LINK};
    struct ndp ndp = {.type = ICMPV6_NEIGHBOUR_ADVERTISEMENT};
    uint8_t *out = place.frame + ETHERNET_HEADER_BYTES;
    uint8_t mac[MAC_BYTES];
    memcpy(ip.source, place.peer, sizeof ip.source);
    memcpy(ip.destination, all_nodes, sizeof ip.destination);
    memcpy(ndp.target, place.peer, sizeof ndp.target);
    memcpy(ndp.mac, new_mac, MAC_BYTES);
    ndp_group_mac(all_nodes, mac);
    ethernet_write(place.frame, mac, new_mac, ETHERNET_IPV6);
    ipv6_write(out, &ip);
    ndp_write(out + IPV6_HEADER_BYTES, &ndp, &ip);
    if (!overrides) {
        out[IPV6_HEADER_BYTES + FLAGS_AT] = 0;
        icmp_seal(out + IPV6_HEADER_BYTES, &ip);
    }
    return ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + NDP_BYTES;
}

static size_t write_announcement(const struct host *host) {
    return host->ipv4 ? write_arp_announcement() : write_advertisement(true);
}

static void what_a_neighbour_tells_everybody_is_heard(void **state) {
    (void)state;
    neighbours_learn(&place.host.neighbours, place.peer, old_mac, 0);
    expect_mac(old_mac, 1);
    receive(&place.host, write_announcement(&place.host), 2);
    expect_mac(new_mac, 3);
    assert_int_equal(host_poll(&place.host, 4, place.frame), 0); /* it wants no answer */
}

static void who_is_not_wanted_gets_no_place_by_telling_everybody(void **state) {
    bool is_gone;
    (void)state;
    receive(&place.host, write_announcement(&place.host), 0);
    assert_null(neighbours_look(&place.host.neighbours, place.peer, &is_gone));
    assert_true(is_gone);
}

static void an_advertisement_that_does_not_override_changes_nothing(void **state) {
    (void)state;
    neighbours_learn(&place.host.neighbours, place.peer, old_mac, 0);
    receive(&place.host, write_advertisement(false), 1);
    expect_mac(old_mac, 2);
}

static void an_advertisement_that_names_no_card_changes_nothing(void **state) {
    enum { OPTION_BYTES = 8 };
    struct ip_header ip;
    uint8_t *ip_at = place.frame + ETHERNET_HEADER_BYTES;
    (void)state;
    neighbours_learn(&place.host.neighbours, place.peer, old_mac, 0);
    size_t size_bytes = write_advertisement(true) - OPTION_BYTES;
    ip_at[5] -= OPTION_BYTES; /* of its payload */
    assert_int_equal(ipv6_parse(ip_at, size_bytes - ETHERNET_HEADER_BYTES, &ip), VERDICT_OK);
    icmp_seal(ip.payload, &ip);
    receive(&place.host, size_bytes, 1);
    expect_mac(old_mac, 2);
}

/* Without a word, as a host does that comes again with another card, and is only called. */
static void an_address_that_does_not_answer_is_asked_for_anew(void **state) {
    uint64_t now_ns = 2 * second_ns;
    (void)state;
    neighbours_learn(&place.host.neighbours, place.peer, old_mac, 0);
    host_doubt(&place.host, now_ns, place.peer);
    assert_int_equal(host_poll(&place.host, now_ns, place.frame), 0); /* nobody wants it */
    expect_mac(old_mac, now_ns);
    assert_int_not_equal(host_poll(&place.host, now_ns, place.frame), 0);
    neighbours_learn(&place.host.neighbours, place.peer, new_mac, now_ns);
    expect_mac(new_mac, now_ns);
}

static void doubts_ask_once_a_second_at_most(void **state) {
    enum { SECONDS = 20, DOUBTS = 1000 /* a second */ };
    uint64_t questions = 0;
    (void)state;
    neighbours_learn(&place.host.neighbours, place.peer, old_mac, 0);
    for (uint64_t i = 0; i < UINT64_C(1) * SECONDS * DOUBTS; i++) {
        uint64_t now_ns = i * (second_ns / DOUBTS);
        host_doubt(&place.host, now_ns, place.peer);
        expect_mac(old_mac, now_ns);
        while (host_poll(&place.host, now_ns, place.frame) != 0) {
            questions++;
            neighbours_learn(&place.host.neighbours, place.peer, old_mac, now_ns);
        }
    }
    assert_in_range(questions, SECONDS / 2, SECONDS);
}

static void an_announcement_is_heard_by_those_who_know_another_card(void **state) {
    static struct host peer;
    struct host_config config = place.host.config;
    (void)state;
    memcpy(config.address, place.peer, sizeof config.address);
    memcpy(config.mac, new_mac, sizeof config.mac);
    host_init(&peer, &config);
    assert_int_equal(host_poll(&peer, 0, place.frame), 0);
    neighbours_learn(&place.host.neighbours, place.peer, old_mac, 0);
    host_announce(&peer);
    size_t size_bytes = host_poll(&peer, 0, place.frame);
    assert_int_not_equal(size_bytes, 0);
    assert_true(mac_is_group(place.frame));
    receive(&place.host, size_bytes, 1);
    expect_mac(new_mac, 2);
    assert_int_equal(host_poll(&peer, 0, place.frame), 0);
}

/* Of two hosts with one address each hears what the other tells everybody; it is told on once a
 * minute, however often that is. Nobody is told of his own frames. */
static void who_has_the_same_address_is_noticed(void **state) {
    static struct host rival;
    struct host_config config = place.host.config;
    (void)state;
    host_announce(&place.host);
    receive(&place.host, host_poll(&place.host, 0, place.frame), 0);
    assert_null(host_rival(&place.host));
    memcpy(config.mac, new_mac, sizeof config.mac);
    host_init(&rival, &config);
    for (uint64_t second = 1; second < 180; second++) {
        host_announce(&rival);
        receive(&place.host, host_poll(&rival, 0, place.frame), second * second_ns);
        const uint8_t *mac = host_rival(&place.host);
        assert_int_equal(mac != NULL, second % 60 == 1);
        assert_true(mac == NULL || memcmp(mac, new_mac, MAC_BYTES) == 0);
    }
    assert_int_equal(host_poll(&place.host, 0, place.frame), 0);
}

#define ON_IPV4(test) cmocka_unit_test_setup(test, set_up_ipv4)
#define ON_IPV6(test) cmocka_unit_test_setup(test, set_up_ipv6)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_IPV4(what_a_neighbour_tells_everybody_is_heard),
        ON_IPV6(what_a_neighbour_tells_everybody_is_heard),
        ON_IPV4(who_is_not_wanted_gets_no_place_by_telling_everybody),
        ON_IPV6(who_is_not_wanted_gets_no_place_by_telling_everybody),
        ON_IPV4(an_address_that_does_not_answer_is_asked_for_anew),
        ON_IPV6(an_address_that_does_not_answer_is_asked_for_anew),
        ON_IPV4(an_announcement_is_heard_by_those_who_know_another_card),
        ON_IPV6(an_announcement_is_heard_by_those_who_know_another_card),
        ON_IPV4(who_has_the_same_address_is_noticed),
        ON_IPV6(who_has_the_same_address_is_noticed),
        ON_IPV4(doubts_ask_once_a_second_at_most),
        ON_IPV6(an_advertisement_that_names_no_card_changes_nothing),
        ON_IPV6(an_advertisement_that_does_not_override_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
