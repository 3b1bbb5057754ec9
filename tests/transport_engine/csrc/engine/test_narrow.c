/* A way that loses long packets without a word: flows open with such as it carries. */
#include "hosts.h"

#include "transport_flows.h"

enum { LINK_BYTES_PER_US = 1000, STEPS_MAX = 100000, PORT = PORT_FIRST, BLACK_HOLE = 1400 - 28 };

static struct app client, sink;

static void open_way(uint32_t mtu_bytes, uint32_t out_bytes, uint32_t back_bytes) {
    open_hosts_of(LINK_BYTES_PER_US, mtu_bytes);
    wire.longest_bytes[0] = out_bytes;
    wire.longest_bytes[1] = back_bytes;
    open_app(&client, &near, 0);
    open_app(&sink, &far, 0);
    struct te_command request = {.op = TE_LISTEN, .channel = sink.index,
                                 .endpoint = {.port = PORT}};
    assert_int_equal(command(&far, request).error, TE_OK);
}

static void close_way(void) {
    te_channel_close(client.channel);
    te_channel_close(sink.channel);
    close_hosts();
}

static void steps(int count) {
    for (int i = 0; i < count; i++) {
        step();
        drain(&client);
        drain(&sink);
    }
}

/* Opens a flow, has messages of many packets arrive, and returns how long it took to open. */
static uint64_t use_way(void) {
    const uint64_t begun_ns = now_ns;
    connect_flows(&client, PORT, 1);
    const uint64_t opened_ns = now_ns;
    client.message_bytes = APP_MESSAGE_MAX;
    fill(&client);
    for (int i = 0; sink.messages_received < client.messages_sent; i++) {
        assert_true(i < STEPS_MAX);
        steps(1);
    }
    assert_int_equal(near.flow_counters.packets_lost, 0);
    return opened_ns - begun_ns;
}

/* What `mrpc flows` and the application are told. */
static void check_told(uint32_t packet_bytes, bool is_narrowed) {
    struct te_flow_page page = {0};
    command(&near, (struct te_command){.op = TE_FLOWS, .flows = &page});
    assert_int_equal(page.count, 1);
    assert_int_equal(page.flows[0].packet_bytes, packet_bytes);
    struct te_stats stats;
    command(&near, (struct te_command){.op = TE_STATS, .stats = &stats});
    assert_int_equal(stats.flows_narrowed, is_narrowed);
    assert_int_equal(stats.handshakes_failed, 0);
}

static void a_way_that_carries_all_costs_nothing(void **state) {
    (void)state;
    open_way(9216, 0, 0);
    assert_true(use_way() < 10 * STEP_NS);
    check_told(9216 - 48, false);
    close_way();
}

static void long_packets_are_lost(uint32_t mtu_bytes, bool is_out, bool is_back) {
    open_way(mtu_bytes, is_out ? BLACK_HOLE : 0, is_back ? BLACK_HOLE : 0);
    assert_true(use_way() < UINT64_C(100000000));
    check_told(1280 - 48, true);
    steps(400000); /* until what the server opened in vain has ended, and longer */
    assert_int_equal(far.stats.flows_open, 1);
    assert_int_equal(near.stats.flows_open, 1);
    close_way();
}

static void both_ways(void **state) {
    (void)state;
    long_packets_are_lost(1500, true, true);
}

static void the_way_out(void **state) {
    (void)state;
    long_packets_are_lost(9216, true, false);
}

static void the_way_back(void **state) {
    (void)state;
    long_packets_are_lost(1500, false, true);
}

/* A way that carries what Ethernet does needs no more than one step. */
static void no_step_is_too_far(void **state) {
    (void)state;
    open_way(9216, 1500 - 48, 0);
    use_way();
    check_told(1500 - 48, true);
    close_way();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_way_that_carries_all_costs_nothing), cmocka_unit_test(both_ways),
        cmocka_unit_test(the_way_out), cmocka_unit_test(the_way_back),
        cmocka_unit_test(no_step_is_too_far),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
