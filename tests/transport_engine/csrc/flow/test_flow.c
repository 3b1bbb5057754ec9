/* The flow as a pair on virtual time: what its users are promised, under faults. */
#include "flow/pair.h"

static void handshake_opens_both_sides(void **state) {
    (void)state;
    struct pair *pair = pair_open(1);
    pair_establish(pair);
    assert_int_equal(pair->flows[SERVER].state, FLOW_OPEN);
    assert_int_equal(pair->flows[CLIENT].remote_id, pair->flows[SERVER].local_id);
    assert_int_equal(pair->flows[SERVER].remote_id, pair->flows[CLIENT].local_id);
    assert_int_equal(pair->flows[CLIENT].rtt.latest_ns, 2 * pair->delay_ns);
    pair_close(pair);
}

static void handshake_survives_loss(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct pair *pair = pair_open(seed);
        pair->loss_ppm = 300000;
        pair_establish(pair);
        pair_close(pair);
    }
}

static void handshake_gives_up(void **state) {
    (void)state;
    struct pair *pair = pair_open(1);
    pair->loss_ppm = 1000000;
    uint64_t start_ns = pair->now_ns;
    pair_connect(pair);
    while (pair->flows[CLIENT].state == FLOW_CONNECTING) {
        assert_true(pair_step(pair));
    }
    assert_int_equal(pair->flows[CLIENT].reason, TE_R_NO_ANSWER);
    assert_int_equal(pair->now_ns - start_ns, pair->config.handshake_timeout_ns);
    pair_close(pair);
}

static void messages_arrive_once_whole(void **state) {
    (void)state;
    struct pair *pair = pair_open(1);
    pair_establish(pair);
    exchange(pair, 2000, 3000, 0);
    assert_int_equal(pair->counters.packets_retransmitted, 0);
    pair_close(pair);
}

static void messages_survive_every_fault(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct pair *pair = pair_open(seed);
        pair_establish(pair);
        pair->loss_ppm = prng_below(&pair->prng, 300000);
        pair->duplicate_ppm = prng_below(&pair->prng, 300000);
        pair->corrupt_ppm = prng_below(&pair->prng, 200000);
        pair->jitter_ns = prng_below(&pair->prng, 200000);
        exchange(pair, 150, seed % 3 == 0 ? 40000 : 2000, (uint8_t)(seed % 2 ? 3 : 0));
        pair_close(pair);
    }
}

static void large_message_crosses(void **state) {
    (void)state;
    struct pair *pair = pair_open(1);
    pair_establish(pair);
    pair->loss_ppm = 20000;
    assert_true(pair_send(pair, CLIENT, 7, 1 << 20, 0));
    uint32_t number = UINT32_MAX;
    for (int steps = 0; number == UINT32_MAX; steps++) {
        assert_true(steps < 100000);
        pair_transmit(pair, CLIENT);
        assert_true(pair_step(pair));
        number = pair_take(pair, SERVER);
    }
    assert_int_equal(number, 7);
    pair_close(pair);
}

/* A lost last packet costs about two round trips, not a timeout of milliseconds. */
static void lost_tail_is_probed(void **state) {
    (void)state;
    struct pair *pair = pair_open(1);
    pair_establish(pair);
    exchange(pair, 50, 100, 0);
    for (int i = 0; i < 3; i++) { /* each time anew */
        uint64_t srtt_ns = pair->flows[CLIENT].rtt.srtt_ns;
        uint64_t start_ns = pair->now_ns;
        assert_true(pair_send(pair, CLIENT, 9, 500, 0));
        pair->drop_mask = 1;
        pair_transmit(pair, CLIENT);
        while (pair_take(pair, SERVER) != 9) {
            assert_true(pair_step(pair));
        }
        assert_true(pair->now_ns - start_ns <= 3 * srtt_ns + pair->config.ack_delay_ns);
        while (pair->flows[CLIENT].ledger.count > 0) {
            assert_true(pair_step(pair));
        }
    }
    assert_int_equal(pair->counters.timeouts, 0);
    pair_close(pair);
}

