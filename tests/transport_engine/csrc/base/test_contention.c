/* Others who are busy are believed in for ever longer, until they were not met for a while. */
#include "test.h"

#include "base/contention.h"

#define MS 1000000ULL

static void it_is_believed_for_longer_each_time(void **state) {
    (void)state;
    struct contention contention = {0};
    uint64_t now_ns = 5000 * MS;
    for (uint64_t for_ms = 20; for_ms <= 640; for_ms *= 2) {
        assert_false(contention_is_on(&contention, now_ns));
        contention_learn(&contention, 4 * MS, 0, now_ns);
        assert_true(contention_is_on(&contention, now_ns + for_ms * MS - 1));
        assert_false(contention_is_on(&contention, now_ns + for_ms * MS));
        now_ns += 2 * for_ms * MS; /* as long without it is soon, still */
    }
    for (int round = 0; round < 3; round++) {
        contention_learn(&contention, 4 * MS, 0, now_ns);
        assert_true(contention_is_on(&contention, now_ns + 1000 * MS - 1));
        assert_false(contention_is_on(&contention, now_ns + 1000 * MS));
        now_ns += 1001 * MS;
    }
    now_ns += 1000 * MS;
    contention_learn(&contention, 4 * MS, 0, now_ns);
    assert_false(contention_is_on(&contention, now_ns + 20 * MS));
}

static void a_fair_share_is_none(void **state) {
    (void)state;
    struct contention contention = {0};
    uint64_t used_ns = 0;
    for (uint64_t now_ns = 0; now_ns < 100 * MS; now_ns += 5 * MS) {
        used_ns += MS;
        contention_learn(&contention, 4 * MS, used_ns, now_ns);
        assert_false(contention_is_on(&contention, now_ns));
    }
    contention_learn(&contention, 4 * MS, used_ns + MS - 1, 100 * MS);
    assert_true(contention_is_on(&contention, 100 * MS));
}

static void a_moment_is_no_loss(void **state) {
    (void)state;
    assert_false(contention_has_lost(100 * MS, 101 * MS - 1));
    assert_true(contention_has_lost(100 * MS, 101 * MS));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_believed_for_longer_each_time),
        cmocka_unit_test(a_fair_share_is_none),
        cmocka_unit_test(a_moment_is_no_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
