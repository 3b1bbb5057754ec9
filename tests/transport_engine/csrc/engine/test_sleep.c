/* What ends an engine's sleep, and what makes its control plane look, on a clock that stands. */
#include "test.h"

#include <poll.h>
#include <sys/types.h>
#include <unistd.h>

#include "flow/flow.h"
#include "transport_engine.h"

enum {
    MESSAGES_PER_SECOND = 100,
    MESSAGE_NS = 1000000000 / MESSAGES_PER_SECOND,
    MESSAGES = 300, /* more than it may send at once */
    SHARE = 1,
    POLLS_MAX = 1000,
    COMMANDS_MAX = 1000
};

static struct te_engine *engine;
static struct te_channel *channels[2];
static uint32_t indices[2];
static uint64_t clock_ns;
static bool comes_late; /* the engine is polled just before a descriptor is read */

ssize_t __real_read(int fd, void *bytes, size_t size_bytes);
ssize_t __wrap_read(int fd, void *bytes, size_t size_bytes);

ssize_t __wrap_read(int fd, void *bytes, size_t size_bytes) {
    if (comes_late) {
        comes_late = false;
        te_engine_poll(engine);
    }
    return __real_read(fd, bytes, size_bytes);
}

static struct te_completion ask(struct te_engine *of, struct te_command request) {
    struct te_completion done;
    assert_int_equal(te_engine_command(of, &request), TE_OK);
    te_engine_poll(of);
    assert_int_equal(te_engine_completion(of, &done), TE_OK);
    assert_int_equal(done.error, TE_OK);
    return done;
}

static struct te_completion command(struct te_command request) {
    return ask(engine, request);
}

