/* Two hosts on one wire, and frames as foreign stacks and attackers make them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "ip/arp.h"
#include "ip/big_endian.h"
#include "ip/checksum.h"
#include "ip/host.h"
#include "ip/icmp.h"
#include "ip/ipv4.h"
#include "ip/udp.h"

enum { PORT_A = 1000, PORT_B = 2000, IPV4_AT = 14, UDP_AT = 34 };

static const uint8_t ipv4_a[16] = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 1};
static const uint8_t ipv4_b[16] = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 2};
static const uint8_t ipv4_gateway[16] = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 254};
static const uint8_t ipv4_far[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 9};
static const uint8_t ipv6_a[16] = {0xfd, [15] = 1};
static const uint8_t ipv6_b[16] = {0xfd, [15] = 2};

struct wire {
    struct host *a;
    struct host *b;
    uint8_t frame[HOST_FRAME_BYTES_MAX];
    struct netif_datagram received;
};

static struct host *open_host(const uint8_t *address, uint8_t last, uint16_t port) {
    struct host *host = malloc(sizeof *host);
    struct host_config config = {
        .mac = {2, 0, 0, 0, 0, last}, .prefix_bits = 24, .mtu_bytes = 1500};
    assert_non_null(host);
    memcpy(config.address, address, sizeof config.address);
    host_init(host, &config);
    assert_true(host_listen(host, port));
    return host;
}

static struct wire *open_wire(const uint8_t *a, const uint8_t *b) {
    struct wire *wire = calloc(1, sizeof *wire);
    assert_non_null(wire);
    wire->a = open_host(a, 1, PORT_A);
    wire->b = open_host(b, 2, PORT_B);
    return wire;
}

static int setup_ipv4(void **state) {
    *state = open_wire(ipv4_a, ipv4_b);
    return 0;
}

static int setup_ipv6(void **state) {
    *state = open_wire(ipv6_a, ipv6_b);
    return 0;
}

static int teardown(void **state) {
    struct wire *wire = *state;
    free(wire->a);
    free(wire->b);
    free(wire);
    return 0;
}

static struct netif_datagram datagram_to(const uint8_t *address, const char *text) {
    struct netif_datagram datagram = {
        .local.port = PORT_A,
        .remote.port = PORT_B,
        .bytes = (uint8_t *)(uintptr_t)text,
        .size_bytes = (uint32_t)strlen(text),
        .ecn = 2,
    };
    memcpy(datagram.remote.address, address, ADDRESS_BYTES);
    return datagram;
}

static bool deliver(struct wire *wire, struct host *to, size_t size_bytes) {
    struct host_frame frame = {wire->frame, size_bytes, false};
    return host_receive(to, 0, &frame, &wire->received);
}

/* Moves what one host wants to say to the other. Returns true if a datagram came with it. */
static bool flush(struct wire *wire, struct host *from, struct host *to) {
    bool came = false;
    for (size_t size = 0; (size = host_poll(from, 0, wire->frame)) != 0;) {
        came = deliver(wire, to, size) || came;
    }
    return came;
}

/* The frame of a datagram from A to B, which already know each other. */
static size_t ready_frame(struct wire *wire, const char *text) {
    struct netif_datagram datagram = datagram_to(wire->b->config.address, text);
    neighbours_learn(&wire->a->neighbours, wire->b->config.address, wire->b->config.mac, 0);
    size_t size = host_send(wire->a, 0, &datagram, wire->frame);
    assert_int_not_equal(size, 0);
    return size;
}

static void seal_ipv4(uint8_t *frame) {
    store_u16(frame + IPV4_AT + 10, 0);
    uint16_t sum = checksum_fold(checksum_add(0, frame + IPV4_AT, IPV4_HEADER_BYTES));
    store_u16(frame + IPV4_AT + 10, (uint16_t)~sum);
}

static void assert_nothing_waits(struct host *host, uint8_t *frame) {
    assert_int_equal(host_poll(host, 0, frame), 0);
}

