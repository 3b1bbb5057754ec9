/* Engines of one team, a thread each, and an application at each: every message arrives once and
 * whole, at whichever engine its packets came in.
 *
 * Over loopback each engine receives what it sent itself, so that all packets to another one come
 * in at the wrong queue. Over udp the kernel knows the right one, but for packets to several that
 * it gathers.
 */
#define _GNU_SOURCE
#include "test.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "own_address.h"
#include "transport_engine.h"

enum {
    ENGINES = 3,
    FLOWS = 3, /* from each application to each */
    FLOWS_MAX = 64,
    MESSAGES = 40, /* on each flow */
    SIZE_MAX_BYTES = 5000,
    HEADS = 32,
    PATIENCE_S = 30
};

struct app {
    int number;
    struct te_channel *channel;
    uint32_t channel_index;
    uint16_t port;
    uint32_t flows[FLOWS_MAX]; /* that it opened */
    uint32_t flow_count;
    uint32_t accepted;
    uint32_t refused;
    uint32_t closed;
    uint32_t received;
};

static struct te_team *team;
static struct te_engine *engines[ENGINES];
static pthread_t threads[ENGINES];
static struct app apps[ENGINES];
static uint32_t sent_total;
static uint8_t payload[HEADS * SIZE_MAX_BYTES + TE_RECORD_PAYLOAD_MAX];

static struct te_completion ask(int engine, struct te_command request) {
    struct te_completion completion;
    assert_int_equal(te_engine_command(engines[engine], &request), TE_OK);
    while (te_engine_completion(engines[engine], &completion) == TE_E_AGAIN) {
        struct pollfd wait = {.fd = te_engine_completion_fd(engines[engine]), .events = POLLIN};
        assert_int_equal(poll(&wait, 1, PATIENCE_S * 1000), 1);
    }
    return completion;
}

static void *run(void *argument) {
    te_engine_run(argument);
    return NULL;
}

static void open_team(const char *driver) {
    struct te_engine_config config;
    char why[TE_WHY_BYTES] = "";
    te_engine_config_init(&config);
    assert_int_equal(te_team_open(ENGINES, &team, why), TE_OK);
    config.driver = driver;
    config.team = team;
    config.queues = ENGINES;
    config.pool_bytes = 16 << 20;
    config.message_bytes_max = 4 << 20;
    config.flows_max = 128;
    config.spin_ns = 20000; /* so that the engines sleep, too */
    own_address(config.local.address);
    for (int i = 0; i < ENGINES; i++) {
        config.queue = (uint32_t)i;
        if (te_engine_open(&config, &engines[i], why) != TE_OK) {
            fail_msg("%s", why);
        }
        te_engine_local(engines[0], &config.local);
    }
    for (int i = 0; i < ENGINES; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run, engines[i]), 0);
    }
    memset(apps, 0, sizeof apps);
    sent_total = 0;
}

static void close_team(void) {
    for (int i = 0; i < ENGINES; i++) {
        te_engine_stop(engines[i]);
        pthread_join(threads[i], NULL);
        if (apps[i].channel != NULL) {
            te_channel_close(apps[i].channel);
        }
    }
    for (int i = 0; i < ENGINES; i++) {
        te_engine_close(engines[i]);
    }
    te_team_close(team);
}

static void attach(int number) {
    struct app *app = &apps[number];
    char why[TE_WHY_BYTES];
    struct te_completion done =
        ask(number, (struct te_command){.op = TE_ATTACH, .ring_bytes = 1 << 18});
    assert_int_equal(done.error, TE_OK);
    *app = (struct app){.number = number, .channel_index = done.value};
    assert_int_equal(te_channel_open(done.memory_fd, done.doorbell_fd, &app->channel, why), TE_OK);
}

static void route(uint16_t port, uint32_t member) {
    for (int i = 0; i < ENGINES; i++) {
        const struct te_command command = {
            .op = TE_ROUTE, .queue = member, .endpoint = {.port = port}};
        assert_int_equal(ask(i, command).error, TE_OK);
    }
}

static void listen_on(int number, uint16_t port) {
    const struct te_command command = {
        .op = TE_LISTEN, .channel = apps[number].channel_index, .endpoint = {.port = port}};
    assert_int_equal(ask(number, command).error, TE_OK);
    route(port, (uint32_t)number);
    apps[number].port = port;
}

static void unlisten(int number) {
    const struct te_command command = {.op = TE_UNLISTEN,
                                       .channel = apps[number].channel_index,
                                       .endpoint = {.port = apps[number].port}};
    route(apps[number].port, TE_CORES_MAX);
    assert_int_equal(ask(number, command).error, TE_OK);
}

