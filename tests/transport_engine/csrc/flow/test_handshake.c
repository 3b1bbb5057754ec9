/* Opening a flow: what a caller believes of the answers it gets, and when it gives up. */
#include "flow/pair.h"

static struct pair *pair;
static struct flow *client;

static int set_up(void **state) {
    (void)state;
    pair = pair_open(1);
    client = &pair->flows[CLIENT];
    pair_connect(pair);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    pair_close(pair);
    return 0;
}

static void answer(uint8_t type, const uint8_t *body, uint32_t body_bytes) {
    struct packet packet = {.type = type, .source_id = 5, .number = 1, .body = body,
                            .body_bytes = body_bytes};
    flow_receive(client, &pair->store, &packet, pair->now_ns);
}

/* Returns the size of the next datagram, which is an INIT, or 0. */
static size_t next_init(uint8_t token[TOKEN_BYTES]) {
    uint8_t bytes[PACKET_BYTES_MAX];
    size_t size_bytes = flow_transmit(client, &pair->store, pair->now_ns, bytes);
    if (size_bytes > 0) {
        assert_int_equal(bytes[1], PACKET_INIT);
        memcpy(token, bytes + PACKET_HEADER_BYTES + 16, TOKEN_BYTES);
    }
    return size_bytes;
}

static void a_retry_is_answered_once(void **state) {
    (void)state;
    const uint8_t retry[TOKEN_BYTES] = "a token it is";
    uint8_t token[TOKEN_BYTES];
    assert_int_equal(next_init(token), INIT_BYTES);
    assert_int_equal(next_init(token), 0);
    answer(PACKET_RETRY, retry, TOKEN_BYTES - 1); /* cut short */
    assert_int_equal(next_init(token), 0);
    pair->now_ns += 70000;
    answer(PACKET_RETRY, retry, TOKEN_BYTES);
    assert_int_equal(client->rtt.srtt_ns, 70000);
    assert_int_equal(next_init(token), pair->config.packet_bytes);
    assert_memory_equal(token, retry, TOKEN_BYTES);
    answer(PACKET_RETRY, retry, TOKEN_BYTES); /* a copy of it */
    assert_int_equal(next_init(token), 0);
}

/* It may be to the one before, and that is longer ago. */
static void an_answer_to_an_init_that_was_repeated_is_no_sample(void **state) {
    (void)state;
    const uint8_t retry[TOKEN_BYTES] = "a token it is";
    uint8_t token[TOKEN_BYTES];
    assert_int_equal(next_init(token), INIT_BYTES);
    pair->now_ns = flow_next_ns(client);
    flow_timeout(client, &pair->store, pair->now_ns);
    assert_int_equal(next_init(token), INIT_BYTES);
    const struct rtt before = client->rtt;
    pair->now_ns += 1000;
    answer(PACKET_RETRY, retry, TOKEN_BYTES);
    assert_int_equal(next_init(token), pair->config.packet_bytes);
    assert_memory_equal(&client->rtt, &before, sizeof before);
}

static void bad_answers_change_nothing(void **state) {
    (void)state;
    uint8_t body[16] = {0};
    answer(PACKET_ACCEPT, body, sizeof body); /* segments of no bytes */
    parameters_write(body, &pair->config.parameters);
    answer(PACKET_ACCEPT, body, sizeof body - 1);
    struct packet nameless = {.type = PACKET_ACCEPT, .body = body, .body_bytes = sizeof body};
    flow_receive(client, &pair->store, &nameless, pair->now_ns);
    answer(PACKET_DATA, body, 1);
    answer(PACKET_RESET, body, 0);
    answer(PACKET_INIT, body, sizeof body);
    assert_int_equal(client->state, FLOW_CONNECTING);
    answer(PACKET_ACCEPT, body, sizeof body);
    assert_int_equal(client->state, FLOW_OPEN);
}

static void another_version_ends_it(void **state) {
    (void)state;
    answer(PACKET_VERSIONS, (const uint8_t *)"\x02", 1);
    assert_int_equal(client->state, FLOW_CLOSED);
    assert_int_equal(client->reason, TE_R_VERSION);
}

static void a_refusal_without_a_reason_is_one(void **state) {
    (void)state;
    answer(PACKET_REFUSE, (const uint8_t *)"\x07", 1);
    assert_int_equal(client->reason, TE_R_REFUSED);
}

