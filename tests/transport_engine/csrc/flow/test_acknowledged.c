/* What an acknowledgement tells a flow, and what the flow does while none comes. */
#include "flow/pair.h"

static struct pair *pair;
static struct flow *client;
static struct flow *server;

static int set_up(void **state) {
    (void)state;
    pair = pair_open(1);
    client = &pair->flows[CLIENT];
    server = &pair->flows[SERVER];
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    pair_close(pair);
    return 0;
}

static void step_until_idle(void) {
    while (client->ledger.count + server->ledger.count > 0) {
        assert_true(pair_step(pair));
    }
}

static void establish(void) {
    pair_establish(pair);
    exchange(pair, 5, 100, 0);
    step_until_idle();
}

/* Sends packets of one message each, in this instant; none arrives. Returns the first's number. */
static uint64_t lose_packets(uint32_t count) {
    const uint64_t first = client->ledger.next_number;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(pair_send(pair, CLIENT, i, 1300, 0));
    }
    while (client->ledger.next_number < first + count) {
        pair->now_ns += 1000;
        pair_transmit(pair, CLIENT);
    }
    pair_lose(pair);
    return first;
}

/* Hands the client an acknowledgement that lay here for `waited_ns`. */
static void receive_ack(uint64_t first, uint64_t last, uint16_t marked, uint64_t waited_ns) {
    uint8_t body[ACK_HEADER_BYTES + ACK_RANGE_BYTES];
    const struct ack_frame ack = {.count = 1, .marked_count = marked, .ranges = {{first, last}}};
    const size_t body_bytes = frame_write_ack(body, &ack);
    const struct packet packet = {.type = PACKET_DATA, .number = server->ledger.next_number++,
                                  .body = body, .body_bytes = (uint32_t)body_bytes,
                                  .waited_ns = waited_ns};
    flow_receive(client, &pair->store, &packet, pair->now_ns);
}

/* The path is not to blame for the time for which this host did not read. */
static void time_in_our_own_queue_is_not_the_paths(void **state) {
    (void)state;
    establish();
    const uint64_t number = lose_packets(1);
    pair->now_ns += 400000;
    receive_ack(number, number, 0, 350000);
    assert_int_equal(client->rtt.path_ns, 50000);
}

/* One that was overtaken counts fewer marks than the flow knows of. */
static void an_older_count_of_marks_tells_nothing(void **state) {
    (void)state;
    establish();
    const uint64_t number = lose_packets(2);
    pair->now_ns += 50000;
    receive_ack(number + 1, number + 1, 5, 0);
    const uint64_t window = client->congestion.window;
    receive_ack(number, number, 3, 0);
    assert_int_equal(client->marked_reported, 5);
    assert_true(client->congestion.window >= window);
}

static struct congestion_ack told;

static void note_told(struct congestion *congestion, struct congestion_ack *ack) {
    (void)congestion;
    told = *ack;
}

/* The latest number acknowledged is of an acknowledgement, of which no time is known. */
static void a_path_that_was_forgotten_is_no_shorter_than_the_latest_sample(void **state) {
    (void)state;
    struct congestion_ops spy = *congestion_find("fixed");
    spy.acked = note_told;
    pair->config.congestion = &spy;
    establish();
    rtt_forget_path(&client->rtt);
    const uint64_t number = lose_packets(1);
    const uint64_t last = client->ledger.next_number++;
    pair->now_ns += 50000;
    receive_ack(number, last, 0, 0);
    assert_int_equal(told.acked_bytes, 1300 + MESSAGE_HEADER_BYTES + PACKET_BYTES_MIN);
    assert_int_equal(told.rtt_min_ns, told.rtt_ns);
}

/* However late it is noticed: the packets were lost in one instant. */
static void losses_that_are_seen_late_are_no_timeout(void **state) {
    (void)state;
    establish();
    const uint64_t number = lose_packets(5);
    pair->now_ns += 50000;
    receive_ack(number + 4, number + 4, 0, 0);
    assert_int_equal(pair->counters.packets_lost, 2);
    pair->now_ns += 100 * pair->config.rto_min_ns;
    flow_timeout(client, &pair->store, pair->now_ns);
    assert_int_equal(pair->counters.packets_lost, 4);
    assert_int_equal(pair->counters.timeouts, 0);
}

