/* An engine with two tenants over the loopback netif, through the public interface. */
#include "test.h"

#include "transport_engine.h"
#include "transport_fates.h"
#include "transport_flows.h"

enum { POLLS_MAX = 20000, RING_BYTES = TE_RING_BYTES_MIN, HEADS = 32 };

struct app {
    struct te_channel *channel;
    uint32_t index;
    uint32_t flow;
    struct te_record heads[HEADS];
    uint8_t payload[HEADS * 256 + TE_RECORD_PAYLOAD_MAX];
    int head_count, head_next;
    uint64_t payload_next;
    const uint8_t *bytes; /* payload of the record that await_record returned */
};

static struct te_engine *engine;
static struct app apps[2];

static struct te_completion command(struct te_command request) {
    struct te_completion completion;
    assert_int_equal(te_engine_command(engine, &request), TE_OK);
    te_engine_poll(engine);
    assert_int_equal(te_engine_completion(engine, &completion), TE_OK);
    assert_int_equal(completion.op, request.op);
    return completion;
}

static void attach(struct app *app) {
    char why[TE_WHY_BYTES];
    struct te_completion done =
        command((struct te_command){.op = TE_ATTACH, .ring_bytes = RING_BYTES});
    assert_int_equal(done.error, TE_OK);
    *app = (struct app){.index = done.value};
    assert_int_equal(te_channel_open(done.memory_fd, done.doorbell_fd, &app->channel, why), TE_OK);
}

static int set_up(void **state) {
    (void)state;
    struct te_engine_config config;
    char why[TE_WHY_BYTES];
    te_engine_config_init(&config);
    config.driver = "loopback";
    config.pool_bytes = 16 << 20;
    config.message_bytes_max = 4 << 20;
    config.flows_max = 8;
    config.handshake_timeout_ns = 50000000;
    config.dead_ns = 100000000;
    assert_int_equal(te_engine_open(&config, &engine, why), TE_OK);
    attach(&apps[0]);
    attach(&apps[1]);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    te_channel_close(apps[0].channel);
    te_channel_close(apps[1].channel);
    te_engine_close(engine);
    return 0;
}

static struct te_endpoint self(uint16_t port) {
    struct te_endpoint endpoint;
    te_engine_local(engine, &endpoint);
    endpoint.port = port;
    return endpoint;
}

static int listen_on(const struct app *app, uint16_t port) {
    return command((struct te_command){.op = TE_LISTEN, .channel = app->index,
                                       .endpoint = {.port = port}})
        .error;
}

/* The next record for the application; polls until it is there. */
static struct te_record await_record(struct app *app) {
    for (int polls = 0; app->head_next == app->head_count; polls++) {
        assert_true(polls < POLLS_MAX);
        te_engine_poll(engine);
        app->head_count = te_channel_receive(app->channel, app->heads, HEADS, app->payload,
                                             sizeof app->payload);
        assert_true(app->head_count >= 0);
        app->head_next = 0;
        app->payload_next = 0;
    }
    struct te_record record = app->heads[app->head_next++];
    app->bytes = app->payload + app->payload_next;
    app->payload_next += record.size_bytes;
    return record;
}

static void send_record(struct app *app, struct te_record record, const char *text) {
    uint8_t packed[sizeof record + 256] = {0};
    record.size_bytes = record.total_bytes = (uint32_t)strlen(text);
    record.flags |= TE_FIRST | TE_LAST;
    memcpy(packed, &record, sizeof record);
    memcpy(packed + sizeof record, text, record.size_bytes);
    uint64_t bytes = sizeof record + (record.size_bytes + 7) / 8 * 8;
    assert_int_equal(te_channel_send(app->channel, packed, bytes), bytes);
}

static void connect_apps(void) {
    assert_int_equal(listen_on(&apps[1], 7000), TE_OK);
    struct te_completion done = command((struct te_command){
        .op = TE_CONNECT, .channel = apps[0].index, .token = 99, .endpoint = self(7000)});
    assert_int_equal(done.error, TE_OK);
    struct te_record opened = await_record(&apps[0]);
    assert_int_equal(opened.kind, TE_FLOW_OPENED);
    assert_int_equal(opened.call_id, 99);
    apps[0].flow = opened.flow;
    struct te_record accepted = await_record(&apps[1]);
    assert_int_equal(accepted.kind, TE_FLOW_ACCEPTED);
    assert_int_equal(accepted.size_bytes, sizeof(struct te_flow_ends));
    apps[1].flow = accepted.flow;
}