static void it_can_be_given_up(void **state) {
    (void)state;
    uint8_t token[TOKEN_BYTES];
    flow_close(client, &pair->store, TE_R_CLOSED, true, pair->now_ns);
    assert_int_equal(client->state, FLOW_CLOSED);
    assert_int_equal(client->reason, TE_R_CLOSED);
    assert_true(flow_is_over(client));
    assert_int_equal(next_init(token), 0);
    assert_int_equal(flow_next_ns(client), 0);
}

/* Nine waits are alike, then they double. That ends, and so does counting (docs/wire.md §4). */
static void patience_has_no_end_but_the_limit(void **state) {
    (void)state;
    uint8_t token[TOKEN_BYTES];
    pair->config.handshake_timeout_ns = UINT64_C(200) * 1000000000;
    uint64_t count = 0;
    while (client->state == FLOW_CONNECTING) {
        flow_timeout(client, &pair->store, pair->now_ns);
        count += next_init(token) > 0;
        uint64_t whole_ns = UINT64_C(2000000) << (count < 10 ? 0 : count < 14 ? count - 9 : 5);
        bool is_over = client->state != FLOW_CONNECTING;
        uint64_t wait_ns = is_over ? whole_ns : flow_next_ns(client) - pair->now_ns;
        assert_in_range(wait_ns, count < 20 ? whole_ns / 2 : 0, whole_ns);
        pair->now_ns += wait_ns;
    }
    assert_true(count > 3000 && count < 6400);
    assert_int_equal(client->reason, TE_R_NO_ANSWER);
}

static void a_lost_accept_is_repeated(void **state) {
    (void)state;
    pair->drop_mask = 2;
    while (client->state == FLOW_CONNECTING) {
        assert_true(pair_step(pair));
    }
    assert_int_equal(client->state, FLOW_OPEN);
    assert_true(pair->packets >= 4); /* INIT, ACCEPT, and both again */
    uint8_t bytes[PACKET_BYTES_MAX];
    struct packet init = {.type = PACKET_INIT};
    pair_transmit(pair, CLIENT);
    flow_receive(client, &pair->store, &init, pair->now_ns); /* only a server is asked */
    assert_int_equal(flow_transmit(client, &pair->store, pair->now_ns, bytes), 0);
}

static void a_free_flow_does_nothing(void **state) {
    (void)state;
    uint8_t bytes[PACKET_BYTES_MAX];
    struct flow nothing = {.state = FLOW_FREE};
    assert_int_equal(flow_next_ns(&nothing), UINT64_MAX);
    assert_int_equal(flow_transmit(&nothing, &pair->store, pair->now_ns, bytes), 0);
    flow_timeout(&nothing, &pair->store, pair->now_ns);
    assert_int_equal(nothing.state, FLOW_FREE);
}

static void a_profile_and_a_link_decide(void **state) {
    (void)state;
    struct flow_config config = {.profile = PROFILE_CLOUD};
    flow_config_derive(&config, 1500);
    assert_int_equal(config.packet_bytes, 1452);
    assert_int_equal(config.parameters.segment_bytes, 1396);
    assert_int_equal(config.rto_min_ns, 5000000);
    assert_int_equal(config.ack_delay_ns, 100000);
    config.profile = PROFILE_RACK;
    flow_config_derive(&config, 65535);
    assert_int_equal(config.packet_bytes, PACKET_BYTES_MAX);
    assert_int_equal(config.rto_min_ns, 1000000);
    assert_int_equal(config.ack_delay_ns, 20000);
    flow_config_derive(&config, flow_mtu_bytes_min());
    assert_int_equal(config.parameters.segment_bytes, SEGMENT_BYTES_MIN);
}

/* What a driver is told that could ask its neighbours for their addresses again. */
static void silence_is_noticed(void **state) {
    (void)state;
    assert_false(flow_is_unanswered(client)); /* nothing was said */
    pair_transmit(pair, CLIENT);
    assert_true(flow_is_unanswered(client));
    for (int i = 0; client->state == FLOW_CONNECTING; i++) {
        assert_true(i < 1000 && pair_step(pair));
    }
    exchange(pair, 5, 3000, 0);
    assert_false(flow_is_unanswered(client));
    pair->loss_ppm = 1000000;
    assert_true(pair_send(pair, CLIENT, 1, 1000, 0));
    for (int i = 0; !flow_is_unanswered(client); i++) {
        assert_int_equal(client->state, FLOW_OPEN);
        assert_true(i < 1000 && pair_step(pair));
        pair_transmit(pair, CLIENT);
    }
    assert_true(client->probe_count > 1);
}

/* ---- how long packets may be ---- */

enum { RTT_NS = 70000, MTU_1280 = 1280 - 48, ETHERNET = 1500 - 48, JUMBO = PACKET_BYTES_MAX };

