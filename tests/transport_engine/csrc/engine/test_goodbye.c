/* An engine that ends says so on each of its flows, however many they are; one that drains lets
 * them end their messages before. */
#include "hosts.h"

enum { FLOWS = 900, BYTES_PER_US = 100000, REST_BYTES = 100, STEPS_MAX = 2000 };

/* A wire that is never full: the other engine takes what comes at once. */
static int send_and_take(struct netif *netif, uint64_t at_ns,
                         const struct netif_datagram *datagrams, int count) {
    int taken = wire_tx(netif, at_ns, datagrams, count);
    engine_poll(&far, at_ns);
    return taken;
}

static void open_flows(struct app *server, struct app *client, uint32_t flows) {
    open_hosts(BYTES_PER_US);
    open_app(server, &far, 0);
    open_app(client, &near, 0);
    const struct te_command listen = {.op = TE_LISTEN, .channel = server->index,
                                      .endpoint = {.port = PORT_FIRST}};
    assert_int_equal(command(&far, listen).error, TE_OK);
    connect_flows(client, PORT_FIRST, flows);
}

static void each_flow_is_told(void **state) {
    (void)state;
    struct app server, client;
    uint32_t closed = 0, stopped = 0;
    open_flows(&server, &client, FLOWS);
    for (int i = 0; i < 10; i++) {
        step();
        drain(&server);
    }
    te_channel_close(client.channel);
    struct netif_ops ops = wire_ops;
    ops.tx_burst = send_and_take;
    wire.netif.ops = &ops;
    engine_fini(&near, now_ns);
    struct te_record heads[HEADS];
    for (int polls = 0; polls < 1000 && closed < FLOWS; polls++) { /* time stands still */
        engine_poll(&far, now_ns);
        int count = te_channel_receive(server.channel, heads, HEADS, payload, sizeof payload);
        for (int i = 0; i < count; i++) {
            closed += heads[i].kind == TE_FLOW_CLOSED;
            stopped += heads[i].kind == TE_FLOW_CLOSED && heads[i].status == TE_R_ENGINE_STOPPED;
        }
    }
    assert_int_equal(closed, FLOWS);
    assert_int_equal(stopped, FLOWS);
    te_channel_close(server.channel);
    engine_fini(&far, now_ns);
}

static void put_piece(struct app *app, uint8_t place, uint32_t offset_bytes, uint32_t size_bytes) {
    const struct te_record record = {.kind = TE_REQUEST, .flags = place, .flow = app->flows[0],
                                     .call_id = 1, .size_bytes = size_bytes,
                                     .offset_bytes = offset_bytes,
                                     .total_bytes = TE_RECORD_PAYLOAD_MAX + REST_BYTES};
    assert_int_equal(te_channel_put(app->channel, &record, payload), 1);
}

/* Its application is in the midst of a message, and does not know. */
static void a_drain_takes_the_rest_of_a_message(void **state) {
    (void)state;
    struct app server, client;
    open_flows(&server, &client, 1);
    put_piece(&client, TE_FIRST, 0, TE_RECORD_PAYLOAD_MAX);
    step();
    command(&near, (struct te_command){.op = TE_DRAIN});
    step();
    put_piece(&client, TE_LAST, TE_RECORD_PAYLOAD_MAX, REST_BYTES);
    for (int i = 0; near.stats.flows_open > 0; i++) {
        assert_true(i < STEPS_MAX);
        step();
        drain(&client);
        drain(&server);
    }
    assert_int_equal(server.messages_received, 1);
    te_channel_close(client.channel);
    te_channel_close(server.channel);
    close_hosts();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_flow_is_told),
                                       cmocka_unit_test(a_drain_takes_the_rest_of_a_message)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
