/* What a side notes of requests, and what is read of it by the one that is left. */
#define _GNU_SOURCE
#include "channel_fixture.h"

#include "base/prng.h"

enum { CALLS = 1 << 14, FLOW = 65536 + 7, NUMBER = 4711 };

static int state_of(const struct te_starts *starts, uint64_t call_id) {
    if (call_id > starts->newest) {
        return TE_UNSTARTED;
    }
    if (call_id / 32 + TE_STARTS_WORDS <= starts->newest / 32) {
        return -1;
    }
    return (int)(starts->words[call_id / 32 % TE_STARTS_WORDS] >> call_id % 32 * 2 & 3);
}

static void test_nothing_is_known_of_a_flow_that_was_not_begun(void **state) {
    struct both *both = *state;
    struct te_starts starts;
    assert_false(channel_starts(both->engine, FLOW, &starts));
    te_channel_note(both->application, FLOW, 1, TE_STARTED);
    assert_false(channel_starts(both->engine, FLOW, &starts));
    te_channel_begin_starts(both->application, FLOW, NUMBER);
    assert_true(channel_starts(both->engine, FLOW, &starts));
    assert_int_equal(state_of(&starts, 1), TE_UNSTARTED);
    assert_int_equal(te_channel_starts(both->application, FLOW, 1, &starts), 1);
    assert_int_equal(te_channel_starts(both->application, FLOW, 0, &starts), 0);
}

static void test_the_place_of_another_flow_is_left_alone(void **state) {
    struct both *both = *state;
    struct te_starts starts;
    te_channel_begin_starts(both->application, FLOW, NUMBER);
    te_channel_note(both->application, FLOW, 5, TE_STARTED);
    te_channel_begin_starts(both->application, FLOW + 64, NUMBER);
    te_channel_note(both->application, FLOW, 6, TE_STARTED);
    assert_false(channel_starts(both->engine, FLOW, &starts));
    assert_true(channel_starts(both->engine, FLOW + 64, &starts));
    assert_int_equal(starts.newest, 0);
    assert_int_equal(starts.words[0], 0);
}

/* Calls of any order, far jumps included: what is read is what was noted, or nothing. */
static void test_what_is_read_is_what_was_noted(void **state) {
    struct both *both = *state;
    static uint8_t noted[CALLS];
    struct te_starts starts;
    struct prng prng = {.state = 7};
    uint64_t next = 1;
    int known = 0;
    te_channel_begin_starts(both->application, FLOW, NUMBER);
    for (int round = 0; next < CALLS - 200; round++) {
        next += round % 97 == 0 ? 100 : prng_below(&prng, 3);
        uint64_t late = prng_below(&prng, 1500);
        uint64_t call_id = prng_below(&prng, 4) == 0 && next > late ? next - late : next;
        int is = (int)prng_below(&prng, 2) + TE_TAKEN;
        te_channel_note(both->application, FLOW, call_id, is);
        noted[call_id] = (uint8_t)is;
        assert_true(channel_starts(both->engine, FLOW, &starts));
        for (uint64_t seen = next > 1200 ? next - 1200 : 1; seen < next + 40; seen++) {
            int read = state_of(&starts, seen);
            assert_true(read == -1 || read == noted[seen]);
            known += read > 0;
        }
        assert_true(next < 1000 || state_of(&starts, next - 900) != -1);
    }
    assert_true(known > CALLS);
}

static void test_ids_at_the_end_of_their_range_change_no_others(void **state) {
    struct both *both = *state;
    struct te_starts starts;
    te_channel_begin_starts(both->application, FLOW, NUMBER);
    te_channel_note(both->application, FLOW, UINT64_MAX, TE_STARTED);
    assert_true(channel_starts(both->engine, FLOW, &starts));
    assert_int_equal(starts.newest, 0);
    te_channel_note(both->application, FLOW, UINT64_MAX - 1, TE_STARTED);
    te_channel_note(both->application, FLOW, 3, TE_STARTED); /* too old now */
    assert_true(channel_starts(both->engine, FLOW, &starts));
    assert_int_equal(state_of(&starts, UINT64_MAX - 1), TE_STARTED);
    assert_int_equal(state_of(&starts, UINT64_MAX - 2), TE_UNSTARTED);
    assert_int_equal(state_of(&starts, 3), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CHANNEL_TEST(test_nothing_is_known_of_a_flow_that_was_not_begun),
        CHANNEL_TEST(test_the_place_of_another_flow_is_left_alone),
        CHANNEL_TEST(test_what_is_read_is_what_was_noted),
        CHANNEL_TEST(test_ids_at_the_end_of_their_range_change_no_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
