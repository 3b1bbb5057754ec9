/* The timing wheel against a list that is searched. */
#include "test.h"

#include "base/pool.h"
#include "base/prng.h"
#include "engine/timers.h"

enum { ITEMS = 200 };

static struct timers timers;
static struct timer items[ITEMS];

static void equals_a_list(void **state) {
    (void)state;
    struct prng prng;
    for (uint64_t seed = 0; seed < 40; seed++) {
        uint64_t when[ITEMS];
        uint64_t now_ns = seed * 123456789 + (seed % 2 << 63); /* the wheel turns anywhere */
        prng_init(&prng, seed);
        timers_init(&timers, items, ITEMS, now_ns);
        memset(when, 0xFF, sizeof when);
        for (int round = 0; round < 3000; round++) {
            uint32_t item = prng_below(&prng, ITEMS);
            uint32_t reach_bits = 10 + prng_below(&prng, 22); /* 1 us .. 4 s */
            when[item] = prng_chance(&prng, 100000)
                             ? UINT64_MAX
                             : now_ns + prng_below(&prng, 1u << reach_bits);
            timers_set(&timers, item, when[item]);
            uint64_t earliest_ns = UINT64_MAX;
            for (int i = 0; i < ITEMS; i++) {
                earliest_ns = when[i] < earliest_ns ? when[i] : earliest_ns;
            }
            assert_true(timers_next_ns(&timers) <= earliest_ns);
            now_ns += prng_below(&prng, 1u << reach_bits) / 8;
            uint32_t popped;
            while ((popped = timers_pop(&timers, now_ns)) != NO_ITEM) {
                assert_true(when[popped] <= now_ns);
                when[popped] = UINT64_MAX;
            }
            for (int i = 0; i < ITEMS; i++) {
                assert_true(when[i] == UINT64_MAX || when[i] > now_ns);
            }
        }
    }
}

/* The next time is exact within a turn of the wheel, so that a sleeper wakes when it must. */
static void next_is_exact_when_near(void **state) {
    (void)state;
    timers_init(&timers, items, ITEMS, 1000000);
    assert_int_equal(timers_next_ns(&timers), UINT64_MAX);
    timers_set(&timers, 3, 1000000 + 777777);
    assert_int_equal(timers_next_ns(&timers), 1777777);
    timers_set(&timers, 4, 5); /* the past is now */
    assert_int_equal(timers_pop(&timers, 1000000), 4);
    assert_int_equal(timers_pop(&timers, 1777776), NO_ITEM);
    assert_int_equal(timers_pop(&timers, 1777777), 3);
    assert_int_equal(timers.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_a_list),
        cmocka_unit_test(next_is_exact_when_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
