/* A message that was begun holds memory for as long as it goes on, and no longer; and so does one
 * that its peer does not take, where others want that memory. */
#include "base/limits.h"
#include "flow/pair.h"

enum { SEGMENTS = 12 };

static const uint64_t second_ns = 1000000000;
static struct pair *pair;
static struct flow *client;
static struct flow *server;
static uint8_t bytes[SEGMENTS * 1384];

static int set_up(void **state) {
    (void)state;
    pair = pair_open(1);
    pair->config.unfinished_ns = 2 * second_ns;
    client = &pair->flows[CLIENT];
    server = &pair->flows[SERVER];
    pair_establish(pair);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    pair_close(pair); /* which looks for memory that is held */
    return 0;
}

/* Begins a message of so many segments, as an application does of which more is to come. */
static uint32_t begin(uint32_t segments, uint8_t lane) {
    uint32_t total_bytes = segments * client->out.segment_bytes;
    uint32_t index = send_queue_begin(&client->out, &pair->store, total_bytes, lane, 0);
    assert_int_not_equal(index, NO_ITEM);
    return index;
}

static void go_on(uint32_t index, uint32_t segments) {
    send_queue_append(&client->out, &pair->store, index, bytes,
                      segments * client->out.segment_bytes);
    pair_transmit(pair, CLIENT);
}

static void pass(uint64_t time_ns) {
    uint64_t until_ns = pair->now_ns + time_ns;
    while (pair_next_ns(pair) <= until_ns) {
        assert_true(pair_step(pair));
    }
    pair->now_ns = until_ns;
}

/* Both ends are told, in time and not before. */
static void expect_end_after(uint64_t time_ns) {
    pass(time_ns - second_ns / 100);
    assert_int_equal(server->state, FLOW_OPEN);
    pass(second_ns / 50);
    assert_int_equal(server->state, FLOW_CLOSED);
    assert_int_equal(server->reason, TE_R_STALLED);
    assert_int_equal(client->reason, TE_R_STALLED);
    assert_int_equal(pair->counters.stalls, 1);
}

static void what_is_not_finished_ends_the_flow(void **state) {
    (void)state;
    go_on(begin(SEGMENTS, 0), 2);
    expect_end_after(pair->config.unfinished_ns);
}

static void what_goes_on_slowly_is_waited_for(void **state) {
    (void)state;
    uint32_t index = begin(SEGMENTS, 0);
    for (int i = 0; i < SEGMENTS; i++) {
        go_on(index, 1);
        pass(pair->config.unfinished_ns - second_ns / 100);
        assert_int_equal(server->state, FLOW_OPEN);
    }
    assert_int_equal(reassembly_ready(&server->in, &pair->store)->body.total_bytes,
                     SEGMENTS * client->out.segment_bytes);
    pass(3 * pair->config.unfinished_ns); /* for its application it may wait for ever */
    assert_int_equal(server->state, FLOW_OPEN);
    flow_release(server, &pair->store);
}

/* One that goes on does not speak for another. */
static void each_message_is_judged_for_itself(void **state) {
    (void)state;
    uint32_t index = begin(SEGMENTS, 0);
    go_on(begin(2, 0), 1);
    go_on(index, 1);
    pass(second_ns);
    go_on(index, 1);
    pass(second_ns / 2);
    go_on(index, 1);
    expect_end_after(second_ns / 2);
}

static void losses_are_no_stall(void **state) {
    (void)state;
    pair->drop_mask = 0xff;
    uint32_t index = begin(2, 0);
    go_on(index, 1);
    pass(second_ns);
    go_on(index, 1);
    pass(3 * second_ns);
    assert_int_equal(server->state, FLOW_OPEN);
    assert_non_null(reassembly_ready(&server->in, &pair->store));
}

/* Hands the server a piece of a message on lane 3, as no honest peer would cut it. */
static void receive(uint64_t id, uint16_t sequence, uint32_t segment, uint32_t segments) {
    uint8_t body[PACKET_BYTES_MAX];
    uint32_t size_bytes = server->in.segment_bytes;
    const struct message_frame frame = {.id = id, .offset_bytes = segment * size_bytes,
                                        .total_bytes = segments * size_bytes,
                                        .size_bytes = (uint16_t)size_bytes, .lane = 3,
                                        .lane_sequence = sequence};
    size_t header_bytes = frame_write_message(body, &frame);
    memcpy(body + header_bytes, bytes, size_bytes);
    struct packet packet = {.type = PACKET_DATA, .number = client->ledger.next_number++,
                            .body = body, .body_bytes = (uint32_t)header_bytes + size_bytes};
    flow_receive(server, &pair->store, &packet, pair->now_ns);
    assert_int_equal(server->state, FLOW_OPEN);
}

static void whole_messages_wait_in_vain_for_one_that_never_began(void **state) {
    (void)state;
    for (uint16_t i = 1; i < 9; i++) {
        receive(i, i, 0, 1);
    }
    pass(1); /* nothing is sent on the client's side of this */
    expect_end_after(pair->config.unfinished_ns);
}

