/* Receive-side scaling against the published values, and ports that lead to every queue. */
#include "test.h"

#include <arpa/inet.h>
#include <string.h>

#include "ip/address.h"
#include "ip/rss.h"

enum { PORT = 31580, PEERS = 200, QUEUES_MAX = 16 };

/* Microsoft, "Verifying the RSS Hash Calculation". */
static const uint8_t published_key[RSS_KEY_BYTES] = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static const struct {
    const char *to;
    uint16_t to_port;
    const char *from;
    uint16_t from_port;
    uint32_t hash;
} published[] = {
    {"161.142.100.80", 1766, "66.9.149.187", 2794, 0x51ccc178},
    {"65.69.140.83", 4739, "199.92.111.2", 14230, 0xc626b0ea},
    {"12.22.207.184", 38024, "24.19.198.95", 12898, 0x5c2b394a},
    {"209.142.163.6", 2217, "38.27.205.30", 48228, 0xafc7327f},
    {"202.188.127.2", 1303, "153.39.163.191", 44251, 0x10e828a2},
    {"3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x40207d3d},
    {"ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0xdde51bbf},
    {"fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x02d1feef},
};

static struct te_endpoint endpoint(const char *text, uint16_t port) {
    struct te_endpoint made = {.port = port};
    uint8_t ipv4[ADDRESS_IPV4_BYTES];
    if (inet_pton(AF_INET, text, ipv4) == 1) {
        address_from_ipv4(made.address, ipv4);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, made.address), 1);
    }
    return made;
}

/* A card with `queues` queues, as drivers set one up. */
static struct rss card(uint32_t table_size, uint16_t queues) {
    struct rss rss = {.table_size = table_size};
    memcpy(rss.key, published_key, sizeof rss.key);
    for (uint32_t i = 0; i < table_size; i++) {
        rss.table[i] = (uint16_t)(i % queues);
    }
    return rss;
}

static void test_published_values(void **state) {
    (void)state;
    const struct rss rss = card(128, 4);
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        const struct te_endpoint from = endpoint(published[i].from, published[i].from_port);
        const struct te_endpoint to = endpoint(published[i].to, published[i].to_port);
        assert_int_equal(rss_hash(&rss, &from, &to), published[i].hash);
    }
}

static void every_queue_is_reached(const char *here, const char *there) {
    const struct te_endpoint local = endpoint(here, PORT);
    for (uint16_t queues = 2; queues <= QUEUES_MAX; queues++) {
        const struct rss rss = card(queues % 2 == 0 ? 128 : RSS_TABLE_MAX, queues);
        for (uint32_t i = 0; i < PEERS; i++) {
            struct te_endpoint remote = endpoint(there, (uint16_t)(7000 + i / 8));
            remote.address[ADDRESS_BYTES - 1] = (uint8_t)i;
            uint16_t queue = (uint16_t)(i % queues);
            struct te_endpoint chosen = local;
            chosen.port = rss_port(&rss, &local, &remote, queue);
            assert_in_range(chosen.port, PORT, PORT + RSS_PORTS - 1);
            uint32_t entry = rss_hash(&rss, &remote, &chosen) & (rss.table_size - 1);
            assert_int_equal(rss.table[entry], queue);
        }
    }
}

static void test_a_port_for_every_queue(void **state) {
    (void)state;
    every_queue_is_reached("10.0.0.1", "10.0.0.2");
    every_queue_is_reached("fd99::1", "fd99:0:1::2");
}

static void test_without_a_choice_the_port_is_the_engines(void **state) {
    (void)state;
    const struct te_endpoint local = endpoint("10.0.0.1", PORT);
    const struct te_endpoint remote = endpoint("10.0.0.2", 7000);
    const struct rss unknown = {.table_size = 0};
    const struct rss one_sided = card(64, 1); /* all to queue 0 */
    assert_int_equal(rss_port(&unknown, &local, &remote, 1), PORT);
    assert_int_equal(rss_port(&one_sided, &local, &remote, 1), PORT);
    assert_int_equal(rss_port(&one_sided, &local, &remote, 0), PORT);
}

static void test_no_port_lies_beyond_the_last(void **state) {
    (void)state;
    const struct te_endpoint local = endpoint("10.0.0.1", UINT16_MAX);
    const struct te_endpoint remote = endpoint("10.0.0.2", 7000);
    const struct rss rss = card(128, 2);
    for (uint16_t queue = 0; queue < 2; queue++) {
        assert_int_equal(rss_port(&rss, &local, &remote, queue), UINT16_MAX);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_values),
        cmocka_unit_test(test_a_port_for_every_queue),
        cmocka_unit_test(test_without_a_choice_the_port_is_the_engines),
        cmocka_unit_test(test_no_port_lies_beyond_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
