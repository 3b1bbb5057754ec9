/* Every call arrives once and whole, at any window and any loss; virtual time, seeded faults. */
#include "test.h"

#include "engine/tenants.h"
#include "engine_pair.h"

enum { CALLS = 1500, STEP_NS = 1000, STEPS_MAX = 10000000, BEGIN_NS = 1000000000,
       UNEVEN_STEPS_MAX = 6, /* for a call, which takes 3 */
       OVERDUE = 200, PATIENCE_NS = 1000000 };

static const uint32_t windows[] = {1, 2, 8, 32, 64, 256};

/* Nothing moved: on to the next timer. */
static uint64_t skip_idle(const struct engine_pair *pair, uint64_t now_ns) {
    uint64_t client_ns = timers_next_ns(&pair->client->engine.timers);
    uint64_t server_ns = timers_next_ns(&pair->server->engine.timers);
    uint64_t next_ns = client_ns < server_ns ? client_ns : server_ns;
    assert_true(next_ns != UINT64_MAX);
    return next_ns > now_ns ? next_ns : now_ns;
}

/* Runs the plan to its end. Returns the virtual time that it took. */
static uint64_t run(struct pair_plan *plan, struct te_stats *stats) {
    plan->now_ns = BEGIN_NS;
    struct engine_pair *pair = engine_pair_open(plan);
    uint64_t now_ns = BEGIN_NS;
    for (uint32_t steps = 0; !engine_pair_is_done(pair); steps++) {
        assert_true(steps < STEPS_MAX);
        bool moved = engine_pair_step(pair, now_ns) > 0;
        now_ns = (moved ? now_ns : skip_idle(pair, now_ns)) + STEP_NS;
    }
    assert_string_equal(pair->wrong, "");
    assert_int_equal(pair->server->count, plan->calls);
    *stats = engine_pair_stats(pair);
    engine_pair_close(pair, now_ns);
    return now_ns - BEGIN_NS;
}

static struct pair_plan plan_of(uint32_t window, struct te_fault fault) {
    struct pair_plan plan = {.calls = CALLS, .window = window, .size_bytes = 1024,
                             .seed = 31 * window + fault.loss_ppm};
    te_engine_config_init(&plan.config);
    plan.config.pool_bytes = 16 << 20;
    plan.config.message_bytes_max = 4 << 20;
    plan.config.flows_max = 16;
    plan.config.fault = fault;
    return plan;
}

static void calls_survive(struct te_fault fault, const char *congestion, uint8_t profile) {
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        struct pair_plan plan = plan_of(windows[i], fault);
        struct te_stats stats;
        plan.config.congestion = congestion;
        plan.config.profile = profile;
        run(&plan, &stats);
        assert_int_equal(stats.faults_lost > 0, fault.loss_ppm > 0);
        assert_int_equal(stats.datagrams_dropped_bad > 0, fault.corrupt_ppm > 0);
    }
}

static void any_loss_at_any_window(void **state) {
    (void)state;
    const uint32_t losses_ppm[] = {0, 1000, 10000, 50000, 300000};
    for (size_t i = 0; i < sizeof losses_ppm / sizeof losses_ppm[0]; i++) {
        calls_survive((struct te_fault){.loss_ppm = losses_ppm[i]}, "swift", PROFILE_RACK);
        calls_survive((struct te_fault){.loss_ppm = losses_ppm[i]}, "cubic", PROFILE_CLOUD);
    }
}

static void all_faults_at_any_window(void **state) {
    (void)state;
    struct te_fault fault = {.loss_ppm = 50000, .duplicate_ppm = 50000, .corrupt_ppm = 50000,
                             .reorder_ppm = 100000, .reorder_ns = 20000};
    calls_survive(fault, "swift", PROFILE_RACK);
    calls_survive(fault, "swift", PROFILE_CLOUD);
}

static void the_same_seed_gives_the_same_run(void **state) {
    (void)state;
    struct pair_plan plan = plan_of(8, (struct te_fault){.loss_ppm = 20000});
    struct te_stats first, second;
    uint64_t first_ns = run(&plan, &first);
    uint64_t second_ns = run(&plan, &second);
    assert_int_equal(first_ns, second_ns);
    assert_memory_equal(&first, &second, sizeof first);
}

/* Hosts that look at their netif at uneven times seem to hold packets for all of a round trip. */
static void uneven_polling_is_no_queue(void **state) {
    (void)state;
    for (uint32_t window = 1; window <= 8; window *= 8) {
        struct pair_plan plan = plan_of(window, (struct te_fault){0});
        struct prng prng = {window};
        uint32_t steps = 0;
        plan.config.profile = PROFILE_RACK;
        plan.now_ns = BEGIN_NS;
        struct engine_pair *pair = engine_pair_open(&plan);
        for (uint64_t now_ns = BEGIN_NS; !engine_pair_is_done(pair); steps++) {
            assert_true(steps < UNEVEN_STEPS_MAX * CALLS);
            engine_pair_step(pair, now_ns);
            now_ns += STEP_NS + prng_below(&prng, 10 * STEP_NS);
        }
        assert_string_equal(pair->wrong, "");
        engine_pair_close(pair, BEGIN_NS);
    }
}