static void messages_cross_both_ways(void **state) {
    (void)state;
    connect_apps();
    for (uint64_t call = 0; call < 100; call++) {
        send_record(&apps[0], (struct te_record){.kind = TE_REQUEST, .flow = apps[0].flow,
                                                 .call_id = call, .method_id = 5,
                                                 .remaining_ns = 1000, .priority = 3}, "question");
        struct te_record request = await_record(&apps[1]);
        assert_int_equal(request.kind, TE_REQUEST);
        assert_int_equal(request.flow, apps[1].flow);
        assert_int_equal(request.call_id, call);
        assert_int_equal(request.method_id, 5);
        assert_int_equal(request.remaining_ns, 1000);
        assert_int_equal(request.flags, TE_FIRST | TE_LAST);
        assert_memory_equal(apps[1].bytes, "question", 8);
        send_record(&apps[1], (struct te_record){.kind = TE_REPLY, .flow = apps[1].flow,
                                                 .call_id = call, .status = 7, .flags = TE_ERROR},
                    "");
        struct te_record reply = await_record(&apps[0]);
        assert_int_equal(reply.kind, TE_REPLY);
        assert_int_equal(reply.status, 7);
        assert_int_equal(reply.flags, TE_FIRST | TE_LAST | TE_ERROR);
        assert_int_equal(reply.total_bytes, 0);
    }
}

static bool has_acked(uint64_t call_id) {
    return te_channel_has_acked(apps[0].channel, apps[0].flow, call_id);
}

static void ask(uint64_t call_id) {
    send_record(&apps[0], (struct te_record){.kind = TE_REQUEST, .flow = apps[0].flow,
                                             .call_id = call_id}, "question");
    assert_int_equal(await_record(&apps[1]).call_id, call_id);
}

static void await_acked(uint64_t call_id) {
    for (int polls = 0; !has_acked(call_id); polls++) {
        assert_true(polls < POLLS_MAX);
        te_engine_poll(engine);
    }
}

/* In pieces, of which the engine forgets each, since the peer would not take the message. */
static void ask_too_much(uint64_t call_id) {
    static uint8_t packed[sizeof(struct te_record) + TE_RECORD_PAYLOAD_MAX];
    struct te_record piece = {.kind = TE_REQUEST, .flow = apps[0].flow, .call_id = call_id,
                              .size_bytes = TE_RECORD_PAYLOAD_MAX, .total_bytes = 8 << 20};
    for (; piece.offset_bytes < piece.total_bytes; piece.offset_bytes += piece.size_bytes) {
        uint32_t end = piece.offset_bytes + piece.size_bytes;
        piece.flags = piece.offset_bytes == 0 ? TE_FIRST : 0;
        piece.flags |= end == piece.total_bytes ? TE_LAST : 0;
        memcpy(packed, &piece, sizeof piece);
        while (te_channel_send(apps[0].channel, packed, sizeof packed) == 0) {
            te_engine_poll(engine);
        }
    }
}

static void requests_are_acknowledged_by_the_peers_engine(void **state) {
    (void)state;
    connect_apps();
    assert_false(has_acked(1));
    ask(5);
    await_acked(5);
    assert_false(has_acked(6));
    send_record(&apps[1], (struct te_record){.kind = TE_REQUEST, .flow = apps[1].flow,
                                             .call_id = 8}, "the other way");
    assert_int_equal(await_record(&apps[0]).call_id, 8);
    ask(6);
    await_acked(6);
    assert_false(has_acked(7));
}

/* Not even once later ones are. */
static void a_request_that_was_not_sent_is_not_acknowledged(void **state) {
    (void)state;
    connect_apps();
    ask(1);
    await_acked(1);
    ask_too_much(2);
    ask(3);
    for (int polls = 0; polls < POLLS_MAX; polls++) {
        te_engine_poll(engine);
    }
    assert_true(has_acked(1));
    assert_false(has_acked(2));
}

