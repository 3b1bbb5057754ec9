/* Whatever counts in a flow goes on over the end of its field.
 *
 * Packet numbers begin below 2^62 and message ids at 0; neither reaches the end of 64 bits, nor do
 * nanoseconds. What wraps on the wire are the sequence of a lane, the count of ECN marks and the
 * length of a range; in memory, the lives of a slot. Timers, tokens and handles are the engine's.
 */
#include "flow/pair.h"

/* As if billions of packets had passed, more than a length or a distance on the wire can say. */
static void a_flow_outlives_its_numbers(void **state) {
    (void)state;
    const uint64_t skipped = (1 << 30) - SACK_SPAN_MAX - 100;
    struct pair *pair = pair_open(1);
    pair_establish(pair);
    for (int i = 0; i < 6; i++) {
        exchange(pair, 100, 3000, 0);
        while (pair->flows[CLIENT].ledger.count + pair->flows[SERVER].ledger.count > 0) {
            assert_true(pair_step(pair));
        }
        pair_lose(pair);
        for (int side = 0; side < 2; side++) {
            pair->flows[side].ledger.next_number += skipped;
            pair->flows[side].ledger.largest_acked += skipped;
            pair->flows[1 - side].sack.ranges[0].last += skipped;
        }
    }
    assert_int_equal(pair->counters.packets_lost, 0);
    pair_close(pair);
}

/* The sequence of a lane has 16 bits; packets are lost around its end. */
static void a_lane_goes_on_over_its_sequence(void **state) {
    (void)state;
    struct pair *pair = pair_open(2);
    pair_establish(pair);
    for (int side = 0; side < 2; side++) {
        pair->flows[side].out.lane_next[3] = UINT16_MAX - 50;
        pair->flows[side].out.lane_started[3] = UINT16_MAX - 50;
        pair->flows[side].in.lane_next[3] = UINT16_MAX - 50;
    }
    pair->loss_ppm = 50000;
    pair->jitter_ns = 100000;
    exchange(pair, 200, 3000, 3);
    assert_int_equal(pair->flows[SERVER].in.lane_next[3], 149);
    pair_close(pair);
}

static uint64_t marks_told;

static void count_marks(struct congestion *congestion, struct congestion_ack *ack) {
    (void)congestion;
    marks_told += ack->marked_packets;
}

/* ECN marks are counted in 16 bits; congestion control is told each of them once, and none that an
 * acknowledgement out of order takes back. */
static void marks_are_counted_over_their_end(void **state) {
    (void)state;
    struct congestion_ops spy = *congestion_find("fixed");
    spy.acked = count_marks;
    struct pair *pair = pair_open(3);
    pair->config.congestion = &spy;
    pair_establish(pair);
    for (int side = 0; side < 2; side++) {
        pair->flows[side].marked_received = UINT16_MAX - 20;
        pair->flows[side].marked_reported = UINT16_MAX - 20;
    }
    marks_told = 0;
    pair->is_marking = true;
    pair->jitter_ns = 60000;
    exchange(pair, 100, 1000, 0);
    pair->is_marking = false;
    exchange(pair, 20, 1000, 0);
    while (pair->flows[CLIENT].ledger.count + pair->flows[SERVER].ledger.count > 0) {
        assert_true(pair_step(pair));
    }
    uint64_t received = 0;
    for (int side = 0; side < 2; side++) {
        uint16_t marks = pair->flows[side].marked_received;
        assert_true(marks < 30000); /* it went over the end */
        assert_int_equal(pair->flows[1 - side].marked_reported, marks);
        received += (uint16_t)(marks - (UINT16_MAX - 20));
    }
    assert_int_equal(marks_told, received);
    pair_close(pair);
}

/* Numbers begin below 2^62, and may pass it at once. */
static void numbers_pass_their_largest_beginning(void **state) {
    (void)state;
    struct pair *pair = pair_open(4);
    struct flow_birth birth = pair_birth(pair, 1, 2);
    birth.first_number = (UINT64_C(1) << 62) - 2;
    flow_connect(&pair->flows[CLIENT], &pair->config, &birth, pair->now_ns);
    while (pair->flows[CLIENT].state != FLOW_OPEN) {
        assert_true(pair_step(pair));
    }
    pair->loss_ppm = 50000;
    exchange(pair, 200, 3000, 0);
    assert_true(pair->flows[CLIENT].ledger.next_number > UINT64_C(1) << 62);
    pair_close(pair);
}

/* A host's clock may have begun long ago: half of what 64 bits hold is 292 years. */
static void time_may_be_late(void **state) {
    (void)state;
    struct pair *pair = pair_open(5);
    pair->now_ns = UINT64_C(1) << 63;
    pair_establish(pair);
    pair->loss_ppm = 50000;
    exchange(pair, 200, 3000, 1);
    flow_close(&pair->flows[CLIENT], &pair->store, TE_R_CLOSED, true, pair->now_ns);
    while (pair->flows[SERVER].state != FLOW_CLOSED) {
        assert_true(pair_step(pair));
    }
    pair_close(pair);
}

/* Message ids do not wrap, but their window does: many times over, with losses. */
static void the_window_of_messages_turns(void **state) {
    (void)state;
    struct pair *pair = pair_open(6);
    pair_establish(pair);
    pair->loss_ppm = 20000;
    exchange(pair, 5 * MESSAGE_WINDOW, 40, 0);
    assert_int_equal(pair->flows[SERVER].in.whole.base, 5 * MESSAGE_WINDOW);
    pair_close(pair);
}

/* What is counted in 8 bits stops at their end. */
static void small_counts_stop_at_their_end(void **state) {
    (void)state;
    struct pair *pair = pair_open(7);
    pair->config.dead_ns = UINT64_C(1000) * 1000000000;
    pair_establish(pair);
    exchange(pair, 5, 100, 0);
    struct flow *server = &pair->flows[SERVER];
    const uint8_t ping[1] = {FRAME_PING};
    for (int i = 0; i < 300; i++) { /* it cannot answer */
        struct packet packet = {.type = PACKET_DATA, .body = ping, .body_bytes = 1,
                                .number = pair->flows[CLIENT].ledger.next_number + (uint64_t)i};
        flow_receive(server, &pair->store, &packet, pair->now_ns);
    }
    assert_int_equal(server->ack_count, UINT8_MAX);
    assert_true(pair_send(pair, CLIENT, 1, 100, 0));
    pair->loss_ppm = 1000000;
    uint64_t probes = pair->counters.probes;
    while (pair->counters.probes < probes + 600) {
        pair_transmit(pair, CLIENT);
        assert_true(pair_step(pair));
    }
    assert_int_equal(pair->flows[CLIENT].probe_count, UINT8_MAX);
    assert_int_equal(pair->flows[CLIENT].state, FLOW_OPEN);
    pair_close(pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flow_outlives_its_numbers),
        cmocka_unit_test(a_lane_goes_on_over_its_sequence),
        cmocka_unit_test(marks_are_counted_over_their_end),
        cmocka_unit_test(numbers_pass_their_largest_beginning),
        cmocka_unit_test(time_may_be_late),
        cmocka_unit_test(the_window_of_messages_turns),
        cmocka_unit_test(small_counts_stop_at_their_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