static void connect_to(int number, uint16_t port) {
    struct te_command command = {
        .op = TE_CONNECT, .channel = apps[number].channel_index, .token = 1};
    te_engine_local(engines[number], &command.endpoint);
    command.endpoint.port = port;
    assert_int_equal(ask(number, command).error, TE_OK);
}

/* ---- messages ---- */

static uint32_t size_of(uint64_t call) {
    return (uint32_t)(call * 2654435761u % SIZE_MAX_BYTES);
}

static void check(struct app *app, const struct te_record *record, const uint8_t *bytes) {
    assert_int_equal(record->total_bytes, size_of(record->call_id));
    for (uint32_t i = 0; i < record->size_bytes; i++) {
        assert_int_equal(bytes[i], (uint8_t)(record->call_id + i));
    }
    app->received++;
}

static void take(struct app *app) {
    static struct te_record heads[HEADS];
    const uint8_t *bytes = payload;
    int count = te_channel_receive(app->channel, heads, HEADS, payload, sizeof payload);
    assert_true(count >= 0);
    for (int i = 0; i < count; bytes += heads[i++].size_bytes) {
        switch (heads[i].kind) {
        case TE_FLOW_OPENED:
            app->flows[app->flow_count++] = heads[i].flow;
            break;
        case TE_FLOW_ACCEPTED:
            app->accepted++;
            break;
        case TE_FLOW_CLOSED:
            app->refused += heads[i].call_id != 0 && heads[i].status == TE_R_REFUSED;
            app->closed += heads[i].call_id == 0;
            break;
        default:
            check(app, &heads[i], bytes);
        }
    }
    te_channel_ring(app->channel);
}

static void take_all(void) {
    for (int i = 0; i < ENGINES; i++) {
        if (apps[i].channel != NULL) {
            take(&apps[i]);
        }
    }
}

static void send_one(struct app *app, uint32_t flow) {
    static uint8_t packed[sizeof(struct te_record) + SIZE_MAX_BYTES + TE_RECORD_ALIGN];
    const uint64_t call = ++sent_total;
    const struct te_record record = {.call_id = call, .kind = TE_REQUEST,
                                     .flags = TE_FIRST | TE_LAST, .flow = flow,
                                     .size_bytes = size_of(call), .total_bytes = size_of(call)};
    memcpy(packed, &record, sizeof record);
    for (uint32_t i = 0; i < record.size_bytes; i++) {
        packed[sizeof record + i] = (uint8_t)(call + i);
    }
    uint64_t stride = sizeof record + (record.size_bytes + 7u) / 8 * 8;
    while (te_channel_send(app->channel, packed, stride) == 0) {
        te_channel_ring(app->channel);
        take_all();
    }
    te_channel_ring(app->channel);
}

/* Each application sends on each of its flows, and everything arrives. */
static void exchange(void) {
    uint32_t before = 0, now = 0;
    for (int i = 0; i < ENGINES; i++) {
        before += apps[i].received;
    }
    uint32_t wanted = before - sent_total; /* what was wrong before stays so */
    for (int round = 0; round < MESSAGES; round++) {
        for (int i = 0; i < ENGINES; i++) {
            for (uint32_t flow = 0; flow < apps[i].flow_count; flow++) {
                send_one(&apps[i], apps[i].flows[flow]);
            }
        }
        take_all();
    }
    assert_int_equal(wanted, 0);
    for (time_t end = time(NULL) + PATIENCE_S; now < sent_total && time(NULL) < end;) {
        take_all();
        now = 0;
        for (int i = 0; i < ENGINES; i++) {
            now += apps[i].received;
        }
    }
    assert_int_equal(now, sent_total);
}

static void wait_for(const uint32_t *counter, uint32_t wanted) {
    for (time_t end = time(NULL) + PATIENCE_S; *counter < wanted && time(NULL) < end;) {
        take_all();
    }
    assert_int_equal(*counter, wanted);
}

static struct te_stats stats_of(int engine) {
    struct te_stats stats;
    const struct te_command command = {.op = TE_STATS, .stats = &stats};
    assert_int_equal(ask(engine, command).error, TE_OK);
    return stats;
}

/* A free port: one that a driver would not give to a stranger now. */
static uint16_t some_port(int number) {
    struct te_endpoint local;
    te_engine_local(engines[0], &local);
    return (uint16_t)(local.port < 40000 ? local.port + 1 + number : local.port - 1 - number);
}

