/* The histogram of latencies: buckets that meet, a known error, and ranks. */
#include "test.h"

#include "msggen/histogram.h"

static void buckets_meet(void **state) {
    (void)state;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        assert_int_equal(histogram_bucket(histogram_value(i)), i);
        assert_int_equal(histogram_bucket(histogram_value(i) + 1),
                         i + 1 < HISTOGRAM_BUCKETS ? i + 1 : i);
    }
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void no_value_is_wrong_by_more_than_a_step(void **state) {
    (void)state;
    for (uint64_t value = 1; value < UINT64_C(1) << HISTOGRAM_VALUE_BITS; value += value / 9 + 1) {
        uint64_t shown = histogram_value(histogram_bucket(value));
        assert_true(shown >= value && shown - value <= value / HISTOGRAM_STEPS);
    }
}

static void ranks_are_found(void **state) {
    static struct histogram histogram;
    (void)state;
    assert_int_equal(histogram_at(&histogram, 500000), 0);
    for (uint64_t value = 1; value <= 50; value++) {
        histogram_add(&histogram, value);
    }
    assert_int_equal(histogram_at(&histogram, 0), 1);
    assert_int_equal(histogram_at(&histogram, 500000), 25);
    assert_int_equal(histogram_at(&histogram, 500001), 26);
    assert_int_equal(histogram_at(&histogram, 999000), 50);
    histogram_clear(&histogram);
    assert_int_equal(histogram_at(&histogram, 1000000), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_meet),
        cmocka_unit_test(no_value_is_wrong_by_more_than_a_step),
        cmocka_unit_test(ranks_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