static void and_are_waited_for_with_one_that_goes_on(void **state) {
    (void)state;
    receive(1, 1, 0, 1);
    for (uint32_t segment = 0; segment < 5; segment++) {
        receive(0, 0, segment, 5);
        pass(pair->config.unfinished_ns - second_ns / 100);
    }
    assert_int_equal(server->state, FLOW_OPEN);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(reassembly_ready(&server->in, &pair->store)->id, i);
        flow_release(server, &pair->store);
    }
    assert_int_equal(flow_stalled_ns(server), UINT64_MAX);
}

/* Time in which the client's engine has no memory for more. */
static void pass_short_of_memory(uint64_t time_ns) {
    for (uint64_t passed_ns = 0; passed_ns < time_ns; passed_ns += second_ns / 20) {
        pair->store.refused_ns = pair->now_ns;
        pass(second_ns / 20);
    }
}

static void withhold_credit(void) {
    client->out.units_limit = client->out.units_sent;
    assert_true(pair_send(pair, CLIENT, 1, 1000, 0));
}

static void what_is_not_taken_ends_the_flow_where_memory_is_short(void **state) {
    (void)state;
    withhold_credit();
    pass(5 * pair->config.dead_ns); /* it is not, and the peer may take its time */
    assert_int_equal(client->state, FLOW_OPEN);
    pass_short_of_memory(pair->config.dead_ns - second_ns / 10);
    assert_int_equal(client->state, FLOW_OPEN);
    pass_short_of_memory(second_ns / 2);
    assert_int_equal(client->state, FLOW_CLOSED);
    assert_int_equal(client->out.message_count, 0);
    assert_int_equal(server->reason, TE_R_NO_RESOURCES);
    assert_int_equal(pair->counters.stalls, 1);
}

/* A peer that is heard all the time lets no timer come. */
static void and_does_so_whatever_else_the_peer_says(void **state) {
    (void)state;
    withhold_credit();
    for (int i = 0; i < 30 && client->state == FLOW_OPEN; i++) {
        server->ping_due = true;
        pair_transmit(pair, SERVER);
        pass_short_of_memory(second_ns / 20);
    }
    assert_int_equal(client->reason, TE_R_NO_RESOURCES);
}

/* It is only that others send as fast as they can. */
static void who_takes_nothing_is_waited_for_while_memory_goes_round(void **state) {
    (void)state;
    withhold_credit();
    for (int i = 0; i < 5; i++) {
        pair->store.renewed_ns = pair->now_ns;
        pass_short_of_memory(pair->config.dead_ns - second_ns / 10);
    }
    assert_int_equal(client->state, FLOW_OPEN);
    pass_short_of_memory(second_ns / 2);
    assert_int_equal(client->reason, TE_R_NO_RESOURCES);
}

static void who_takes_a_little_is_waited_for(void **state) {
    (void)state;
    withhold_credit();
    for (int i = 0; i < 10; i++) {
        assert_true(pair_send(pair, CLIENT, 2, 1000, 0));
        pass_short_of_memory(pair->config.dead_ns - second_ns / 5);
        client->out.units_limit++;
        pair_transmit(pair, CLIENT);
    }
    assert_int_equal(client->state, FLOW_OPEN);
}

/* Its credit is less than the next message takes, but it grows. */
static void who_gives_a_little_credit_is_waited_for(void **state) {
    (void)state;
    withhold_credit();
    assert_true(pair_send(pair, CLIENT, 2, sizeof bytes, 0));
    for (uint32_t i = 1; i < credit_units_of(sizeof bytes); i++) {
        pass_short_of_memory(pair->config.dead_ns - second_ns / 5);
        client->out.units_limit++;
        pair_transmit(pair, CLIENT);
    }
    assert_int_equal(client->state, FLOW_OPEN);
}

/* What was sent arrives late, one after the other, and credit does not come. */
static void messages_that_end_are_waited_for(void **state) {
    (void)state;
    pair->delay_ns = second_ns * 2 / 5;
    exchange(pair, 5, 1000, 0);
    client->out.units_limit = client->out.units_sent + 3;
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(pair_send(pair, CLIENT, i, 1000, 0));
        pair_transmit(pair, CLIENT);
        pass_short_of_memory(second_ns * 3 / 10);
    }
    assert_true(pair_send(pair, CLIENT, 3, 1000, 0));
    for (int i = 0; i < 30; i++) { /* 1.5 seconds, and 0.6 since the last of them ended */
        server->ping_due = true;
        pair_transmit(pair, SERVER);
        pass_short_of_memory(second_ns / 20);
    }
    assert_int_equal(client->out.message_count, 1);
    assert_int_equal(client->state, FLOW_OPEN);
    pass_short_of_memory(2 * pair->config.dead_ns);
    assert_int_equal(client->reason, TE_R_NO_RESOURCES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_not_finished_ends_the_flow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_goes_on_slowly_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_message_is_judged_for_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(losses_are_no_stall, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whole_messages_wait_in_vain_for_one_that_never_began,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(and_are_waited_for_with_one_that_goes_on, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_taken_ends_the_flow_where_memory_is_short,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(and_does_so_whatever_else_the_peer_says, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_takes_nothing_is_waited_for_while_memory_goes_round,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_takes_a_little_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_gives_a_little_credit_is_waited_for, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(messages_that_end_are_waited_for, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