static void test_first_datagram_waits_for_its_neighbour_and_arrives(void **state) {
    struct wire *wire = *state;
    struct netif_datagram datagram = datagram_to(wire->b->config.address, "hello");
    assert_int_equal(host_send(wire->a, 0, &datagram, wire->frame), 0);
    assert_int_equal(host_next_ns(wire->a), 0);
    assert_false(flush(wire, wire->a, wire->b)); /* the question */
    assert_false(host_has_frame(wire->a)); /* nobody need look before the answer comes */
    assert_true(host_has_frame(wire->b));
    assert_false(flush(wire, wire->b, wire->a)); /* the answer */
    assert_true(host_has_frame(wire->a));
    assert_true(flush(wire, wire->a, wire->b));
    assert_int_equal(wire->received.size_bytes, 5);
    assert_memory_equal(wire->received.bytes, "hello", 5);
    assert_int_equal(wire->received.ecn, 2);
    assert_int_equal(wire->received.remote.port, PORT_A);
    assert_memory_equal(wire->received.remote.address, wire->a->config.address, ADDRESS_BYTES);
    assert_int_equal(wire->received.local.port, PORT_B);
    assert_nothing_waits(wire->a, wire->frame);
    /* B learned A's address from the question. */
    struct netif_datagram back = datagram_to(wire->a->config.address, "back");
    back.remote.port = PORT_A;
    size_t size = host_send(wire->b, 0, &back, wire->frame);
    assert_true(size != 0 && deliver(wire, wire->a, size));
}

static void test_silent_neighbour_costs_what_waited_for_it(void **state) {
    struct wire *wire = *state;
    struct netif_datagram datagram = datagram_to(wire->b->config.address, "hello");
    for (int i = 0; i < HOST_WAITING_MAX + 3; i++) {
        assert_int_equal(host_send(wire->a, 0, &datagram, wire->frame), 0);
    }
    assert_int_equal(wire->a->counts.unsent, 3);
    int questions = 0;
    for (uint64_t now_ns = 0; now_ns <= 10 * NEIGHBOURS_ASK_NS; now_ns += NEIGHBOURS_ASK_NS / 2) {
        questions += host_poll(wire->a, now_ns, wire->frame) != 0;
    }
    assert_int_equal(questions, NEIGHBOURS_ASKS_MAX);
    assert_int_equal(wire->a->counts.unsent, HOST_WAITING_MAX + 3);
    assert_int_equal(wire->a->waiting_count, 0);
    assert_int_equal(host_next_ns(wire->a), UINT64_MAX);
}

static void test_every_flipped_bit_of_a_datagram_is_noticed(void **state) {
    struct wire *wire = *state;
    size_t size = ready_frame(wire, "payload of an odd size!");
    for (size_t bit = IPV4_AT * 8; bit < size * 8; bit++) {
        wire->frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        bool came = deliver(wire, wire->b, size);
        /* IPv6's header has no checksum: class, flow label and hop limit may change unseen. */
        bool harmless = !wire->b->ipv4 && (bit / 8 < IPV4_AT + 4 || bit / 8 == IPV4_AT + 7);
        assert_true(!came || harmless);
        wire->frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(deliver(wire, wire->b, size));
}

static void test_every_truncation_is_noticed(void **state) {
    struct wire *wire = *state;
    size_t size = ready_frame(wire, "payload");
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = malloc(cut + 1); /* so that a read past the end is seen */
        memcpy(copy, wire->frame, cut);
        struct host_frame frame = {copy, cut, true};
        assert_false(host_receive(wire->b, 0, &frame, &wire->received));
        free(copy);
    }
    assert_int_equal(wire->b->counts.bad, size);
}

static void test_padding_is_not_payload(void **state) {
    struct wire *wire = *state;
    size_t size = ready_frame(wire, "x");
    memset(wire->frame + size, 0xee, 40);
    assert_true(deliver(wire, wire->b, size + 40));
    assert_int_equal(wire->received.size_bytes, 1);
}

static void test_closed_port_is_foreign(void **state) {
    struct wire *wire = *state;
    size_t size = ready_frame(wire, "x");
    assert_false(host_listen(wire->b, PORT_B));
    host_unlisten(wire->b, PORT_B);
    assert_false(deliver(wire, wire->b, size));
    assert_int_equal(wire->b->counts.foreign, 1);
    assert_true(host_listen(wire->b, PORT_B));
    assert_true(deliver(wire, wire->b, size));
}

