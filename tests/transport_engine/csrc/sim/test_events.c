/* Events come in order of time, then of their making; tallies tell quantiles. */
#include "test.h"

#include "base/prng.h"
#include "sim/events.h"
#include "sim/tally.h"

enum { EVENTS = 5000 };

static void events_come_in_order(void **state) {
    (void)state;
    struct events events = {0};
    struct prng prng = {3};
    struct event event = {0};
    for (uint32_t i = 0; i < EVENTS; i++) {
        assert_true(events_push(&events, prng_below(&prng, 100), EVENT_WORK, i));
    }
    struct event before = {0};
    for (uint32_t i = 0; i < EVENTS; i++) {
        assert_true(events_pop(&events, &event));
        assert_true(event.time_ns > before.time_ns ||
                    (event.time_ns == before.time_ns && (i == 0 || event.order > before.order)));
        before = event;
    }
    assert_false(events_pop(&events, &event));
    events_fini(&events);
}

static void quantiles_are_exact_to_half_a_percent(void **state) {
    (void)state;
    struct tally *tally = calloc(1, sizeof *tally);
    assert_non_null(tally);
    for (uint64_t i = 1; i <= 100000; i++) {
        tally_add(tally, i * 1000);
    }
    struct te_sim_quantiles found = tally_quantiles(tally);
    assert_int_equal(found.count, 100000);
    assert_in_range(found.p50, 50000000 - 250000, 50000000 + 250000);
    assert_in_range(found.p99, 99000000 - 500000, 99000000 + 500000);
    assert_in_range(found.p999, 99900000 - 500000, 100000000);
    assert_int_equal(found.max, 100000000);
    free(tally);
}

static void extreme_values_have_a_bin(void **state) {
    (void)state;
    struct tally *tally = calloc(1, sizeof *tally);
    assert_non_null(tally);
    assert_int_equal(tally_quantiles(tally).p99, 0);
    tally_add(tally, 0);
    tally_add(tally, UINT64_MAX);
    assert_int_equal(tally_quantiles(tally).p50, 0);
    assert_true(tally_quantiles(tally).p99 > UINT64_MAX / 256 * 255);
    memset(tally, 0, sizeof *tally);
    tally_add(tally, 1025); /* the middle of its bin is beyond all that there is */
    assert_int_equal(tally_quantiles(tally).p50, 1025);
    free(tally);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_in_order),
        cmocka_unit_test(quantiles_are_exact_to_half_a_percent),
        cmocka_unit_test(extreme_values_have_a_bin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