static const uint8_t tokens[][TOKEN_BYTES] = {"the first", "the second", "the third"};

static void offer(uint32_t packet_bytes) {
    pair->config.packet_bytes = packet_bytes;
    pair->config.parameters.segment_bytes =
        packet_bytes - PACKET_BYTES_MIN - MESSAGE_HEADER_BYTES;
    pair_connect(pair);
}

/* Asks for a token, and gets one from a listener of so long segments; 0: that does not say. */
static void give_token(const uint8_t *token, uint32_t segment_bytes) {
    uint8_t body[TOKEN_BYTES + 4], sent[TOKEN_BYTES];
    assert_int_equal(next_init(sent), INIT_BYTES);
    assert_memory_equal(sent, &(uint8_t[TOKEN_BYTES]){0}, TOKEN_BYTES);
    memcpy(body, token, TOKEN_BYTES);
    store_u32(body + TOKEN_BYTES, segment_bytes);
    pair->now_ns += RTT_NS;
    answer(PACKET_RETRY, body, segment_bytes == 0 ? TOKEN_BYTES : sizeof body);
}

static void wait_for_init(void) {
    pair->now_ns = flow_next_ns(client);
    flow_timeout(client, &pair->store, pair->now_ns);
}

/* Long INITs in vain, and behind the last of them the short one. */
static void send_in_vain(const uint8_t *token, uint32_t size_bytes) {
    uint8_t sent[TOKEN_BYTES];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(next_init(sent), size_bytes);
        assert_memory_equal(sent, token, TOKEN_BYTES);
        assert_int_equal(next_init(sent), 0);
        answer(PACKET_RETRY, token, TOKEN_BYTES); /* a late copy says nothing */
        assert_int_equal(next_init(sent), 0);
        wait_for_init();
    }
    assert_int_equal(next_init(sent), INIT_BYTES);
    assert_memory_equal(sent, &(uint8_t[TOKEN_BYTES]){0}, TOKEN_BYTES);
    assert_int_equal(next_init(sent), 0);
}

static void accept_with(uint32_t segment_bytes) {
    uint8_t body[16];
    const struct parameters parameters = {segment_bytes, 1 << 20, 64};
    parameters_write(body, &parameters);
    answer(PACKET_ACCEPT, body, sizeof body);
    assert_int_equal(client->state, FLOW_OPEN);
}

static void a_way_that_loses_long_packets_is_found(void **state) {
    (void)state;
    static const uint32_t sizes[] = {JUMBO, ETHERNET, MTU_1280};
    const uint32_t own = JUMBO - 56;
    uint64_t ids[3];
    uint8_t sent[TOKEN_BYTES];
    offer(JUMBO);
    for (int i = 0; i < 3; i++) {
        ids[i] = client->local_id;
        assert_true(i == 0 || (ids[i] != ids[i - 1] && ids[i] != ids[0]));
        assert_int_equal(ids[i] << 24, ids[0] << 24); /* the slot in the table, and ... */
        assert_int_equal(ids[i] >> 60, ids[0] >> 60); /* ... the engine of a team are as before */
        give_token(tokens[i], own);
        if (i < 2) {
            send_in_vain(tokens[i], sizes[i]);
            answer(PACKET_RETRY, tokens[i], TOKEN_BYTES);
        }
    }
    assert_int_equal(next_init(sent), MTU_1280);
    accept_with(own);
    assert_int_equal(client->packet_bytes, MTU_1280);
    assert_int_equal(client->congestion.packet_bytes, MTU_1280);
    assert_int_equal(flow_narrow_mtu_bytes(client), 1280);
    assert_int_equal(pair->counters.narrowed, 1);
}

/* Nor would more be sent to a listener that takes no more. */
static void a_way_that_carries_all_that_both_take_is_not_narrow(void **state) {
    (void)state;
    uint8_t sent[TOKEN_BYTES];
    offer(JUMBO);
    give_token(tokens[0], 0);
    send_in_vain(tokens[0], JUMBO);
    answer(PACKET_RETRY, tokens[0], TOKEN_BYTES);
    give_token(tokens[1], 0);
    assert_int_equal(next_init(sent), ETHERNET);
    accept_with(ETHERNET - 56);
    assert_int_equal(flow_narrow_mtu_bytes(client), 0);
    assert_int_equal(pair->counters.narrowed, 0);
}