static void test_frame_for_another_machine_is_foreign(void **state) {
    struct wire *wire = *state;
    size_t size = ready_frame(wire, "x");
    wire->frame[5] ^= 1;
    assert_false(deliver(wire, wire->b, size));
    assert_int_equal(wire->b->counts.foreign, 1);
}

/* What Linux leaves in the checksum when it hands a packet to veth: the pseudo-header's sum. */
static void test_partial_checksum_of_a_virtual_device_is_accepted(void **state) {
    struct wire *wire = *state;
    wire->a->config.offload = true;
    size_t size = ready_frame(wire, "partial");
    assert_true(deliver(wire, wire->b, size));
    assert_int_equal(wire->b->counts.partial, 1);
}

static void test_zero_checksum_means_none_in_ipv4_only(void **state) {
    struct wire *wire = *state;
    size_t size = ready_frame(wire, "bare");
    size_t udp_at = wire->b->ipv4 ? UDP_AT : UDP_AT + 20;
    store_u16(wire->frame + udp_at + 6, 0);
    assert_int_equal(deliver(wire, wire->b, size), wire->b->ipv4);
}

static void test_fragments_are_counted_and_dropped(void **state) {
    struct wire *wire = *state;
    size_t size = ready_frame(wire, "fragment");
    assert_int_equal(load_be16(wire->frame + IPV4_AT + 6), 0x4000); /* no router makes any */
    store_be16(wire->frame + IPV4_AT + 6, 0x2000); /* more fragments */
    seal_ipv4(wire->frame);
    assert_false(deliver(wire, wire->b, size));
    assert_int_equal(wire->b->counts.fragments, 1);
}

static void test_sources_that_nobody_can_answer_are_bad(void **state) {
    struct wire *wire = *state;
    const uint8_t sources[][4] = {
        {224, 0, 0, 1}, {255, 255, 255, 255}, {0, 0, 0, 0}, {10, 0, 0, 2}};
    for (uint64_t i = 0; i < 4; i++) {
        size_t size = ready_frame(wire, "martian");
        memcpy(wire->frame + IPV4_AT + 12, sources[i], 4);
        seal_ipv4(wire->frame);
        struct host_frame frame = {wire->frame, size, true};
        assert_false(host_receive(wire->b, 0, &frame, &wire->received));
        assert_int_equal(wire->b->counts.bad, i + 1);
    }
}

static void test_off_link_goes_by_the_gateway_or_nowhere(void **state) {
    struct wire *wire = *state;
    const uint8_t gateway_mac[MAC_BYTES] = {2, 0, 0, 0, 0, 99};
    struct netif_datagram datagram = datagram_to(ipv4_far, "far");
    assert_int_equal(host_send(wire->a, 0, &datagram, wire->frame), 0);
    assert_int_equal(wire->a->counts.unsent, 1);
    assert_nothing_waits(wire->a, wire->frame);

    memcpy(wire->a->config.gateway, ipv4_gateway, ADDRESS_BYTES);
    neighbours_learn(&wire->a->neighbours, ipv4_gateway, gateway_mac, 0);
    assert_int_not_equal(host_send(wire->a, 0, &datagram, wire->frame), 0);
    assert_memory_equal(wire->frame, gateway_mac, MAC_BYTES);
}

static void test_unsendable_is_counted(void **state) {
    struct wire *wire = *state;
    static char large[1500];
    memset(large, 'x', sizeof large - 1);
    struct netif_datagram unsendable[] = {
        datagram_to(wire->b->config.address, large),
        datagram_to(wire->b->ipv4 ? ipv6_a : ipv4_a, "other family"),
        datagram_to((const uint8_t[16]){0xff, 2, [15] = 1}, "multicast"),
        datagram_to((const uint8_t[16]){0}, "any"),
    };
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(host_send(wire->a, 0, &unsendable[i], wire->frame), 0);
        assert_int_equal(wire->a->counts.unsent, i + 1);
    }
    assert_nothing_waits(wire->a, wire->frame);
}

