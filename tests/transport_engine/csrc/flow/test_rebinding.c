/* A peer that goes on from another address, and a peer that has somebody else's flooded by saying
 * so: what goes there before it has answered is no more than thrice what came from there. */
#include "pair.h"

enum { MESSAGE_BYTES = 900000, FACTOR = 3, STEPS_MAX = 1000 };

static const struct te_endpoint elsewhere = {{9}, 9, 0};

static struct pair *pair;
static struct flow *server;

static int set_up(void **state) {
    (void)state;
    pair = pair_open(5);
    pair_establish(pair);
    exchange(pair, 20, 3000, 0);
    server = &pair->flows[SERVER];
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    pair_close(pair);
    return 0;
}

/* A packet of `body` that comes to the server from elsewhere. Returns its size. */
static size_t forge(const uint8_t *body, uint32_t body_bytes) {
    struct packet packet = {.type = PACKET_DATA, .number = server->sack.ranges[0].last + 1,
                            .body = body, .body_bytes = body_bytes};
    if (server->remote.port != elsewhere.port) {
        assert_true(flow_may_rebind(server, &packet));
        flow_rebind(server, &elsewhere, 12345);
    }
    flow_receive(server, &pair->store, &packet, pair->now_ns);
    return PACKET_HEADER_BYTES + body_bytes + PACKET_TRAILER_BYTES;
}

/* Lets the server say what it likes. Returns the bytes of that. */
static size_t listen_to_it(void) {
    uint8_t out[PACKET_BYTES_MAX];
    size_t total_bytes = 0;
    size_t size_bytes;
    while ((size_bytes = flow_transmit(server, &pair->store, pair->now_ns, out)) > 0) {
        total_bytes += size_bytes;
    }
    return total_bytes;
}

/* Until the server's next event. */
static void wait_for_it(void) {
    uint64_t next_ns = flow_next_ns(server);
    pair->now_ns = next_ns > pair->now_ns ? next_ns : pair->now_ns + 1;
    flow_timeout(server, &pair->store, pair->now_ns);
}

static void a_silent_address_gets_thrice_what_came_and_costs_no_time(void **state) {
    static const uint8_t ping[] = {FRAME_PING};
    (void)state;
    assert_true(pair_send(pair, SERVER, 1, MESSAGE_BYTES, 0));
    size_t came_bytes = forge(ping, sizeof ping);
    size_t went_bytes = 0;
    for (int i = 0; server->state == FLOW_OPEN; i++) {
        assert_true(i < STEPS_MAX);
        went_bytes += listen_to_it();
        assert_true(went_bytes <= FACTOR * came_bytes);
        if (i < 3) {
            came_bytes += forge(ping, sizeof ping);
        } else {
            wait_for_it();
        }
    }
    assert_true(went_bytes > 0); /* else nobody could answer */
    assert_int_equal(server->reason, TE_R_PEER_DEAD);
}

static void a_peer_that_moved_goes_on(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 50; i++) {
        const uint64_t number = server->ledger.next_number;
        flow_rebind(&pair->flows[i % 2], &elsewhere, i * 4321);
        exchange(pair, 30, 20000, (uint8_t)(i % 3));
        assert_true(server->ledger.next_number > number);
        for (int step = 0; pair->flows[i % 2].rebinding.number != 0; step++) {
            assert_true(step < STEPS_MAX && pair_step(pair));
        }
    }
    assert_int_equal(pair->counters.rebinds, 50);
}

static void a_peer_that_moved_goes_on_over_a_bad_path(void **state) {
    pair->loss_ppm = 200000;
    pair->duplicate_ppm = 100000;
    pair->jitter_ns = 100000;
    a_peer_that_moved_goes_on(state);
}

/* Of one range, up to and with `last`. */
static void acknowledge(uint64_t last, uint32_t length) {
    uint8_t body[ACK_HEADER_BYTES];
    struct ack_frame ack = {.count = 1, .ranges = {{.first = last - length + 1, .last = last}}};
    forge(body, (uint32_t)frame_write_ack(body, &ack));
}

static void who_guesses_a_number_is_found_out(void **state) {
    static const uint8_t ping[] = {FRAME_PING};
    (void)state;
    uint64_t before = server->ledger.next_number;
    forge(ping, sizeof ping);
    assert_true(server->ledger.next_number > before);
    listen_to_it();
    acknowledge(before - 1, 1); /* was sent before */
    assert_int_equal(server->state, FLOW_OPEN);
    assert_int_not_equal(server->rebinding.number, 0);
    acknowledge(before, 1);
    assert_int_equal(server->reason, TE_R_PROTOCOL);
}

static void who_claims_all_numbers_is_found_out(void **state) {
    static const uint8_t ping[] = {FRAME_PING};
    (void)state;
    uint64_t before = server->ledger.next_number;
    forge(ping, sizeof ping);
    listen_to_it();
    uint64_t last = server->ledger.next_number - 1;
    acknowledge(last, (uint32_t)(last - before) + 2);
    assert_int_equal(server->reason, TE_R_PROTOCOL);
}

/* Also behind others, which were sent. */
static void who_guesses_several_is_found_out(void **state) {
    static const uint8_t ping[] = {FRAME_PING};
    (void)state;
    uint64_t before = server->ledger.next_number;
    forge(ping, sizeof ping);
    listen_to_it();
    uint8_t body[ACK_HEADER_BYTES + ACK_RANGE_BYTES];
    uint64_t last = server->ledger.next_number - 1;
    struct ack_frame ack = {.count = 2, .ranges = {{last, last}, {before, before}}};
    forge(body, (uint32_t)frame_write_ack(body, &ack));
    assert_int_equal(server->reason, TE_R_PROTOCOL);
}

static void who_got_the_packet_is_believed(void **state) {
    static const uint8_t ping[] = {FRAME_PING};
    (void)state;
    assert_true(pair_send(pair, SERVER, 1, MESSAGE_BYTES, 0));
    size_t came_bytes = forge(ping, sizeof ping);
    assert_true(listen_to_it() <= FACTOR * came_bytes);
    acknowledge(server->ledger.next_number - 1, 1);
    assert_int_equal(server->state, FLOW_OPEN);
    assert_int_equal(server->rebinding.number, 0);
    assert_true(listen_to_it() > 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_silent_address_gets_thrice_what_came_and_costs_no_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_peer_that_moved_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_peer_that_moved_goes_on_over_a_bad_path, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_guesses_a_number_is_found_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_claims_all_numbers_is_found_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_guesses_several_is_found_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_got_the_packet_is_believed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