/* One lost packet delays its own message only; on a lane it delays its followers. */
static void loss_holds_up_its_own_message(void **state) {
    (void)state;
    for (uint8_t lane = 0; lane < 2; lane++) {
        struct pair *pair = pair_open(1);
        pair_establish(pair);
        exchange(pair, 20, 100, lane);
        for (uint32_t i = 0; i < 4; i++) {
            assert_true(pair_send(pair, CLIENT, 100 + i, 1300, lane));
        }
        pair->drop_mask = 1;
        pair_transmit(pair, CLIENT);
        uint32_t first = UINT32_MAX;
        while (first == UINT32_MAX) {
            assert_true(pair_step(pair));
            first = pair_take(pair, SERVER);
        }
        assert_int_equal(first, lane == 0 ? 101 : 100);
        pair_close(pair);
    }
}

static void slow_receiver_closes_the_credit(void **state) {
    (void)state;
    struct pair *pair = pair_open(1);
    pair->config.parameters.credit_units = 4;
    pair_establish(pair);
    for (uint32_t i = 0; i < 10; i++) {
        assert_true(pair_send(pair, CLIENT, i, 4000, 0));
    }
    pair_transmit(pair, CLIENT);
    uint64_t end_ns = pair->now_ns + 500000000;
    while (pair->now_ns < end_ns) {
        assert_true(pair_step(pair));
        assert_true(pair->flows[SERVER].in.units_started <= 4);
    }
    for (uint32_t taken = 0; taken < 10;) {
        assert_true(pair_step(pair));
        taken += pair_take(pair, SERVER) != UINT32_MAX;
        pair_transmit(pair, SERVER);
    }
    pair_close(pair);
}

static void close_delivers_what_was_sent(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct pair *pair = pair_open(seed);
        pair_establish(pair);
        pair->loss_ppm = 100000;
        for (uint32_t i = 0; i < 20; i++) {
            assert_true(pair_send(pair, CLIENT, i, 3000, 0));
        }
        flow_close(&pair->flows[CLIENT], &pair->store, TE_R_CLOSED, true, pair->now_ns);
        pair_transmit(pair, CLIENT);
        while (pair->flows[SERVER].state != FLOW_CLOSED) {
            assert_true(pair_step(pair));
        }
        assert_int_equal(pair->flows[SERVER].reason, TE_R_PEER_CLOSED);
        for (uint32_t i = 0; i < 20; i++) {
            assert_int_not_equal(pair_take(pair, SERVER), UINT32_MAX);
        }
        while (pair->flows[CLIENT].state != FLOW_CLOSED) {
            assert_true(pair_step(pair));
        }
        pair_close(pair);
    }
}

static void silent_peer_counts_as_dead(void **state) {
    (void)state;
    struct pair *pair = pair_open(1);
    pair_establish(pair);
    exchange(pair, 5, 100, 0);
    pair->loss_ppm = 1000000;
    uint64_t start_ns = pair->now_ns;
    while (pair->flows[CLIENT].state == FLOW_OPEN) {
        assert_true(pair_step(pair));
    }
    assert_int_equal(pair->flows[CLIENT].reason, TE_R_PEER_DEAD);
    assert_true(pair->now_ns - start_ns <= pair->config.keep_alive_ns + pair->config.dead_ns +
                                               2 * pair->delay_ns);
    pair_close(pair);
}

/* As with a netif that takes no packet: nothing happens but that time is over. */
static uint64_t unsent_until_closed_ns(struct pair *pair) {
    struct flow *flow = &pair->flows[CLIENT];
    const uint64_t start_ns = pair->now_ns;
    while (flow->state != FLOW_CLOSED) {
        assert_true(flow_patience_ns(flow) > pair->now_ns);
        pair->now_ns = flow_patience_ns(flow);
        flow_timeout(flow, &pair->store, pair->now_ns);
    }
    assert_int_equal(flow_patience_ns(flow), UINT64_MAX);
    return pair->now_ns - start_ns;
}