static size_t write_ping(struct wire *wire) {
    struct ip_header ip = {.payload_bytes = 16, .protocol = IP_ICMP, .hops = IP_HOPS};
    memcpy(ip.source, ipv4_a, ADDRESS_BYTES);
    memcpy(ip.destination, ipv4_b, ADDRESS_BYTES);
    ethernet_write(wire->frame, wire->b->config.mac, wire->a->config.mac, ETHERNET_IPV4);
    ipv4_write(wire->frame + IPV4_AT, &ip);
    memcpy(wire->frame + UDP_AT, "\10\0\0\0idsqpayload!", 16);
    icmp_seal(wire->frame + UDP_AT, &ip);
    return UDP_AT + 16;
}

static void test_ping_is_answered(void **state) {
    struct wire *wire = *state;
    assert_false(deliver(wire, wire->b, write_ping(wire)));
    size_t size = host_poll(wire->b, 0, wire->frame);
    assert_int_equal(size, UDP_AT + 16);
    assert_memory_equal(wire->frame, wire->a->config.mac, MAC_BYTES);
    assert_int_equal(wire->frame[UDP_AT], ICMP_ECHO_REPLY);
    assert_memory_equal(wire->frame + UDP_AT + 4, "idsqpayload!", 12);
    uint64_t sum = checksum_add(0, wire->frame + UDP_AT, 16);
    assert_int_equal(checksum_fold(sum), CHECKSUM_RIGHT);
}

static void test_flood_of_pings_fills_the_waiting_room_and_no_more(void **state) {
    struct wire *wire = *state;
    for (int i = 0; i < 10 * HOST_WAITING_MAX; i++) {
        assert_false(deliver(wire, wire->b, write_ping(wire)));
    }
    int answers = 0;
    while (host_poll(wire->b, 0, wire->frame) != 0) {
        answers++;
    }
    assert_int_equal(answers, HOST_WAITING_MAX);
}

static void test_arp_for_others_is_ignored(void **state) {
    struct wire *wire = *state;
    struct arp arp = {.operation = ARP_REQUEST, .sender_mac = {2, 0, 0, 0, 0, 7}};
    memcpy(arp.sender, ipv4_a, ADDRESS_BYTES);
    memcpy(arp.target, ipv4_far, ADDRESS_BYTES);
    ethernet_write(wire->frame, (const uint8_t[]){255, 255, 255, 255, 255, 255}, arp.sender_mac,
                   ETHERNET_ARP);
    arp_write(wire->frame + IPV4_AT, &arp);
    assert_false(deliver(wire, wire->b, IPV4_AT + ARP_BYTES));
    assert_nothing_waits(wire->b, wire->frame);
    bool gone;
    assert_null(neighbours_look(&wire->b->neighbours, ipv4_a, &gone));
}

#define ON_BOTH(test)                                                                              \
    cmocka_unit_test_setup_teardown(test, setup_ipv4, teardown),                                   \
        cmocka_unit_test_setup_teardown(test, setup_ipv6, teardown)
#define ON_IPV4(test) cmocka_unit_test_setup_teardown(test, setup_ipv4, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_first_datagram_waits_for_its_neighbour_and_arrives),
        ON_BOTH(test_silent_neighbour_costs_what_waited_for_it),
        ON_BOTH(test_every_flipped_bit_of_a_datagram_is_noticed),
        ON_BOTH(test_every_truncation_is_noticed),
        ON_BOTH(test_padding_is_not_payload),
        ON_BOTH(test_closed_port_is_foreign),
        ON_BOTH(test_frame_for_another_machine_is_foreign),
        ON_BOTH(test_partial_checksum_of_a_virtual_device_is_accepted),
        ON_BOTH(test_zero_checksum_means_none_in_ipv4_only),
        ON_BOTH(test_unsendable_is_counted),
        ON_IPV4(test_fragments_are_counted_and_dropped),
        ON_IPV4(test_sources_that_nobody_can_answer_are_bad),
        ON_IPV4(test_off_link_goes_by_the_gateway_or_nowhere),
        ON_IPV4(test_ping_is_answered),
        ON_IPV4(test_flood_of_pings_fills_the_waiting_room_and_no_more),
        ON_IPV4(test_arp_for_others_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