static void nobody_listening_is_told_at_once(void **state) {
    (void)state;
    command((struct te_command){.op = TE_CONNECT, .channel = apps[0].index, .token = 4,
                                .endpoint = self(7001)});
    struct te_record closed = await_record(&apps[0]);
    assert_int_equal(closed.kind, TE_FLOW_CLOSED);
    assert_int_equal(closed.call_id, 4);
    assert_int_equal(closed.status, TE_R_REFUSED);
}

static void ports_belong_to_one_tenant(void **state) {
    (void)state;
    assert_int_equal(listen_on(&apps[0], 7000), TE_OK);
    assert_int_equal(listen_on(&apps[1], 7000), TE_E_IN_USE);
    struct te_command unlisten = {.op = TE_UNLISTEN, .channel = apps[1].index,
                                  .endpoint = {.port = 7000}};
    assert_int_equal(command(unlisten).error, TE_E_UNKNOWN);
    unlisten.channel = apps[0].index;
    assert_int_equal(command(unlisten).error, TE_OK);
    assert_int_equal(listen_on(&apps[1], 7000), TE_OK);
}

static void close_reaches_the_peer_after_the_messages(void **state) {
    (void)state;
    connect_apps();
    send_record(&apps[0], (struct te_record){.kind = TE_REQUEST, .flow = apps[0].flow}, "last");
    send_record(&apps[0], (struct te_record){.kind = TE_FLOW_CLOSE, .flow = apps[0].flow}, "");
    assert_int_equal(await_record(&apps[1]).kind, TE_REQUEST);
    struct te_record closed = await_record(&apps[1]);
    assert_int_equal(closed.kind, TE_FLOW_CLOSED);
    assert_int_equal(closed.status, TE_R_PEER_CLOSED);
    closed = await_record(&apps[0]);
    assert_int_equal(closed.kind, TE_FLOW_CLOSED);
    assert_int_equal(closed.status, TE_R_CLOSED);
}

static void detached_tenant_ends_its_flows(void **state) {
    (void)state;
    connect_apps();
    assert_int_equal(command((struct te_command){.op = TE_DETACH, .channel = apps[1].index}).error,
                     TE_OK);
    struct te_record closed = await_record(&apps[0]);
    assert_int_equal(closed.kind, TE_FLOW_CLOSED);
    assert_int_equal(closed.status, TE_R_PEER_CLOSED);
    te_channel_close(apps[1].channel);
    attach(&apps[1]);
    connect_apps(); /* the port is free again */
}

static void handles_are_never_mistaken(void **state) {
    (void)state;
    connect_apps();
    uint32_t old = apps[0].flow;
    send_record(&apps[0], (struct te_record){.kind = TE_FLOW_CLOSE, .flow = old}, "");
    assert_int_equal(await_record(&apps[0]).kind, TE_FLOW_CLOSED);
    assert_int_equal(await_record(&apps[1]).kind, TE_FLOW_CLOSED);
    command((struct te_command){.op = TE_UNLISTEN, .channel = apps[1].index,
                                .endpoint = {.port = 7000}});
    connect_apps();
    assert_int_not_equal(apps[0].flow, old);
    send_record(&apps[0], (struct te_record){.kind = TE_REQUEST, .flow = old}, "stale");
    send_record(&apps[0], (struct te_record){.kind = TE_REQUEST, .flow = 12345}, "forged");
    send_record(&apps[0], (struct te_record){.kind = TE_REQUEST, .flow = apps[0].flow}, "good");
    assert_int_equal(await_record(&apps[1]).size_bytes, 4);
    assert_memory_equal(apps[1].bytes, "good", 4);
}

static void full_tables_refuse_and_recover(void **state) {
    (void)state;
    assert_int_equal(listen_on(&apps[1], 7000), TE_OK);
    struct te_command connect = {.op = TE_CONNECT, .channel = apps[0].index,
                                 .endpoint = self(7000)};
    int refused = 0;
    for (int i = 0; i < 20; i++) {
        refused += command(connect).error == TE_E_NO_MEMORY;
    }
    assert_true(refused > 0);
    struct te_stats stats;
    command((struct te_command){.op = TE_DETACH, .channel = apps[0].index});
    for (int polls = 0; polls < POLLS_MAX; polls++) {
        te_engine_poll(engine);
        int count = te_channel_receive(apps[1].channel, apps[1].heads, HEADS, apps[1].payload,
                                       sizeof apps[1].payload);
        assert_true(count >= 0);
    }
    command((struct te_command){.op = TE_STATS, .stats = &stats});
    assert_int_equal(stats.flows_open, 0);
    assert_int_equal(stats.pool_blocks_free, stats.pool_blocks);
    te_channel_close(apps[0].channel);
    attach(&apps[0]);
}

