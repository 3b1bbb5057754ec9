/* What an engine tells of acknowledged requests, and what an application reads of it. */
#define _GNU_SOURCE
#include "channel_fixture.h"

enum { FLOW = 65536 + 7, FLOWS = 1024 };

static bool has(const struct both *both, uint32_t flow, uint64_t call_id) {
    return te_channel_has_acked(both->application, flow, call_id);
}

static void tell(const struct both *both, uint32_t flow, uint64_t below) {
    assert_int_equal(channel_seal(both->engine), TE_OK);
    channel_tell_acked(both->engine, flow, below);
}

static void test_nothing_is_known_before_something_is_told(void **state) {
    const struct both *both = *state;
    assert_false(has(both, 0, 0));
    assert_false(has(both, 0, 1));
    assert_false(has(both, FLOW, 1));
    tell(both, FLOW, 1);
    assert_false(has(both, FLOW, 1));
}

static void test_calls_below_the_one_that_is_told_are(void **state) {
    const struct both *both = *state;
    tell(both, FLOW, 100);
    assert_true(has(both, FLOW, 1));
    assert_true(has(both, FLOW, 99));
    assert_false(has(both, FLOW, 100));
    assert_false(has(both, FLOW, 1000000));
}

/* A flow that takes the place of another is told of alone. */
static void test_one_flow_is_not_taken_for_another(void **state) {
    const struct both *both = *state;
    tell(both, FLOW, 100);
    assert_false(has(both, FLOW + 1, 5));
    tell(both, FLOW + FLOWS, 50);
    assert_false(has(both, FLOW, 5));
    assert_true(has(both, FLOW + FLOWS, 5));
    tell(both, UINT32_MAX, 9);
    assert_true(has(both, UINT32_MAX, 8));
    assert_false(has(both, UINT32_MAX - FLOWS, 8));
}

/* The word has 42 bits of a call id: more calls than that in a flow's life do no harm. */
static void test_ids_beyond_the_bits_that_are_kept(void **state) {
    const struct both *both = *state;
    const uint64_t kept = UINT64_C(1) << 42;
    for (uint64_t below = kept - 2; below <= kept + 2; below++) {
        tell(both, FLOW, below);
        assert_true(has(both, FLOW, below - 1));
        assert_true(has(both, FLOW, below - 1000));
        assert_false(has(both, FLOW, below));
        assert_false(has(both, FLOW, below + 1000));
    }
}

static void test_whatever_stands_there_is_borne(void **state) {
    const struct both *both = *state;
    memset(both->shared + CHANNEL_ACKED_OFFSET, 0xff, CHANNEL_ACKED_FLOWS * sizeof(uint64_t));
    assert_false(has(both, FLOW, 1));
    has(both, UINT32_MAX, UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_is_known_before_something_is_told, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_calls_below_the_one_that_is_told_are, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_one_flow_is_not_taken_for_another, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ids_beyond_the_bits_that_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whatever_stands_there_is_borne, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
