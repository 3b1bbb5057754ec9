/* CUBIC: how slow start ends (HyStart++), and how a window grows back. */
#include "test.h"

#include "flow/congestion.h"

enum { PACKET_BYTES = 1452, TRIP_NS = 1000000, SAMPLES = 10 };

static struct congestion cubic;
static uint64_t now_ns;

static int set_up(void **state) {
    (void)state;
    cubic = (struct congestion){.ops = &congestion_cubic, .packet_bytes = PACKET_BYTES};
    cubic.ops->init(&cubic);
    now_ns = 1000000000;
    return 0;
}

static void acknowledge(uint64_t rtt_ns, uint32_t bytes) {
    struct congestion_ack ack = {.now_ns = now_ns, .rtt_ns = rtt_ns, .rtt_min_ns = TRIP_NS,
                                 .srtt_ns = TRIP_NS, .acked_bytes = bytes, .is_limited = true};
    cubic.ops->acked(&cubic, &ack);
}

/* One round trip of packets that took so long; returns the growth in packets of the window. */
static uint64_t round_of(uint64_t rtt_ns) {
    uint64_t before_bytes = congestion_window_bytes(&cubic);
    for (int i = 0; i < SAMPLES; i++) {
        now_ns += TRIP_NS / SAMPLES + 1;
        acknowledge(rtt_ns, PACKET_BYTES);
    }
    return (congestion_window_bytes(&cubic) - before_bytes + PACKET_BYTES / 2) / PACKET_BYTES;
}

static void lose(void) {
    const struct congestion_loss loss = {now_ns, now_ns, TRIP_NS, PACKET_BYTES};
    cubic.ops->lost(&cubic, &loss);
}

static void a_lasting_rise_ends_slow_start(void **state) {
    (void)state;
    round_of(TRIP_NS);
    assert_int_equal(round_of(TRIP_NS), SAMPLES);
    round_of(2 * TRIP_NS);
    int rounds = 0;
    for (; cubic.is_slow_start; rounds++) {
        assert_true(rounds < 10);
        assert_true(round_of(2 * TRIP_NS) <= SAMPLES / 2); /* a quarter, once it has begun */
    }
    assert_true(rounds >= 3 && rounds <= 6);
}

static void a_passing_rise_does_not(void **state) {
    (void)state;
    round_of(TRIP_NS);
    round_of(TRIP_NS);
    round_of(2 * TRIP_NS);
    assert_true(cubic.cubic.css_rounds > 0);
    round_of(TRIP_NS);
    round_of(TRIP_NS);
    assert_int_equal(cubic.cubic.css_rounds, 0);
    assert_true(cubic.is_slow_start);
    assert_int_equal(round_of(TRIP_NS), SAMPLES);
}

static void a_loss_takes_three_tenths(void **state) {
    (void)state;
    cubic.window *= 10;
    uint64_t window = congestion_window_bytes(&cubic);
    lose();
    assert_in_range(congestion_window_bytes(&cubic), window * 69 / 100, window * 71 / 100);
    uint64_t reduced = cubic.window;
    const struct congestion_loss older = {now_ns + 1, now_ns - 1, TRIP_NS, PACKET_BYTES};
    cubic.ops->lost(&cubic, &older); /* of the same burst */
    assert_int_equal(cubic.window, reduced);
}

/* However long nothing was acknowledged, the window grows by half in a round trip at most. */
static void a_long_pause_makes_no_leap(void **state) {
    (void)state;
    lose();
    acknowledge(TRIP_NS, PACKET_BYTES);
    now_ns += UINT64_C(300) * 1000000000;
    uint64_t window_bytes = congestion_window_bytes(&cubic);
    acknowledge(TRIP_NS, (uint32_t)window_bytes);
    assert_true(congestion_window_bytes(&cubic) > window_bytes);
    assert_true(congestion_window_bytes(&cubic) <= window_bytes * 3 / 2 + PACKET_BYTES);
}

/* A step is the acknowledged part of what lacks, in the largest windows, too. */
static void a_large_window_takes_a_whole_step(void **state) {
    (void)state;
    cubic.window = congestion_window_max;
    lose();
    const uint64_t window = cubic.window;
    const uint64_t window_bytes = congestion_window_bytes(&cubic);
    acknowledge(TRIP_NS, 1);
    now_ns += UINT64_C(300) * 1000000000; /* by then half a window lacks */
    for (uint32_t part = 4; part > 1; part--) {
        cubic.window = window;
        acknowledge(TRIP_NS, (uint32_t)window_bytes / part);
        const uint64_t step_bytes = congestion_window_bytes(&cubic) - window_bytes;
        assert_in_range(step_bytes, window_bytes / 2 / part - 1, window_bytes / 2 / part);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_lasting_rise_ends_slow_start, set_up),
        cmocka_unit_test_setup(a_passing_rise_does_not, set_up),
        cmocka_unit_test_setup(a_loss_takes_three_tenths, set_up),
        cmocka_unit_test_setup(a_long_pause_makes_no_leap, set_up),
        cmocka_unit_test_setup(a_large_window_takes_a_whole_step, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
