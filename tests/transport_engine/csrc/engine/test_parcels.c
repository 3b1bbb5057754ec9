/* What an engine of a team is handed is as if it had come in at its own queue: the same time that
 * it waited, the same mark of congestion, and the same word if it came back. Virtual time. */
#include "test.h"

#include "base/crc32c.h"
#include "engine/command.h"
#include "engine/team.h"
#include "engine/wire.h"

/* Whose the flow is, and where all comes in. */
enum { OTHER, OWN };

enum { PORT = 7000, ECN_CE = 3, ROUND_TRIP_NS = 400000, WAITED_NS = 5000000 };

static struct te_team *team;
static struct wire queues[2];
static struct te_channel *channel;
static struct flow peer;
static struct netif_datagram last; /* that an engine sent */
static uint8_t last_bytes[PACKET_BYTES_MAX];

static void note_sent(struct wire *from, const struct netif_datagram *datagram) {
    (void)from;
    last = *datagram;
    last.bytes = last_bytes;
    memcpy(last_bytes, datagram->bytes, datagram->size_bytes);
}

static void pass_ns(uint64_t time_ns) {
    queues[OTHER].now_ns += time_ns;
    queues[OWN].now_ns += time_ns;
}

static int set_up(void **state) {
    (void)state;
    struct te_engine_config config;
    struct te_completion done;
    char why[TE_WHY_BYTES];
    crc32c_select();
    te_engine_config_init(&config);
    config.local = (struct te_endpoint){{[10] = 0xff, [11] = 0xff, 10, 0, 0, 1},
                                        TE_PORT_DEFAULT, 0};
    assert_int_equal(te_team_open(2, &team, why), TE_OK);
    config.team = team;
    config.queues = 2;
    for (config.queue = 0; config.queue < 2; config.queue++) {
        queues[config.queue] = (struct wire){.sent = note_sent};
        assert_int_equal(wire_open(&queues[config.queue], &config), TE_OK);
    }
    struct engine *engine = &queues[OWN].engine;
    command_execute(engine, &(struct te_command){.op = TE_ATTACH,
                                                 .ring_bytes = TE_RING_BYTES_MIN}, &done);
    assert_int_equal(done.error, TE_OK);
    assert_int_equal(te_channel_open(done.memory_fd, done.doorbell_fd, &channel, why), TE_OK);
    struct te_command connect = {.op = TE_CONNECT, .token = 5, .endpoint = {
        {[10] = 0xff, [11] = 0xff, 10, 0, 0, 2}, PORT, 0}};
    command_execute(engine, &connect, &done);
    assert_int_equal(done.error, TE_OK);
    wire_poll(&queues[OWN]);
    pass_ns(FLOW_SPREAD_NS);
    wire_poll(&queues[OWN]);
    assert_int_equal(last_bytes[1], PACKET_INIT);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    te_channel_close(channel);
    for (int i = 0; i < 2; i++) {
        queues[i].sent = NULL;
        engine_fini(&queues[i].engine, queues[i].now_ns);
    }
    te_team_close(team);
    return 0;
}

/* In at the wrong queue; the right engine finds it in its next poll, `late_ns` afterwards. */
static void hand_over(struct netif_datagram datagram, uint64_t late_ns) {
    wire_receive(&queues[OTHER], &datagram);
    pass_ns(late_ns);
    wire_poll(&queues[OWN]);
}

static const struct flow *own_flow(void) {
    const struct engine *engine = &queues[OWN].engine;
    return &engine_flow_at(engine, engine->tenants[0].first_flow)->flow;
}

/* What the peer has to say, with the given mark. */
static struct netif_datagram answer_of_peer(uint8_t ecn) {
    static uint8_t out[PACKET_BYTES_MAX];
    struct netif_datagram answer = {.local = last.local, .remote = last.remote, .bytes = out,
                                    .ecn = ecn};
    answer.size_bytes = (uint32_t)flow_transmit(&peer, &queues[OWN].engine.store,
                                                queues[OWN].now_ns, out);
    assert_int_not_equal(answer.size_bytes, 0);
    return answer;
}

static struct netif_datagram accepted(void) {
    struct packet init;
    const struct flow_birth birth = {.local = last.remote, .remote = last.local, .local_id = 77,
                                     .first_number = 1000};
    assert_true(packet_parse(last.bytes, last.size_bytes, &init));
    flow_accept(&peer, &queues[OWN].engine.flow_config, &birth, &init, queues[OWN].now_ns);
    return answer_of_peer(0);
}

static void time_that_it_waited_is_not_the_paths(void **state) {
    (void)state;
    struct netif_datagram accept = accepted();
    accept.waited_ns = WAITED_NS; /* in the kernel, or in the card */
    pass_ns(ROUND_TRIP_NS + WAITED_NS);
    hand_over(accept, WAITED_NS); /* and then in the queue between the engines */
    assert_int_equal(own_flow()->state, FLOW_OPEN);
    assert_int_equal(own_flow()->rtt.path_ns, ROUND_TRIP_NS);
}

static void a_mark_of_congestion_reaches_the_flow(void **state) {
    (void)state;
    const uint64_t *marked = &queues[OWN].engine.flow_counters.packets_marked;
    hand_over(accepted(), 0);
    assert_int_equal(own_flow()->state, FLOW_OPEN);
    flow_close(&peer, &queues[OWN].engine.store, TE_R_CLOSED, false, queues[OWN].now_ns);
    assert_int_equal(*marked, 0);
    hand_over(answer_of_peer(ECN_CE), 0);
    assert_int_equal(*marked, 1);
}

static void what_came_back_ends_the_attempt(void **state) {
    (void)state;
    last.is_returned = true;
    hand_over(last, 0);
    struct te_record head;
    uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    assert_int_equal(te_channel_receive(channel, &head, 1, payload, sizeof payload), 1);
    assert_int_equal(head.kind, TE_FLOW_CLOSED);
    assert_int_equal(head.status, TE_R_REFUSED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(time_that_it_waited_is_not_the_paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mark_of_congestion_reaches_the_flow, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_came_back_ends_the_attempt, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
