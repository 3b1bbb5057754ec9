/* What of a window leaves at once. */
#include "pair.h"

enum { PACKET = PACKET_BYTES_MIN + MESSAGE_HEADER_BYTES + 1384 /* as pair_open has it */ };

static uint64_t packets_at_once(uint32_t burst_bytes) {
    struct pair *pair = pair_open(1);
    pair->config.congestion = congestion_find("fixed");
    pair->config.burst_bytes = burst_bytes;
    pair_establish(pair);
    exchange(pair, 200, 3000, 0);
    pair->now_ns += 10000000; /* of silence */
    pair_transmit(pair, CLIENT);
    assert_true(pair_send(pair, CLIENT, 1, 300000, 0));
    uint64_t before = pair->packets;
    pair_transmit(pair, CLIENT);
    uint64_t packets = pair->packets - before;
    pair_close(pair);
    return packets;
}

/* One packet more than fits begins while something of the burst is left. */
static void a_driver_may_ask_for_longer_bursts(void **state) {
    (void)state;
    assert_int_equal(packets_at_once(0), PACER_BURST_BYTES / PACKET + 1);
    assert_int_equal(packets_at_once(2 * PACKET), PACER_BURST_BYTES / PACKET + 1);
    assert_int_equal(packets_at_once(65000), 65000 / PACKET + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_driver_may_ask_for_longer_bursts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