static void flow_that_cannot_send_ends(void **state) {
    (void)state;
    for (int is_busy = 0; is_busy < 2; is_busy++) {
        struct pair *pair = pair_open(1);
        pair_establish(pair);
        exchange(pair, 5, 100, 0);
        while (pair->flows[CLIENT].ledger.count > 0) {
            assert_true(pair_step(pair));
        }
        if (is_busy) {
            pair->loss_ppm = 1000000;
            assert_true(pair_send(pair, CLIENT, 5, 100, 0));
            pair_transmit(pair, CLIENT);
        }
        uint64_t patience_ns = pair->config.keep_alive_ns + pair->config.dead_ns;
        assert_true(unsent_until_closed_ns(pair) <= patience_ns);
        assert_int_equal(pair->flows[CLIENT].reason, TE_R_PEER_DEAD);
        pair_close(pair);
    }
    struct pair *pair = pair_open(1);
    pair_connect(pair);
    uint64_t left_ns =
        pair->flows[CLIENT].opened_ns + pair->config.handshake_timeout_ns - pair->now_ns;
    assert_int_equal(unsent_until_closed_ns(pair), left_ns);
    assert_int_equal(pair->flows[CLIENT].reason, TE_R_NO_ANSWER);
    pair_close(pair);
}

static void idle_flow_stays_open(void **state) {
    (void)state;
    struct pair *pair = pair_open(1);
    pair_establish(pair);
    uint64_t packets = pair->packets;
    uint64_t end_ns = pair->now_ns + 10000000000;
    while (pair->now_ns < end_ns) {
        assert_true(pair_step(pair));
    }
    assert_int_equal(pair->flows[CLIENT].state, FLOW_OPEN);
    assert_int_equal(pair->flows[SERVER].state, FLOW_OPEN);
    assert_true(pair->packets - packets <= 4 * 100); /* a ping and its answer, each 100 ms */
    pair_close(pair);
}

static void only_newer_packets_move_a_peer(void **state) {
    (void)state;
    struct pair *pair = pair_open(1);
    pair_establish(pair);
    exchange(pair, 5, 100, 0);
    const struct flow *server = &pair->flows[SERVER];
    struct packet packet = {.type = PACKET_DATA, .number = server->sack.ranges[0].last};
    assert_false(flow_may_rebind(server, &packet)); /* seen: somebody may have replayed it */
    packet.number++;
    assert_true(flow_may_rebind(server, &packet));
    packet.type = PACKET_RESET;
    assert_false(flow_may_rebind(server, &packet));
    struct te_endpoint elsewhere = {{9}, 9, 0};
    flow_rebind(&pair->flows[SERVER], &elsewhere, 1);
    assert_int_equal(server->remote.port, 9);
    assert_int_equal(pair->counters.rebinds, 1);
    pair_close(pair);
}

static void ecn_marks_are_reported(void **state) {
    (void)state;
    struct pair *pair = pair_open(1);
    pair_establish(pair);
    pair->is_marking = true;
    exchange(pair, 50, 1000, 0);
    assert_true(pair->counters.packets_marked > 0);
    pair->is_marking = false;
    exchange(pair, 10, 1000, 0);
    assert_int_equal(pair->flows[CLIENT].marked_reported, pair->flows[SERVER].marked_received);
    pair_close(pair);
}

/* Late packets are taken for lost at first; then the flow learns how late they may be. */
static void reordering_is_learnt(void **state) {
    (void)state;
    struct pair *pair = pair_open(1);
    pair_establish(pair);
    exchange(pair, 50, 1000, 0);
    pair->jitter_ns = pair->delay_ns / 2;
    exchange(pair, 200, 3000, 0);
    uint64_t spurious = pair->counters.packets_spurious;
    uint64_t packets = pair->packets;
    assert_true(spurious > 0);
    exchange(pair, 3000, 3000, 0);
    assert_true((pair->counters.packets_spurious - spurious) * 500 < pair->packets - packets);
    pair_close(pair);
}

static void refusals_are_of_a_few_kinds(void **state) {
    (void)state;
    for (int said = 0; said < 256; said++) {
        struct pair *pair = pair_open(1);
        const uint8_t body[2] = {(uint8_t)said, 0};
        struct packet refuse = {.type = PACKET_REFUSE, .body = body, .body_bytes = sizeof body};
        pair_connect(pair);
        flow_receive(&pair->flows[CLIENT], &pair->store, &refuse, pair->now_ns);
        bool is_known = said == TE_R_NO_RESOURCES || said == TE_R_ENGINE_STOPPED;
        assert_int_equal(pair->flows[CLIENT].state, FLOW_CLOSED);
        assert_int_equal(pair->flows[CLIENT].reason, is_known ? said : TE_R_REFUSED);
        pair_close(pair);
    }
}