static void open_flows(void) {
    for (int i = 0; i < ENGINES; i++) {
        attach(i);
        listen_on(i, some_port(i));
    }
    for (int from = 0; from < ENGINES; from++) {
        for (int to = 0; to < ENGINES * FLOWS; to++) {
            connect_to(from, apps[to % ENGINES].port);
        }
    }
    for (int i = 0; i < ENGINES; i++) {
        wait_for(&apps[i].flow_count, ENGINES * FLOWS);
        wait_for(&apps[i].accepted, ENGINES * FLOWS);
    }
}

/* Now that nothing is left to do; which it may be so soon that it has not slept before. */
static void wait_for_sleep(int number) {
    for (time_t end = time(NULL) + PATIENCE_S; stats_of(number).sleeps == 0;) {
        assert_true(time(NULL) < end);
        usleep(20000); /* each look wakes it */
    }
}

static void everything_arrives(const char *driver, bool knows_queues) {
    open_team(driver);
    open_flows();
    exchange();
    for (int i = 0; i < ENGINES; i++) {
        struct te_stats stats = stats_of(i);
        assert_int_equal(stats.messages_received, FLOWS * ENGINES * MESSAGES);
        assert_int_equal(stats.messages_sent, FLOWS * ENGINES * MESSAGES);
        assert_true(stats.datagrams_handed_over > 0 || knows_queues);
        assert_int_equal(stats.datagrams_dropped_unknown, 0);
        wait_for_sleep(i);
    }
    close_team();
}

static void test_everything_arrives_though_all_came_to_the_wrong_queue(void **state) {
    (void)state;
    everything_arrives("loopback", false);
}

static void test_everything_arrives_over_udp(void **state) {
    (void)state;
    everything_arrives("udp", true);
}

/* A port goes from one engine's application to another's, while flows of the first still use it. */
static void a_port_changes_hands(const char *driver) {
    open_team(driver);
    open_flows();
    uint16_t port = apps[0].port;
    unlisten(0);
    connect_to(1, port);
    wait_for(&apps[1].refused, 1);
    listen_on(1, port);
    connect_to(0, port);
    connect_to(1, port);
    connect_to(2, port);
    wait_for(&apps[1].accepted, ENGINES * FLOWS + 3);
    assert_int_equal(apps[0].accepted, ENGINES * FLOWS);
    exchange();
    close_team();
}

static void test_a_port_changes_hands_over_loopback(void **state) {
    (void)state;
    a_port_changes_hands("loopback");
}

static void test_a_port_changes_hands_over_udp(void **state) {
    (void)state;
    a_port_changes_hands("udp");
}

static void test_who_detaches_is_missed_by_its_peers_alone(void **state) {
    (void)state;
    open_team("loopback");
    open_flows();
    const struct te_command detach = {.op = TE_DETACH, .channel = apps[2].channel_index};
    route(apps[2].port, TE_CORES_MAX);
    te_channel_close(apps[2].channel);
    assert_int_equal(ask(2, detach).error, TE_OK);
    apps[2] = (struct app){0};
    wait_for(&apps[0].closed, 2 * FLOWS);
    wait_for(&apps[1].closed, 2 * FLOWS);
    assert_int_equal(stats_of(0).flows_open, 4 * FLOWS);
    attach(2); /* and its place can be taken again */
    listen_on(2, some_port(ENGINES));
    connect_to(0, apps[2].port);
    wait_for(&apps[2].accepted, 1);
    close_team();
}

static void refuse(struct te_engine_config config, const char *word) {
    struct te_engine *engine = NULL;
    char why[TE_WHY_BYTES] = "";
    assert_int_equal(te_engine_open(&config, &engine, why), TE_E_INVALID);
    assert_non_null(strstr(why, word));
}

static void test_what_no_team_can_be_is_refused(void **state) {
    (void)state;
    struct te_engine_config config;
    char why[TE_WHY_BYTES] = "";
    assert_int_equal(te_team_open(1, &team, why), TE_E_INVALID);
    assert_int_equal(te_team_open(TE_CORES_MAX + 1, &team, why), TE_E_INVALID);
    assert_non_null(strstr(why, "2 to 16"));
    te_engine_config_init(&config);
    config.driver = "loopback";
    config.queues = 2;
    refuse(config, "queues");
    assert_int_equal(te_team_open(2, &config.team, why), TE_OK);
    config.queue = 2;
    refuse(config, "queue");
    config.queue = 0;
    config.queues = 3;
    refuse(config, "queues");
    te_team_close(config.team);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_arrives_though_all_came_to_the_wrong_queue),
        cmocka_unit_test(test_everything_arrives_over_udp),
        cmocka_unit_test(test_a_port_changes_hands_over_loopback),
        cmocka_unit_test(test_a_port_changes_hands_over_udp),
        cmocka_unit_test(test_who_detaches_is_missed_by_its_peers_alone),
        cmocka_unit_test(test_what_no_team_can_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
