/* Messages longer than a ring: whatever happens while one is delivered, it ends as it began. */
#include "hosts.h"

enum { LINK_BYTES_PER_US = 1000, MESSAGE_BYTES = 600000, STEPS_MAX = 2000, PATIENCE_NS = 20000000 };

static struct app client, sink;

static int set_up(void **state) {
    (void)state;
    open_hosts(LINK_BYTES_PER_US);
    open_app(&client, &near, 0);
    open_app(&sink, &far, 0);
    struct te_command request = {.op = TE_LISTEN, .channel = sink.index,
                                 .endpoint = {.port = PORT_FIRST}};
    assert_int_equal(command(&far, request).error, TE_OK);
    connect_flows(&client, PORT_FIRST, 1);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    te_channel_close(client.channel);
    te_channel_close(sink.channel);
    close_hosts();
    return 0;
}

/* Sends one request, for whose answer the client waits for PATIENCE_NS. */
static void send_request(uint8_t lane) {
    struct te_record record = {.kind = TE_REQUEST, .flow = client.flows[0], .call_id = 1,
                               .method_id = 1, .lane = lane, .remaining_ns = PATIENCE_NS,
                               .total_bytes = MESSAGE_BYTES};
    while (record.offset_bytes < MESSAGE_BYTES) {
        const uint32_t left_bytes = MESSAGE_BYTES - record.offset_bytes;
        record.size_bytes =
            left_bytes < TE_RECORD_PAYLOAD_MAX ? left_bytes : TE_RECORD_PAYLOAD_MAX;
        record.flags = (uint8_t)((record.offset_bytes == 0 ? TE_FIRST : 0) |
                                 (record.size_bytes == left_bytes ? TE_LAST : 0));
        const int taken = te_channel_put(client.channel, &record, payload);
        assert_true(taken >= 0);
        record.offset_bytes += taken > 0 ? record.size_bytes : 0;
        step();
    }
}

/* Until its ring is full. */
static void deliver_a_part(void) {
    for (int i = 0; !far.tenants[sink.index].delivering.is_active; i++) {
        assert_true(i < STEPS_MAX);
        step();
    }
}

static void expect_all(void) {
    for (int i = 0; sink.messages_received == 0; i++) {
        assert_true(i < STEPS_MAX);
        step();
        drain(&sink); /* it finds that each piece follows the one before */
    }
    assert_int_equal(sink.bytes_received, MESSAGE_BYTES);
}

static void a_deadline_does_not_cut_it_short(void **state) {
    (void)state;
    send_request(0);
    deliver_a_part();
    for (uint64_t end_ns = now_ns + 2 * PATIENCE_NS; now_ns < end_ns;) {
        step();
    }
    expect_all();
    assert_int_equal(far.stats.requests_expired, 0);
}

static void nor_does_an_application_that_closes_the_flow(void **state) {
    (void)state;
    send_request(0);
    deliver_a_part();
    wire.is_cut = true; /* so that the flow is not closed before */
    const struct handle_entry *handles = far.tenants[sink.index].handles;
    const struct te_record close = {.kind = TE_FLOW_CLOSE, .flags = TE_FIRST | TE_LAST,
                                    .flow = (uint32_t)handles[0].generation << 16};
    assert_int_equal(te_channel_put(sink.channel, &close, payload), 1);
    expect_all();
}

/* On a lane the order is its users': a deadline takes none out of it. */
static void a_deadline_on_a_lane_is_the_applications(void **state) {
    (void)state;
    send_request(1);
    expect_all();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_deadline_does_not_cut_it_short, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nor_does_an_application_that_closes_the_flow, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_deadline_on_a_lane_is_the_applications, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