/* Such a flow never opens; it owns nothing of the store that it could give back. */
static void bad_parameters_open_nothing(void **state) {
    (void)state;
    struct pair *pair = pair_open(1);
    const uint8_t body[16] = {0}; /* segments of 0 bytes */
    struct packet init = {.type = PACKET_INIT, .source_id = 5, .number = 1, .body = body,
                          .body_bytes = sizeof body};
    struct flow_birth birth = pair_birth(pair, 2, 1);
    pair_establish(pair);
    assert_true(pair_send(pair, CLIENT, 1, 100, 0)); /* in the first place of each pool */
    struct flow flow;
    flow_accept(&flow, &pair->config, &birth, &init, pair->now_ns);
    assert_int_equal(flow.state, FLOW_CLOSED);
    assert_int_equal(flow.reason, TE_R_PROTOCOL);
    assert_null(reassembly_ready(&flow.in, &pair->store));
    assert_true(flow_is_over(&flow));
    flow_fini(&flow, &pair->store);
    assert_int_equal(pair->flows[CLIENT].out.message_count, 1);
    assert_int_equal(pair->store.outgoing.free_count, PAIR_BLOCKS - 1);
    pair_close(pair);
}

static void reset_ends_the_flow(void **state) {
    (void)state;
    struct pair *pair = pair_open(1);
    pair_establish(pair);
    struct packet reset = {.type = PACKET_RESET};
    flow_receive(&pair->flows[CLIENT], &pair->store, &reset, pair->now_ns);
    assert_int_equal(pair->flows[CLIENT].state, FLOW_CLOSED);
    assert_int_equal(pair->flows[CLIENT].reason, TE_R_PEER_RESTARTED);
    pair_close(pair);
}

static void exhausted_memory_loses_nothing(void **state) {
    (void)state;
    struct pair *pair = pair_open(1);
    pair_establish(pair);
    uint32_t hostage = NO_ITEM;
    assert_true(pair_send(pair, CLIENT, 5, 20000, 0));
    while (pair->store.blocks.free_count > 0) { /* a list of all the rest */
        uint32_t block = pool_take(&pair->store.blocks);
        memcpy((uint8_t *)pool_at(&pair->store.blocks, block) + 8, &hostage, sizeof hostage);
        hostage = block;
    }
    pair_transmit(pair, CLIENT);
    for (int i = 0; i < 50; i++) {
        assert_true(pair_step(pair));
    }
    assert_true(pair->counters.packets_no_memory > 0);
    assert_int_equal(pair_take(pair, SERVER), UINT32_MAX);
    while (hostage != NO_ITEM) {
        uint32_t block = hostage;
        memcpy(&hostage, (uint8_t *)pool_at(&pair->store.blocks, block) + 8, sizeof hostage);
        pool_give(&pair->store.blocks, block);
    }
    uint32_t number = UINT32_MAX;
    while (number == UINT32_MAX) {
        assert_true(pair_step(pair));
        number = pair_take(pair, SERVER);
    }
    assert_int_equal(number, 5);
    pair_close(pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake_opens_both_sides),
        cmocka_unit_test(handshake_survives_loss),
        cmocka_unit_test(handshake_gives_up),
        cmocka_unit_test(messages_arrive_once_whole),
        cmocka_unit_test(messages_survive_every_fault),
        cmocka_unit_test(large_message_crosses),
        cmocka_unit_test(lost_tail_is_probed),
        cmocka_unit_test(loss_holds_up_its_own_message),
        cmocka_unit_test(slow_receiver_closes_the_credit),
        cmocka_unit_test(close_delivers_what_was_sent),
        cmocka_unit_test(silent_peer_counts_as_dead),
        cmocka_unit_test(flow_that_cannot_send_ends),
        cmocka_unit_test(idle_flow_stays_open),
        cmocka_unit_test(only_newer_packets_move_a_peer),
        cmocka_unit_test(ecn_marks_are_reported),
        cmocka_unit_test(reordering_is_learnt),
        cmocka_unit_test(refusals_are_of_a_few_kinds),
        cmocka_unit_test(bad_parameters_open_nothing),
        cmocka_unit_test(reset_ends_the_flow),
        cmocka_unit_test(exhausted_memory_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