/* Sends the next call, whose caller waits for so long. */
static void call(struct engine_pair *pair, uint64_t remaining_ns) {
    struct te_record request = pair_record(pair, pair->client, TE_REQUEST, pair->next);
    request.remaining_ns = remaining_ns;
    uint64_t packed = pair_pack(pair, 0, &request, pair_content(pair, pair->next++));
    assert_int_equal(te_channel_send(pair->client->channel, pair->out, packed), packed);
}

/* As when a peer stands still: of those, what a window took is under way, and no more. */
static void what_nobody_waits_for_lets_others_by(void **state) {
    (void)state;
    struct pair_plan plan = plan_of(0, (struct te_fault){0});
    uint64_t now_ns = plan.now_ns = BEGIN_NS;
    struct engine_pair *pair = engine_pair_open(&plan);
    for (int i = 0; i < CALLS && !pair->client->has_flow; i++, now_ns += STEP_NS) {
        engine_pair_step(pair, now_ns);
    }
    assert_true(pair->client->has_flow);
    for (int i = 0; i < OVERDUE; i++) {
        call(pair, PATIENCE_NS);
    }
    for (int i = 0; i < OVERDUE; i++) { /* it takes all, and sends what a window takes */
        engine_poll(&pair->client->engine, now_ns);
    }
    now_ns += 2 * PATIENCE_NS;
    call(pair, 1000 * PATIENCE_NS);
    for (int i = 0; i < CALLS && pair->server->times[OVERDUE] == 0; i++, now_ns += STEP_NS) {
        engine_pair_step(pair, now_ns);
    }
    assert_string_equal(pair->wrong, "");
    assert_int_equal(pair->server->times[OVERDUE], 1);
    assert_true(pair->server->count < OVERDUE / 2);
    engine_pair_close(pair, now_ns);
}

/* Up to which call the client was told that all have come; looks at no more than are new. */
static uint32_t acked_count(const struct engine_pair *pair, uint32_t count) {
    const struct side *client = pair->client;
    while (client->has_flow && te_channel_has_acked(client->channel, client->flow, count + 1)) {
        count++;
    }
    return count;
}

/* Never of a request that has not come; of all in the end; and no later than the reply comes, but
 * for what was lost. */
static void what_is_told_to_be_acknowledged_has_come(void **state) {
    (void)state;
    struct te_fault fault = {.loss_ppm = 50000, .duplicate_ppm = 50000, .reorder_ppm = 100000,
                             .reorder_ns = 20000};
    struct pair_plan plan = plan_of(32, fault);
    plan.now_ns = BEGIN_NS;
    struct engine_pair *pair = engine_pair_open(&plan);
    uint64_t now_ns = BEGIN_NS;
    uint32_t acked = 0;
    uint32_t before_reply = 0;
    for (uint32_t idle = 0; acked < CALLS; idle = engine_pair_is_done(pair) ? idle + 1 : 0) {
        assert_true(idle < STEPS_MAX);
        bool moved = engine_pair_step(pair, now_ns) > 0;
        uint32_t until = acked_count(pair, acked);
        for (; acked < until; acked++) {
            assert_int_equal(pair->server->times[acked], 1);
            before_reply += pair->client->times[acked] == 0;
        }
        now_ns = (moved ? now_ns : skip_idle(pair, now_ns)) + STEP_NS;
    }
    assert_int_equal(acked_count(pair, acked), CALLS);
    assert_true(before_reply > 0);
    engine_pair_close(pair, now_ns);
}

/* The bell says first that the application is gone, and the control plane says so again. */
static void the_last_word_of_who_is_gone_is_said_once(void **state) {
    (void)state;
    struct pair_plan plan = plan_of(1, (struct te_fault){0});
    plan.calls = 3;
    plan.now_ns = BEGIN_NS;
    struct engine_pair *pair = engine_pair_open(&plan);
    struct side *server = pair->server;
    struct side *client = pair->client;
    uint64_t now_ns = BEGIN_NS;
    for (; !engine_pair_is_done(pair); now_ns += STEP_NS) {
        engine_pair_step(pair, now_ns);
    }
    te_channel_begin_starts(server->channel, server->flow, 1);
    te_channel_close(server->channel);
    server->channel = NULL;
    tenant_stop(&server->engine, server->tenant, TE_R_CLOSED);
    assert_int_equal(tenant_detach(&server->engine, server->tenant), TE_OK);
    uint8_t kinds[2] = {0};
    for (uint32_t steps = 0; kinds[1] == 0; steps++) {
        assert_true(steps < STEPS_MAX);
        bool moved = engine_poll(&client->engine, now_ns) + engine_poll(&server->engine, now_ns);
        if (te_channel_receive(client->channel, client->heads, 1, client->payload,
                               sizeof client->payload) == 1) {
            kinds[kinds[0] != 0] = client->heads[0].kind;
        }
        now_ns = (moved ? now_ns : skip_idle(pair, now_ns)) + STEP_NS;
    }
    assert_int_equal(kinds[0], TE_LAST_WORD);
    assert_int_equal(kinds[1], TE_FLOW_CLOSED);
    engine_pair_close(pair, now_ns);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_loss_at_any_window),
        cmocka_unit_test(all_faults_at_any_window),
        cmocka_unit_test(the_same_seed_gives_the_same_run),
        cmocka_unit_test(uneven_polling_is_no_queue),
        cmocka_unit_test(what_nobody_waits_for_lets_others_by),
        cmocka_unit_test(what_is_told_to_be_acknowledged_has_come),
        cmocka_unit_test(the_last_word_of_who_is_gone_is_said_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