/* Also those that were found after the window was reduced were the reason for it. */
static void a_reduction_is_taken_back_with_its_last_reason(void **state) {
    (void)state;
    pair->config.congestion = congestion_find("cubic");
    establish();
    const uint64_t number = lose_packets(9);
    const uint64_t window = client->congestion.window;
    pair->now_ns += 50000;
    receive_ack(number + 4, number + 4, 0, 0);
    receive_ack(number + 8, number + 8, 0, 0);
    assert_int_equal(pair->counters.packets_lost, 5);
    receive_ack(number, number + 3, 0, 0);
    assert_true(client->congestion.window < window);
    receive_ack(number + 5, number + 5, 0, 0);
    assert_int_equal(pair->counters.packets_spurious, 5);
    assert_true(client->congestion.window >= window);
}

/* Nothing more would come before the acknowledgement, so it does not wait for more. */
static void the_last_packet_of_a_small_window_is_acknowledged_at_once(void **state) {
    (void)state;
    establish();
    client->congestion.window = (uint64_t)client->congestion.packet_bytes << WINDOW_FRACTION_BITS;
    assert_true(pair_send(pair, CLIENT, 1, 5000, 0));
    pair_transmit(pair, CLIENT);
    assert_int_equal(pair->link_count, 1);
    const uint64_t sent_ns = pair->now_ns;
    const uint64_t number = client->ledger.next_number - 1;
    while (client->ledger.largest_acked < number) {
        assert_true(pair_step(pair));
    }
    assert_int_equal(pair->now_ns, sent_ns + 2 * pair->delay_ns);
}

/* A window that was not used up tells nothing of the path, and does not grow. */
static void only_a_full_window_grows(void **state) {
    (void)state;
    establish();
    assert_true(pair_send(pair, CLIENT, 1, 200000, 0));
    pair_transmit(pair, CLIENT);
    assert_true(client->is_limited);
    step_until_idle();
    uint64_t window = 0;
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(pair_send(pair, CLIENT, i, 100, 0));
        pair_transmit(pair, CLIENT);
        step_until_idle();
        window = i == 0 ? client->congestion.window : window; /* the first ends what was before */
    }
    assert_true(client->congestion.window <= window);
}

/* Credit is given in large steps, but the longest message does not wait for a step that never
 * comes. */
static void the_longest_message_gets_its_credit(void **state) {
    (void)state;
    const uint32_t bytes_max = pair->config.parameters.message_bytes_max;
    pair->config.parameters.credit_units = credit_units_of(bytes_max);
    establish();
    assert_true(pair_send(pair, CLIENT, 1, bytes_max, 0));
    pair_transmit(pair, CLIENT);
    for (int steps = 0; pair_take(pair, SERVER) != 1; steps++) {
        assert_true(steps < 100000 && pair_step(pair));
    }
}

/* As often as that a path is tried that has been silent for long. */
static void probes_are_never_far_apart(void **state) {
    (void)state;
    pair->delay_ns = 20000000;
    pair->config.dead_ns = UINT64_C(60000000000);
    establish();
    (void)lose_packets(1);
    pair->loss_ppm = 1000000;
    const uint64_t end_ns = pair->now_ns + UINT64_C(30000000000);
    while (pair->now_ns < end_ns) {
        assert_true(pair_step(pair));
        assert_true(flow_next_ns(client) <= pair->now_ns + 200000000);
    }
}

/* A path that has become longer is not taken for a queue for ever. */
static void a_longer_path_is_learnt(void **state) {
    (void)state;
    establish();
    pair->delay_ns *= 40;
    const uint64_t end_ns = pair->now_ns + UINT64_C(20000000000);
    while (pair->now_ns < end_ns && rtt_path_min_ns(&client->rtt) < 2 * pair->delay_ns) {
        exchange(pair, 10, 10000, 0);
    }
    assert_true(rtt_path_min_ns(&client->rtt) >= 2 * pair->delay_ns);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(time_in_our_own_queue_is_not_the_paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_older_count_of_marks_tells_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_path_that_was_forgotten_is_no_shorter_than_the_latest_sample, set_up, tear_down),
        cmocka_unit_test_setup_teardown(losses_that_are_seen_late_are_no_timeout, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_reduction_is_taken_back_with_its_last_reason, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_last_packet_of_a_small_window_is_acknowledged_at_once,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_a_full_window_grows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_longest_message_gets_its_credit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(probes_are_never_far_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_longer_path_is_learnt, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