static void stop_tells_applications(void **state) {
    (void)state;
    connect_apps();
    command((struct te_command){.op = TE_DRAIN});
    struct te_record closed = await_record(&apps[0]);
    assert_int_equal(closed.kind, TE_FLOW_CLOSED);
    assert_int_equal(closed.status, TE_R_ENGINE_STOPPED);
    assert_int_equal(command((struct te_command){.op = TE_CONNECT, .channel = apps[0].index,
                                                 .endpoint = self(7000)}).error,
                     TE_E_CLOSED);
    assert_int_equal(command((struct te_command){.op = TE_ATTACH, .ring_bytes = 1 << 18}).error,
                     TE_E_CLOSED);
}

static void open_flows_are_reported(void **state) {
    (void)state;
    struct te_flow_page page = {.next = 0};
    command((struct te_command){.op = TE_FLOWS, .flows = &page});
    assert_int_equal(page.count, 0);
    assert_int_equal(page.next, UINT32_MAX);
    connect_apps();
    send_record(&apps[0], (struct te_record){.kind = TE_REQUEST, .flow = apps[0].flow}, "x");
    await_record(&apps[1]);
    page.next = 0;
    command((struct te_command){.op = TE_FLOWS, .flows = &page});
    assert_int_equal(page.count, 2);
    assert_int_equal(page.next, UINT32_MAX);
    for (uint32_t i = 0; i < page.count; i++) {
        const struct te_flow_report *flow = &page.flows[i];
        const bool is_near = flow->remote.port == 7000;
        assert_int_equal(flow->channel, apps[is_near ? 0 : 1].index);
        assert_int_equal(flow->local.port == 7000, !is_near);
        assert_in_range(flow->packets_sent, 1, 100);
        assert_in_range(flow->window_bytes, 1, 1 << 20);
        assert_int_equal(flow->rtt_min_ns == 0, flow->srtt_ns == 0); /* measured, or not yet */
        assert_int_equal(flow->packets_lost, 0);
    }
    for (uint32_t first = 8; first >= 8; first = first == 8 ? UINT32_MAX : 0) {
        page.next = first; /* beyond the table */
        command((struct te_command){.op = TE_FLOWS, .flows = &page});
        assert_int_equal(page.count, 0);
        assert_int_equal(page.next, UINT32_MAX);
    }
}

static void bad_configurations_get_a_sentence(void **state) {
    (void)state;
    struct te_engine *none = NULL;
    char why[TE_WHY_BYTES];
    for (int i = 0; i < 6; i++) {
        struct te_engine_config config;
        te_engine_config_init(&config);
        config.driver = i == 0 ? "carrier-pigeon" : "loopback";
        config.mtu_bytes = i == 1 ? 100 : config.mtu_bytes;
        config.congestion = i == 2 ? "hope" : config.congestion;
        config.pool_bytes = i == 3 ? 1 : config.pool_bytes;
        config.credit_bytes = i == 4 ? 1 : config.credit_bytes;
        config.pool_bytes = i == 5 ? (32 << 20) - 1 : config.pool_bytes; /* for messages of 8 */
        assert_int_equal(te_engine_open(&config, &none, why),
                         i == 0 ? TE_E_NO_DRIVER : TE_E_INVALID);
        assert_true(strlen(why) > 10);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_cross_both_ways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_are_acknowledged_by_the_peers_engine, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_request_that_was_not_sent_is_not_acknowledged, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nobody_listening_is_told_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ports_belong_to_one_tenant, set_up, tear_down),
        cmocka_unit_test_setup_teardown(close_reaches_the_peer_after_the_messages, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(detached_tenant_ends_its_flows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(handles_are_never_mistaken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_tables_refuse_and_recover, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_flows_are_reported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stop_tells_applications, set_up, tear_down),
        cmocka_unit_test(bad_configurations_get_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
