/* A netif that takes nothing for a while, or for good: the engine goes on serving its tenants, no
 * message is lost or doubled by it, and a stall that does not end is reported as a dead peer. */
#include "hosts.h"

enum { LINK_BYTES_PER_US = 1000, MESSAGES = 400, STALL_STEPS = 20000, PATIENCE_STEPS = 2000000 };

static struct app client, sink;

static int set_up(void **state) {
    (void)state;
    open_hosts(LINK_BYTES_PER_US);
    set_share(1, (struct te_share){.weight = 1});
    open_app(&client, &near, 1);
    open_app(&sink, &far, 0);
    struct te_command request = {.op = TE_LISTEN, .channel = sink.index,
                                 .endpoint = {.port = PORT_FIRST}};
    assert_int_equal(command(&far, request).error, TE_OK);
    connect_flows(&client, PORT_FIRST, 4);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    te_channel_close(client.channel);
    te_channel_close(sink.channel);
    close_hosts();
    return 0;
}

/* The netif keeps what it has been promised: nothing more. */
static void stall(void) {
    wire.bytes_per_us = 0;
    wire.room_bytes = 0;
}

static void come_and_go(void) {
    struct app guest;
    open_app(&guest, &near, 0);
    struct te_command request = {.op = TE_DETACH, .channel = guest.index};
    assert_int_equal(command(&near, request).error, TE_OK);
    te_channel_close(guest.channel);
}

static void stall_delays_and_loses_nothing(void **state) {
    (void)state;
    fill(&client);
    stall();
    for (int i = 0; i < STALL_STEPS; i++) {
        fill(&client);
        step();
        drain(&client);
        drain(&sink);
        if (i % 1000 == 0) {
            come_and_go();
        }
    }
    uint64_t before = sink.messages_received;
    assert_true(client.messages_sent > before);
    wire.bytes_per_us = LINK_BYTES_PER_US;
    for (int i = 0; sink.messages_received < before + MESSAGES; i++) {
        assert_true(i < PATIENCE_STEPS);
        step();
        fill(&client);
        drain(&sink);
    }
    for (int i = 0; sink.messages_received < client.messages_sent; i++) {
        assert_true(i < PATIENCE_STEPS);
        step();
        drain(&sink);
    }
    for (int i = 0; i < STALL_STEPS; i++) { /* and none comes twice */
        step();
        drain(&sink);
    }
    assert_int_equal(sink.messages_received, client.messages_sent);
}

static uint32_t reasons[TE_R_STALLED + 1];

static uint32_t note_closed(void) {
    struct te_record heads[HEADS];
    uint32_t closed = 0;
    int count = te_channel_receive(client.channel, heads, HEADS, payload, sizeof payload);
    for (int i = 0; i < count; i++) {
        if (heads[i].kind == TE_FLOW_CLOSED) {
            reasons[heads[i].status]++;
            closed++;
        }
    }
    return closed;
}

static void stall_without_end_is_a_dead_peer(void **state) {
    (void)state;
    struct te_command request = {.op = TE_CONNECT, .channel = client.index, .token = 2,
                                 .endpoint = near.netif->local};
    fill(&client);
    stall();
    request.endpoint.port = PORT_FIRST;
    assert_int_equal(command(&near, request).error, TE_OK);
    uint32_t closed = 0;
    for (int i = 0; closed < client.flow_count + 1; i++) {
        assert_true(i < PATIENCE_STEPS);
        step();
        closed += note_closed();
    }
    assert_int_equal(reasons[TE_R_PEER_DEAD], client.flow_count);
    assert_int_equal(reasons[TE_R_NO_ANSWER], 1);
    come_and_go();
}

/* A netif that asks its neighbours for their addresses does so again. */
static void silence_is_told_to_the_netif(void **state) {
    struct te_command request = {.op = TE_CONNECT, .channel = client.index, .token = 2,
                                 .endpoint = near.netif->local};
    (void)state;
    for (int i = 0; i < STALL_STEPS; i++) {
        fill(&client);
        step();
        drain(&client);
        drain(&sink);
    }
    assert_int_equal(wire.unanswered, 0);
    wire.is_cut = true;
    for (int i = 0; wire.unanswered == 0; i++) {
        assert_true(i < PATIENCE_STEPS);
        step();
    }
    for (uint32_t closed = 0; closed < client.flow_count;) {
        step();
        closed += note_closed();
    }
    wire.unanswered = 0;
    request.endpoint.port = PORT_FIRST; /* the same for a flow that does not open */
    assert_int_equal(command(&near, request).error, TE_OK);
    for (int i = 0; wire.unanswered == 0; i++) {
        assert_true(i < STALL_STEPS);
        step();
    }
}

/* Whatever timers they left behind: their application's ring is full, so it has not heard of it. */
static void flows_that_end_in_order_have_not_died(void **state) {
    struct te_command request = {.op = TE_DETACH, .channel = sink.index};
    struct te_record accepted[HEADS];
    (void)state;
    int count = te_channel_receive(sink.channel, accepted, HEADS, payload, sizeof payload);
    for (int i = 0; i < count; i++) {
        sink.flows[sink.flow_count++] = accepted[i].flow;
    }
    assert_int_equal(sink.flow_count, client.flow_count);
    for (int i = 0; i < STALL_STEPS / 10; i++) {
        fill(&sink);
        step();
    }
    assert_int_equal(command(&far, request).error, TE_OK);
    for (uint64_t end_ns = now_ns + near.flow_config.keep_alive_ns; now_ns <= end_ns;) {
        step();
    }
    assert_int_equal(near.stats.flows_open, client.flow_count);
    assert_int_equal(near.stats.flows_died, 0);
    for (uint32_t closed = 0; closed < client.flow_count;) {
        closed += note_closed();
        step();
    }
    assert_int_equal(near.stats.flows_died, 0);
    assert_int_equal(far.stats.flows_died, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stall_delays_and_loses_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stall_without_end_is_a_dead_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silence_is_told_to_the_netif, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flows_that_end_in_order_have_not_died, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
