/* The ends of a flow: asked for, told by the peer, or forced by what the peer sends. */
#include "flow/pair.h"

static struct pair *pair;
static struct flow *client;
static struct flow *server;

static int set_up(void **state) {
    (void)state;
    pair = pair_open(1);
    client = &pair->flows[CLIENT];
    server = &pair->flows[SERVER];
    pair_establish(pair);
    exchange(pair, 5, 100, 0);
    while (client->ledger.count + server->ledger.count > 0) {
        assert_true(pair_step(pair));
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    pair_close(pair);
    return 0;
}

/* Hands the server a packet of the client's with this body. */
static void receive(const uint8_t *body, size_t body_bytes) {
    struct packet packet = {.type = PACKET_DATA, .number = client->ledger.next_number++,
                            .body = body, .body_bytes = (uint32_t)body_bytes};
    flow_receive(server, &pair->store, &packet, pair->now_ns);
}

static void receive_close(uint16_t reason) {
    uint8_t body[CLOSE_BYTES];
    receive(body, frame_write_close(body, reason));
}

static void step_until_closed(const struct flow *flow) {
    for (int i = 0; flow->state != FLOW_CLOSED; i++) {
        assert_true(i < 10000 && pair_step(pair));
    }
}

static void a_close_gives_its_reason(void **state) {
    (void)state;
    for (uint16_t reason = 0; reason < 300; reason++) {
        bool is_kept = reason == TE_R_ENGINE_STOPPED || reason == TE_R_NO_RESOURCES ||
                       reason == TE_R_PROTOCOL || reason == TE_R_STALLED;
        struct flow before = *server;
        receive_close(reason);
        if (reason == TE_R_NONE) {
            assert_int_equal(server->state, FLOW_OPEN);
        } else {
            assert_int_equal(server->state, FLOW_CLOSED);
            assert_int_equal(server->reason, is_kept ? reason : TE_R_PEER_CLOSED);
            assert_false(flow_is_over(server)); /* one acknowledgement is due */
            uint8_t out[PACKET_BYTES_MAX];
            assert_true(flow_transmit(server, &pair->store, pair->now_ns, out) > 0);
            assert_true(flow_is_over(server));
        }
        *server = before;
    }
}

static void closing_twice_is_closing_once(void **state) {
    (void)state;
    assert_true(pair_send(pair, CLIENT, 9, 3000, 0));
    flow_close(client, &pair->store, TE_R_CLOSED, true, pair->now_ns);
    uint64_t deadline_ns = client->close_deadline_ns;
    flow_close(client, &pair->store, TE_R_ENGINE_STOPPED, true, pair->now_ns + 5);
    assert_int_equal(client->reason, TE_R_CLOSED);
    assert_int_equal(client->close_deadline_ns, deadline_ns);
    assert_int_equal(client->out.message_count, 1);
    flow_close(client, &pair->store, TE_R_ENGINE_STOPPED, false, pair->now_ns); /* in a hurry */
    assert_int_equal(client->out.message_count, 0);
    step_until_closed(server);
    assert_int_equal(server->reason, TE_R_ENGINE_STOPPED);
    step_until_closed(client);
    flow_close(client, &pair->store, TE_R_PROTOCOL, false, pair->now_ns);
    assert_int_equal(client->reason, TE_R_ENGINE_STOPPED);
}

static void a_peer_that_does_not_answer_is_left(void **state) {
    (void)state;
    pair->loss_ppm = 1000000;
    pair_lose(pair);
    uint64_t start_ns = pair->now_ns;
    flow_close(client, &pair->store, TE_R_CLOSED, true, pair->now_ns);
    step_until_closed(client);
    assert_int_equal(client->reason, TE_R_CLOSED);
    assert_true(pair->now_ns - start_ns <= pair->config.dead_ns);
}

static void a_lost_close_is_said_again(void **state) {
    (void)state;
    pair->drop_mask = 1;
    flow_close(client, &pair->store, TE_R_CLOSED, true, pair->now_ns);
    step_until_closed(server);
    step_until_closed(client);
    assert_int_equal(server->reason, TE_R_PEER_CLOSED);
}

/* Also where later packets are acknowledged, and so nothing asks for a probe. */
static void a_close_lost_among_others_is_said_again(void **state) {
    (void)state;
    pair->drop_mask = 1;
    flow_close(client, &pair->store, TE_R_CLOSED, true, pair->now_ns);
    pair_transmit(pair, CLIENT);
    client->credit_due = true;
    pair_transmit(pair, CLIENT);
    step_until_closed(server);
    assert_int_equal(server->reason, TE_R_PEER_CLOSED);
}

static void a_reset_does_not_change_why_we_close(void **state) {
    (void)state;
    assert_true(pair_send(pair, CLIENT, 9, 3000, 0));
    flow_close(client, &pair->store, TE_R_CLOSED, true, pair->now_ns);
    struct packet reset = {.type = PACKET_RESET};
    flow_receive(client, &pair->store, &reset, pair->now_ns);
    assert_int_equal(client->state, FLOW_CLOSED);
    assert_int_equal(client->reason, TE_R_CLOSED);
    receive_close(TE_R_CLOSED);
    receive_close(TE_R_PROTOCOL); /* after the end nothing is read */
    assert_int_equal(server->reason, TE_R_PEER_CLOSED);
}

/* It may come in one burst with what ended the flow, and before anybody was told. */
static void nor_why_it_ended(void **state) {
    (void)state;
    const struct packet reset = {.type = PACKET_RESET};
    flow_close(client, &pair->store, TE_R_CLOSED, true, pair->now_ns);
    step_until_closed(client);
    flow_receive(client, &pair->store, &reset, pair->now_ns);
    flow_receive(server, &pair->store, &reset, pair->now_ns);
    assert_int_equal(client->reason, TE_R_CLOSED);
    assert_int_equal(server->reason, TE_R_PEER_CLOSED);
}

/* What ends the flow may ask for an answer itself: it goes out at once, for nobody waits for it. */
static void nothing_waits_in_a_closed_flow(void **state) {
    (void)state;
    uint8_t out[PACKET_BYTES_MAX];
    uint8_t body[ACK_HEADER_BYTES + CREDIT_BYTES];
    flow_close(server, &pair->store, TE_R_CLOSED, false, pair->now_ns);
    assert_true(flow_transmit(server, &pair->store, pair->now_ns, out) > 0);
    uint64_t number = server->ledger.next_number - 1;
    const struct ack_frame ack = {.count = 1, .ranges = {{number, number}}};
    size_t body_bytes = frame_write_ack(body, &ack);
    body_bytes += frame_write_credit(body + body_bytes, 1);
    receive(body, body_bytes);
    assert_int_equal(server->state, FLOW_CLOSED);
    flow_transmit(server, &pair->store, pair->now_ns, out);
    assert_true(flow_is_over(server));
}

static void expect_violation(void) {
    assert_int_equal(server->state, FLOW_CLOSING);
    assert_int_equal(server->reason, TE_R_PROTOCOL);
    pair_transmit(pair, SERVER);
    step_until_closed(client);
    assert_int_equal(client->reason, TE_R_PROTOCOL); /* the peer is told */
}

static void an_unknown_frame_is_a_violation(void **state) {
    (void)state;
    receive((const uint8_t *)"\x01\x06", 2);
    expect_violation();
}

static void an_acknowledgement_of_the_future_is_a_violation(void **state) {
    (void)state;
    uint8_t body[ACK_HEADER_BYTES];
    uint64_t number = server->ledger.next_number;
    const struct ack_frame ack = {.count = 1, .ranges = {{number, number}}};
    receive(body, frame_write_ack(body, &ack));
    expect_violation();
}

static void too_long_a_message_is_a_violation(void **state) {
    (void)state;
    uint8_t body[MESSAGE_HEADER_BYTES + 1] = {0};
    const struct message_frame frame = {.id = 5, .total_bytes = UINT32_MAX, .size_bytes = 1};
    frame_write_message(body, &frame);
    receive(body, sizeof body);
    expect_violation();
}

/* Who answers no CLOSE, and breaks the protocol again and again, does not keep the flow. */
static void violations_do_not_put_the_end_off(void **state) {
    (void)state;
    flow_close(server, &pair->store, TE_R_CLOSED, true, pair->now_ns);
    uint64_t end_ns = pair->now_ns + pair->config.dead_ns;
    while (server->state == FLOW_CLOSING && pair->now_ns < end_ns) {
        uint8_t out[PACKET_BYTES_MAX];
        receive((const uint8_t *)"\x01\x06", 2);
        while (flow_transmit(server, &pair->store, pair->now_ns, out) > 0) {
        }
        pair->now_ns += pair->config.dead_ns / 4;
        flow_timeout(server, &pair->store, pair->now_ns);
    }
    assert_int_equal(server->state, FLOW_CLOSED);
}

/* A probe says something even if there is nothing to repeat; padding alone asks for no answer. */
static void a_probe_without_content_is_a_ping(void **state) {
    (void)state;
    uint8_t out[PACKET_BYTES_MAX];
    client->probes_due = 1; /* its packets were acknowledged before it could go out */
    size_t size_bytes = flow_transmit(client, &pair->store, pair->now_ns, out);
    assert_int_equal(size_bytes, PACKET_BYTES_MIN + PING_BYTES);
    assert_int_equal(out[PACKET_HEADER_BYTES], FRAME_PING);
    const uint8_t padding[100] = {0};
    uint8_t count = server->ack_count;
    receive(padding, sizeof padding);
    assert_int_equal(server->ack_count, count);
    assert_int_equal(server->sack.ranges[0].last, client->ledger.next_number - 1);
}

/* The very first packet asks for an answer at once, and is then refused: there is nothing to
 * acknowledge, and nothing stays due for ever. */
static void a_refused_packet_is_not_acknowledged(void **state) {
    (void)state;
    struct pair *fresh = pair_open(2);
    pair_establish(fresh);
    struct flow *flow = &fresh->flows[SERVER];
    uint8_t out[PACKET_BYTES_MAX];
    const uint8_t body[] = {FRAME_PING, 0xFF};
    struct packet packet = {.type = PACKET_DATA, .number = flow->sack.floor, .body = body,
                            .body_bytes = sizeof body};
    assert_int_equal(flow->sack.count, 0);
    flow_receive(flow, &fresh->store, &packet, fresh->now_ns);
    assert_int_equal(flow->reason, TE_R_PROTOCOL);
    assert_true(flow_transmit(flow, &fresh->store, fresh->now_ns, out) > 0);
    assert_int_equal(out[PACKET_HEADER_BYTES], FRAME_CLOSE);
    assert_int_equal(flow->ack_due_ns, UINT64_MAX);
    assert_int_equal(flow_transmit(flow, &fresh->store, fresh->now_ns, out), 0);
    pair_close(fresh);
}

/* Numbers that cannot be this flow's are not even looked at. */
static void far_numbers_are_ignored(void **state) {
    (void)state;
    struct packet packet = {.type = PACKET_DATA, .number = server->sack.floor + (1 << 30),
                            .body = (const uint8_t *)"\x06", .body_bytes = 1};
    assert_false(flow_may_rebind(server, &packet));
    flow_receive(server, &pair->store, &packet, pair->now_ns);
    assert_int_equal(server->state, FLOW_OPEN);
    packet.number--;
    assert_true(flow_may_rebind(server, &packet));
    flow_receive(server, &pair->store, &packet, pair->now_ns);
    assert_int_equal(server->reason, TE_R_PROTOCOL);
    assert_false(flow_may_rebind(server, &packet)); /* it closes */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_close_gives_its_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_twice_is_closing_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_peer_that_does_not_answer_is_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lost_close_is_said_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_close_lost_among_others_is_said_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_reset_does_not_change_why_we_close, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nor_why_it_ended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_waits_in_a_closed_flow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_unknown_frame_is_a_violation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_acknowledgement_of_the_future_is_a_violation, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_probe_without_content_is_a_ping, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refused_packet_is_not_acknowledged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(far_numbers_are_ignored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_long_a_message_is_a_violation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(violations_do_not_put_the_end_off, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
