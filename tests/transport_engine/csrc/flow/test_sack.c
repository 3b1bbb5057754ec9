/* Ranges of received numbers against a plain set. */
#include "test.h"

#include "base/prng.h"
#include "flow/sack.h"

enum { NUMBERS = 400 };

static void check_ranges(const struct sack *sack, const bool *seen) {
    for (uint32_t i = 0; i < sack->count; i++) {
        assert_true(sack->ranges[i].first <= sack->ranges[i].last);
        assert_true(i == 0 || sack->ranges[i].last + 1 < sack->ranges[i - 1].first);
        for (uint64_t n = sack->ranges[i].first; n <= sack->ranges[i].last; n++) {
            assert_true(seen[n]);
        }
    }
}

static void equals_a_set(void **state) {
    (void)state;
    struct prng prng;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct sack sack;
        bool seen[NUMBERS] = {false};
        prng_init(&prng, seed);
        sack_init(&sack, 0);
        uint32_t spread = 1 + prng_below(&prng, 60);
        for (uint32_t i = 0; i < NUMBERS - spread; i++) {
            uint64_t number = i + prng_below(&prng, spread);
            assert_true(sack_has(&sack, number) == (seen[number] || number < sack.floor));
            if (!sack_has(&sack, number)) {
                sack_add(&sack, number);
                seen[number] = true;
            }
            assert_true(sack_has(&sack, number));
            check_ranges(&sack, seen);
        }
    }
}

static void overflow_forgets_the_oldest(void **state) {
    (void)state;
    struct sack sack;
    sack_init(&sack, 0);
    for (uint64_t i = 0; i <= ACK_RANGES_MAX; i++) {
        sack_add(&sack, 2 * i + 1);
    }
    assert_int_equal(sack.count, ACK_RANGES_MAX);
    assert_int_equal(sack.floor, 2);
    assert_true(sack_has(&sack, 0));
    assert_false(sack_has(&sack, 2));
    assert_int_equal(sack.ranges[0].last, 2 * ACK_RANGES_MAX + 1);
}

static void forgets_what_the_peer_knows(void **state) {
    (void)state;
    struct sack sack;
    struct ack_frame ack;
    sack_init(&sack, 5);
    assert_false(sack_fill(&sack, &ack, ACK_RANGES_MAX));
    sack_add(&sack, 5);
    sack_add(&sack, 7);
    sack_add(&sack, 9);
    sack_forget(&sack, 7);
    assert_int_equal(sack.count, 1);
    assert_int_equal(sack.floor, 8);
    sack_forget(&sack, 9); /* the newest range stays: it is what the next ACK says */
    assert_true(sack_fill(&sack, &ack, 1));
    assert_int_equal(ack.ranges[0].last, 9);
}

/* A packet may carry the acknowledgement that raises the floor above its own number. */
static void the_floor_never_falls(void **state) {
    (void)state;
    struct sack sack;
    sack_init(&sack, 0);
    sack_add(&sack, 1);
    sack_add(&sack, 5);
    sack_add(&sack, 6);
    sack_add(&sack, 9);
    assert_false(sack_has(&sack, 3));
    sack_forget(&sack, 9);
    assert_int_equal(sack.floor, 7);
    sack_add(&sack, 3);
    assert_int_equal(sack.ranges[1].last, 3); /* the peer is told */
    sack_forget(&sack, 9);
    assert_int_equal(sack.count, 1);
    assert_int_equal(sack.floor, 7);
    assert_true(sack_has(&sack, 6));
}

/* A flow may live for more packets than the length of a range can say. */
static void an_endless_range_keeps_its_upper_part(void **state) {
    (void)state;
    struct sack sack;
    sack_init(&sack, 0);
    sack_add(&sack, 0);
    for (uint64_t number = 2; number < 3 * SACK_SPAN_MAX; number++) {
        assert_false(sack_has(&sack, number));
        sack_add(&sack, number);
        assert_int_equal(sack.ranges[0].last, number);
        assert_true(number - sack.ranges[0].first < SACK_SPAN_MAX);
        assert_true(sack_has(&sack, number));
    }
    assert_int_equal(sack.count, 1);
    assert_int_equal(sack.floor, sack.ranges[0].first);
    assert_true(sack.floor >= 2 * SACK_SPAN_MAX);
    assert_true(sack_has(&sack, 1)); /* too late, as below any floor */
}

/* A number that would be the oldest of too many ranges is forgotten with them. */
static void a_full_table_takes_no_older_number(void **state) {
    (void)state;
    struct sack sack;
    sack_init(&sack, 0);
    for (uint64_t i = 0; i < ACK_RANGES_MAX; i++) {
        sack_add(&sack, 10 + 2 * i);
    }
    sack_add(&sack, 5);
    assert_int_equal(sack.floor, 11);
    assert_int_equal(sack.count, ACK_RANGES_MAX - 1);
    assert_int_equal(sack.ranges[ACK_RANGES_MAX - 2].first, 12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_a_set),
        cmocka_unit_test(overflow_forgets_the_oldest),
        cmocka_unit_test(forgets_what_the_peer_knows),
        cmocka_unit_test(the_floor_never_falls),
        cmocka_unit_test(an_endless_range_keeps_its_upper_part),
        cmocka_unit_test(a_full_table_takes_no_older_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