/* Where nothing is shorter, nothing is left to try. */
static void the_shortest_is_tried_to_the_end(void **state) {
    (void)state;
    uint8_t sent[TOKEN_BYTES];
    offer(MTU_1280);
    give_token(tokens[0], MTU_1280 - 56);
    const uint64_t id = client->local_id;
    send_in_vain(tokens[0], MTU_1280);
    answer(PACKET_RETRY, tokens[0], TOKEN_BYTES);
    assert_int_equal(next_init(sent), 0);
    wait_for_init();
    assert_int_equal(next_init(sent), MTU_1280);
    assert_int_equal(client->local_id, id);
    accept_with(MTU_1280 - 56);
    assert_int_equal(flow_narrow_mtu_bytes(client), 0);
    assert_int_equal(pair->counters.narrowed, 0);
}

/* A listener that stands still, or a way that is long, answers in the end. */
static void an_answer_that_is_late_is_one(void **state) {
    (void)state;
    offer(ETHERNET);
    give_token(tokens[0], ETHERNET - 56);
    send_in_vain(tokens[0], ETHERNET);
    accept_with(ETHERNET - 56);
    answer(PACKET_RETRY, tokens[0], TOKEN_BYTES); /* to the short INIT, but it is over */
    assert_int_equal(client->state, FLOW_OPEN);
    assert_int_equal(client->packet_bytes, ETHERNET);
    assert_int_equal(flow_narrow_mtu_bytes(client), 0);
}

/* As many INITs are on a long way when the first RETRY comes as get one each. */
static void a_long_way_is_not_a_narrow_one(void **state) {
    (void)state;
    const uint64_t round_trip_ns = 150000000;
    uint8_t sent[TOKEN_BYTES];
    int counts[2] = {0};
    offer(ETHERNET);
    const uint64_t begun_ns = pair->now_ns;
    while (pair->now_ns < begun_ns + round_trip_ns) {
        counts[0] += next_init(sent) == INIT_BYTES;
        wait_for_init();
    }
    for (pair->now_ns = begun_ns + round_trip_ns; pair->now_ns < begun_ns + 2 * round_trip_ns;) {
        answer(PACKET_RETRY, tokens[0], TOKEN_BYTES);
        counts[1] += next_init(sent) == ETHERNET;
        wait_for_init();
    }
    assert_true(counts[0] > 4 && counts[1] > 4);
    accept_with(ETHERNET - 56);
    assert_int_equal(client->packet_bytes, ETHERNET);
    assert_int_equal(pair->counters.narrowed, 0);
}

/* A listener says with the token which segments it takes; one of before does not. */
static void a_listener_of_shorter_packets_is_believed(void **state) {
    (void)state;
    static const uint32_t said[] = {ETHERNET - 56, 1, UINT32_MAX, 0};
    static const uint32_t init_bytes[] = {ETHERNET, SEGMENT_BYTES_MIN + 56, JUMBO, JUMBO};
    uint8_t sent[TOKEN_BYTES];
    for (int i = 0; i < 4; i++) {
        offer(JUMBO);
        give_token(tokens[0], said[i]);
        assert_int_equal(next_init(sent), init_bytes[i]);
        accept_with(SEGMENT_BYTES_MIN);
        assert_int_equal(client->packet_bytes, SEGMENT_BYTES_MIN + 56);
        assert_int_equal(flow_narrow_mtu_bytes(client), 0);
        flow_fini(client, &pair->store);
    }
    assert_int_equal(pair->counters.narrowed, 0);
}

/* No packet is longer than the shorter of what both take, also of many small messages. */
static void packets_are_as_long_as_agreed(void **state) {
    (void)state;
    uint8_t bytes[PACKET_BYTES_MAX];
    uint8_t sent[TOKEN_BYTES];
    offer(JUMBO);
    give_token(tokens[0], 0);
    assert_int_equal(next_init(sent), JUMBO);
    accept_with(ETHERNET - 56);
    for (uint32_t i = 0; i < 8; i++) {
        assert_true(pair_send(pair, CLIENT, i, 1000, 0));
    }
    size_t size_bytes = flow_transmit(client, &pair->store, pair->now_ns, bytes);
    assert_in_range(size_bytes, 1000, ETHERNET);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_retry_is_answered_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_answer_to_an_init_that_was_repeated_is_no_sample,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_answers_change_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_version_ends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refusal_without_a_reason_is_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_can_be_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(patience_has_no_end_but_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lost_accept_is_repeated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_free_flow_does_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_profile_and_a_link_decide, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silence_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_way_that_loses_long_packets_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_way_that_carries_all_that_both_take_is_not_narrow,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_shortest_is_tried_to_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_answer_that_is_late_is_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_way_is_not_a_narrow_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_listener_of_shorter_packets_is_believed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(packets_are_as_long_as_agreed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
