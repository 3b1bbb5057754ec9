/* A peer whose host stands still for seconds and goes on: stopped, frozen, or moved. */
#include "flow/pair.h"

enum {
    MESSAGES = 45,
    LARGE_BYTES = 100000,
    SMALL_BYTES = 1000,
    WAITING_MAX = 50,
    LATE_NS = 200000000
};

static const uint64_t stop_ns = 4500000000;

static struct pair *established(void) {
    struct pair *pair = pair_open(1);
    pair->config.dead_ns = 6000000000;
    pair->config.keep_alive_ns = 2000000000;
    pair_establish(pair);
    exchange(pair, 100, SMALL_BYTES, 0);
    return pair;
}

/* Steps until then, while the client sends a large message ten times a second. */
static void stand_still(struct pair *pair) {
    uint64_t end_ns = pair->now_ns + stop_ns;
    uint64_t send_ns = pair->now_ns;
    uint32_t sent = 0;
    pair->stands_until_ns = end_ns;
    pair->waiting_max = WAITING_MAX;
    while (pair_next_ns(pair) < end_ns) {
        for (; sent < MESSAGES && pair->now_ns >= send_ns; sent++) {
            assert_true(pair_send(pair, CLIENT, sent, LARGE_BYTES, 0));
            send_ns += stop_ns / MESSAGES;
        }
        pair_transmit(pair, CLIENT);
        assert_true(pair_step(pair));
    }
}

/* Returns when the message had arrived. */
static uint64_t arrival_ns(struct pair *pair, uint32_t message) {
    for (int steps = 0; steps < 1000000; steps++) {
        assert_true(pair_step(pair));
        for (uint32_t taken; (taken = pair_take(pair, SERVER)) != UINT32_MAX;) {
            if (taken == message) {
                return pair->now_ns;
            }
        }
    }
    fail_msg("message %u never came", message);
    return 0;
}

static void a_small_message_is_not_late_after_it(void **state) {
    (void)state;
    struct pair *pair = established();
    stand_still(pair);
    assert_true(pair_send(pair, CLIENT, MESSAGES, SMALL_BYTES, 0));
    assert_true(arrival_ns(pair, MESSAGES) < pair->stands_until_ns + LATE_NS);
    pair_close(pair);
}

static void round_trips_are_as_before(void **state) {
    (void)state;
    struct pair *pair = established();
    uint64_t rto_ns = rtt_rto_ns(&pair->flows[CLIENT].rtt, 0);
    stand_still(pair);
    while (pair->link_count > 0 && pair->now_ns < pair->stands_until_ns + LATE_NS) {
        assert_true(pair_step(pair));
        assert_true(rtt_rto_ns(&pair->flows[CLIENT].rtt, 0) < rto_ns + LATE_NS);
    }
    pair_close(pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_message_is_not_late_after_it),
        cmocka_unit_test(round_trips_are_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