static int set_up(void **state) {
    (void)state;
    struct te_engine_config config;
    char why[TE_WHY_BYTES];
    clock_ns = UINT64_C(1) << 40;
    te_engine_config_init(&config);
    config.driver = "loopback";
    config.clock_ns = &clock_ns;
    assert_int_equal(te_engine_open(&config, &engine, why), TE_OK);
    for (int i = 0; i < 2; i++) {
        struct te_completion done = command(
            (struct te_command){.op = TE_ATTACH, .ring_bytes = 1 << 18, .share = SHARE});
        indices[i] = done.value;
        assert_int_equal(
            te_channel_open(done.memory_fd, done.doorbell_fd, &channels[i], why), TE_OK);
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    te_channel_close(channels[0]);
    te_channel_close(channels[1]);
    te_engine_close(engine);
    return 0;
}

static void poll_to_rest(void) {
    int polls = 0;
    while (te_engine_poll(engine) > 0) {
        assert_true(polls++ < POLLS_MAX);
    }
}

static bool is_readable(int fd) {
    struct pollfd look = {.fd = fd, .events = POLLIN};
    return poll(&look, 1, 0) == 1;
}

/* To nobody: it is read and forgotten. */
static void put(struct te_channel *channel, uint8_t lane) {
    const struct te_record record = {.kind = TE_REQUEST, .flags = TE_FIRST | TE_LAST, .flow = 7,
                                     .lane = lane};
    assert_int_equal(te_channel_put(channel, &record, NULL), 1);
}

static void a_rate_lets_it_sleep_until_the_next_message(void **state) {
    (void)state;
    command((struct te_command){.op = TE_SHARE, .share = SHARE,
                                .terms = {.messages_per_second = MESSAGES_PER_SECOND,
                                          .weight = 1}});
    for (int i = 0; i < MESSAGES; i++) {
        put(channels[0], 0);
    }
    poll_to_rest();
    for (int i = 0; i < 10; i++) {
        int64_t wait_ns = te_engine_arm(engine);
        assert_in_range(wait_ns, 1, MESSAGE_NS);
        clock_ns += (uint64_t)wait_ns;
        assert_int_not_equal(te_engine_poll(engine), 0);
        poll_to_rest();
    }
}

static void who_asks_it_to_stop_wakes_it(void **state) {
    (void)state;
    poll_to_rest();
    assert_true(te_engine_arm(engine) > 0);
    assert_false(is_readable(te_engine_fd(engine)));
    te_engine_stop(engine);
    assert_true(is_readable(te_engine_fd(engine)));
    te_engine_run(engine); /* it was asked before */
}

static void a_command_wakes_it(void **state) {
    (void)state;
    struct te_completion done;
    assert_int_equal(te_engine_completion(engine, &done), TE_E_AGAIN);
    poll_to_rest();
    assert_true(te_engine_arm(engine) > 0);
    const struct te_command look = {.op = TE_HAS_LEFT, .channel = indices[0]};
    assert_int_equal(te_engine_command(engine, &look), TE_OK);
    assert_true(is_readable(te_engine_fd(engine)));
    assert_false(is_readable(te_engine_completion_fd(engine)));
    te_engine_poll(engine);
    assert_true(is_readable(te_engine_completion_fd(engine)));
    assert_int_equal(te_engine_completion(engine, &done), TE_OK);
    assert_int_equal(te_engine_completion(engine, &done), TE_E_AGAIN);
    assert_false(is_readable(te_engine_completion_fd(engine)));
}

/* Else nothing would tell of it: the signal that it came with is taken away. */
static void what_is_done_just_after_it_looked_is_found(void **state) {
    (void)state;
    const struct te_command look = {.op = TE_HAS_LEFT, .channel = indices[0], .token = 5};
    struct te_completion done;
    assert_int_equal(te_engine_completion(engine, &done), TE_E_AGAIN);
    assert_int_equal(te_engine_command(engine, &look), TE_OK);
    comes_late = true;
    assert_int_equal(te_engine_completion(engine, &done), TE_OK);
    assert_int_equal(done.token, 5);
    assert_false(is_readable(te_engine_completion_fd(engine)));
}

/* Commands until it takes no more, which are not completed yet. Returns how many. */
static uint64_t send_all(void) {
    struct te_command look = {.op = TE_HAS_LEFT, .channel = indices[0]};
    uint64_t sent = 0;
    for (int polls = 0; polls < 3; polls++) {
        for (; sent < COMMANDS_MAX && te_engine_command(engine, &look) == TE_OK; sent++) {
            look.token++;
        }
        te_engine_poll(engine);
    }
    assert_in_range(sent, 2, COMMANDS_MAX - 1);
    return sent;
}

/* A control plane that does not look loses nothing: what has no room waits. */
static void every_command_is_completed(void **state) {
    (void)state;
    struct te_completion done;
    const uint64_t sent = send_all();
    uint64_t completed = 0;
    assert_int_equal(te_engine_completion(engine, &done), TE_OK);
    assert_int_equal(done.token, completed++);
    te_engine_poll(engine); /* there was room for one */
    assert_true(is_readable(te_engine_fd(engine))); /* so it does not sleep on the others */
    for (int polls = 0; polls < POLLS_MAX && completed < sent; polls++) {
        for (; te_engine_completion(engine, &done) == TE_OK; completed++) {
            assert_int_equal(done.token, completed);
        }
        te_engine_poll(engine);
    }
    assert_int_equal(completed, sent);
}

static void a_quarantine_is_told_unasked(void **state) {
    (void)state;
    struct te_completion done;
    assert_int_equal(te_engine_completion(engine, &done), TE_E_AGAIN);
    for (int i = 0; i < 2; i++) {
        assert_false(is_readable(te_engine_completion_fd(engine)));
        put(channels[i], UINT8_MAX);
        poll_to_rest();
        assert_true(is_readable(te_engine_completion_fd(engine)));
        assert_int_equal(te_engine_completion(engine, &done), TE_OK);
        assert_int_equal(done.op, TE_QUARANTINED);
        assert_int_equal(done.value, indices[i]);
        assert_int_equal(done.violation, TE_V_RECORD);
        assert_int_equal(te_engine_completion(engine, &done), TE_E_AGAIN); /* each once */
    }
}

static void a_quarantine_that_has_no_room_is_told_later(void **state) {
    (void)state;
    struct te_completion done;
    int told = 0;
    send_all();
    put(channels[0], UINT8_MAX);
    for (int polls = 0; polls < POLLS_MAX; polls++) {
        te_engine_poll(engine);
        told += te_engine_completion(engine, &done) == TE_OK && done.op == TE_QUARANTINED;
    }
    assert_int_equal(told, 1);
}

/* It is told once, and sleeps until somebody else has something. */
static void an_application_that_went_wakes_it_once(void **state) {
    (void)state;
    poll_to_rest();
    assert_true(te_engine_arm(engine) > 0);
    te_channel_close(channels[0]);
    channels[0] = NULL;
    assert_true(is_readable(te_engine_fd(engine)));
    poll_to_rest();
    assert_false(is_readable(te_engine_fd(engine)));
    assert_true(te_engine_arm(engine) > 0);
}

/* By what came in at its queue, each time anew, and for no longer than that. */
static void another_of_its_team_wakes_it(void **state) {
    (void)state;
    enum { PORT = 7000, OWN = 0, OTHER = 1 };
    struct te_engine_config config;
    struct te_engine *members[2];
    struct te_team *team;
    char why[TE_WHY_BYTES];
    te_engine_config_init(&config);
    config.driver = "loopback";
    config.clock_ns = &clock_ns;
    config.queues = 2;
    assert_int_equal(te_team_open(2, &team, why), TE_OK);
    config.team = team;
    for (config.queue = 0; config.queue < 2; config.queue++) {
        assert_int_equal(te_engine_open(&config, &members[config.queue], why), TE_OK);
    }
    ask(members[OTHER], (struct te_command){.op = TE_ROUTE, .endpoint = {.port = PORT},
                                            .queue = OWN});
    const struct te_completion attached =
        ask(members[OTHER], (struct te_command){.op = TE_ATTACH, .ring_bytes = 1 << 18});
    struct te_command call = {.op = TE_CONNECT};
    te_engine_local(members[OTHER], &call.endpoint);
    call.endpoint.port = PORT;
    for (int i = 0; i < 3; i++) {
        for (int polls = 0; te_engine_poll(members[OWN]) > 0; polls++) {
            assert_true(polls < POLLS_MAX);
        }
        assert_true(te_engine_arm(members[OWN]) > 0);
        assert_false(is_readable(te_engine_fd(members[OWN])));
        ask(members[OTHER], call);
        te_engine_poll(members[OTHER]);
        clock_ns += FLOW_SPREAD_NS;
        te_engine_poll(members[OTHER]); /* its INIT leaves */
        te_engine_poll(members[OTHER]); /* and comes in here */
        assert_true(is_readable(te_engine_fd(members[OWN])));
        assert_true(te_engine_poll(members[OWN]) > 0);
    }
    close(attached.memory_fd);
    close(attached.doorbell_fd);
    te_engine_close(members[0]);
    te_engine_close(members[1]);
    te_team_close(team);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_rate_lets_it_sleep_until_the_next_message, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_asks_it_to_stop_wakes_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_command_wakes_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_done_just_after_it_looked_is_found, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(every_command_is_completed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_quarantine_is_told_unasked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_quarantine_that_has_no_room_is_told_later, set_up,
                                        tear_down),
        cmocka_unit_test(another_of_its_team_wakes_it),
        cmocka_unit_test_setup_teardown(an_application_that_went_wakes_it_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
