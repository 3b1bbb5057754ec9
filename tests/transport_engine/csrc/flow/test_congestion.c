/* Congestion control by name: what every algorithm owes the flow, whatever it is told. */
#include "test.h"

#include "base/prng.h"
#include "flow/congestion.h"

static const char *const names[] = {"swift", "cubic", "fixed"};

enum { ALGORITHMS = sizeof names / sizeof names[0], PACKET_BYTES = 1452 };

static struct congestion start(const char *name, uint8_t profile) {
    struct congestion congestion = {.ops = congestion_find(name), .packet_bytes = PACKET_BYTES,
                                    .profile = profile};
    assert_non_null(congestion.ops);
    congestion.ops->init(&congestion);
    return congestion;
}

static void algorithms_are_found_by_name(void **state) {
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++) {
        assert_string_equal(congestion_find(names[i])->name, names[i]);
    }
    assert_null(congestion_find(""));
    assert_null(congestion_find("swif"));
    assert_null(congestion_find("swifter"));
}

/* The baseline sends 64 packets whatever happens. */
static void fixed_never_changes(void **state) {
    (void)state;
    struct congestion fixed = start("fixed", PROFILE_RACK);
    struct congestion_ack ack = {.now_ns = 5, .rtt_ns = 1000000, .rtt_min_ns = 10, .srtt_ns = 10,
                                 .acked_bytes = 1000, .is_limited = true};
    const struct congestion_loss loss = {.now_ns = 9, .lost_bytes = 5000};
    fixed.ops->acked(&fixed, &ack);
    fixed.ops->lost(&fixed, &loss);
    fixed.ops->timed_out(&fixed, 10);
    congestion_undo(&fixed);
    assert_int_equal(congestion_window_bytes(&fixed), 64 * PACKET_BYTES);
    assert_false(fixed.is_slow_start);
}

/* Any history leaves a window from which the flow can go on, and no more than 64 MiB of it. */
static void any_history_leaves_a_window(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct congestion congestion = start(names[seed % ALGORITHMS], seed / ALGORITHMS % 2);
        uint64_t rtt_min_ns = 1 + prng_below(&prng, 1u << prng_below(&prng, 28));
        uint64_t now_ns = seed % 2 ? UINT64_C(1) << 62 : 0;
        for (int step = 0; step < 3000; step++) {
            uint64_t srtt_ns = rtt_min_ns + prng_below(&prng, 1u << prng_below(&prng, 28));
            now_ns += prng_below(&prng, 1u << prng_below(&prng, 31));
            if (prng_chance(&prng, 50000)) {
                const struct congestion_loss loss = {now_ns, now_ns - srtt_ns, srtt_ns,
                                                     prng_below(&prng, 1u << 24)};
                congestion.ops->lost(&congestion, &loss);
            } else if (prng_chance(&prng, 2000)) {
                congestion.ops->timed_out(&congestion, now_ns);
            } else if (prng_chance(&prng, 10000)) {
                congestion_undo(&congestion);
            } else {
                struct congestion_ack ack = {
                    .now_ns = now_ns, .rtt_ns = srtt_ns, .rtt_min_ns = rtt_min_ns,
                    .srtt_ns = srtt_ns, .acked_bytes = prng_below(&prng, 1u << 20),
                    .marked_packets = (uint16_t)(prng_chance(&prng, 10000) ? 3 : 0),
                    .is_limited = prng_chance(&prng, 800000)};
                congestion.ops->acked(&congestion, &ack);
            }
            assert_true(congestion.window > 0);
            assert_true(congestion_window_bytes(&congestion) <= UINT64_C(64) << 20);
        }
    }
}

static void windows_have_a_ceiling(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct congestion congestion = start(names[i], PROFILE_CLOUD);
        for (uint64_t now_ns = 0; now_ns < 20000000; now_ns += 1000000) {
            struct congestion_ack ack = {.now_ns = now_ns, .rtt_ns = 1000000, .srtt_ns = 1000000,
                                         .rtt_min_ns = 1000000, .acked_bytes = 1 << 23,
                                         .is_limited = true};
            congestion.ops->acked(&congestion, &ack);
        }
        assert_int_equal(congestion_window_bytes(&congestion), 64 << 20);
    }
}

static void undoing_gives_back_one_reduction(void **state) {
    (void)state;
    struct congestion congestion = start("cubic", PROFILE_RACK);
    uint64_t window = congestion.window;
    const struct congestion_loss loss = {1000000, 999999, 1000, 1 << 20};
    congestion.ops->lost(&congestion, &loss);
    assert_true(congestion.window < window);
    congestion_undo(&congestion);
    assert_int_equal(congestion.window, window);
    congestion.window /= 2;
    congestion_undo(&congestion); /* only once */
    assert_int_equal(congestion.window, window / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(algorithms_are_found_by_name),
        cmocka_unit_test(fixed_never_changes),
        cmocka_unit_test(any_history_leaves_a_window),
        cmocka_unit_test(windows_have_a_ceiling),
        cmocka_unit_test(undoing_gives_back_one_reduction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
