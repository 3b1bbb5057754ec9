/* Swift beside somebody who keeps the queue full, and on a path that became longer. */
#include "test.h"

#include "flow/congestion.h"

enum { PACKET_BYTES = 1452, TRIP_NS = 100000, QUEUED_NS = 500000, ROUNDS_MAX = 60 };

static struct congestion swift;
static uint64_t now_ns;

static void start(uint8_t profile) {
    swift = (struct congestion){.ops = &congestion_swift, .packet_bytes = PACKET_BYTES,
                                .profile = profile};
    swift.ops->init(&swift);
    now_ns = 1000000000;
}

/* Returns whether the smallest round trip is to be measured anew. */
static bool acknowledge(uint64_t rtt_ns) {
    struct congestion_ack ack = {.now_ns = now_ns, .rtt_ns = rtt_ns, .rtt_min_ns = TRIP_NS,
                                 .srtt_ns = rtt_ns, .acked_bytes = PACKET_BYTES,
                                 .is_limited = true};
    swift.ops->acked(&swift, &ack);
    return ack.is_rtt_min_stale;
}

static void rounds_of(uint64_t rtt_ns, int count) {
    for (int i = 0; i < 8 * count; i++) {
        now_ns += rtt_ns / 8 + 1;
        acknowledge(rtt_ns);
    }
}

static bool is_cubic(void) {
    return swift.swift.rival_since_ns != 0;
}

/* Returns the window before the queue filled. */
static uint64_t meet_rival(void) {
    start(PROFILE_CLOUD);
    rounds_of(TRIP_NS, 3);
    uint64_t window = swift.window;
    for (int i = 0; !is_cubic(); i++) {
        assert_true(i < ROUNDS_MAX);
        rounds_of(QUEUED_NS, 1);
    }
    return window;
}

static void a_full_queue_is_not_yielded_to(void **state) {
    (void)state;
    uint64_t window = meet_rival();
    assert_true(swift.window >= window / 2); /* reductions are taken back */
    uint64_t before = swift.window;
    const struct congestion_loss loss = {now_ns, now_ns, QUEUED_NS, PACKET_BYTES};
    swift.ops->lost(&swift, &loss);
    assert_in_range(swift.window, before * 69 / 100, before * 71 / 100); /* as CUBIC */
}

static void a_rival_that_leaves_is_noticed(void **state) {
    (void)state;
    meet_rival();
    now_ns += QUEUED_NS;
    assert_false(acknowledge(TRIP_NS));
    assert_false(is_cubic());
    rounds_of(TRIP_NS, 20);
    assert_false(is_cubic());
}

/* Half of the window is given up to learn whether it is a rival at all. */
static void a_longer_path_is_learnt(void **state) {
    (void)state;
    meet_rival();
    uint64_t since_ns = now_ns;
    bool is_stale = false;
    uint64_t before = 0;
    while (!is_stale) {
        assert_true(now_ns - since_ns < UINT64_C(3000000000));
        before = swift.window;
        now_ns += QUEUED_NS;
        is_stale = acknowledge(QUEUED_NS);
    }
    assert_true(now_ns - since_ns >= UINT64_C(1900000000));
    assert_true(swift.window <= before * 51 / 100);
    assert_false(is_cubic());
}

static void in_a_rack_nobody_is_a_rival(void **state) {
    (void)state;
    start(PROFILE_RACK);
    rounds_of(TRIP_NS, 3);
    rounds_of(QUEUED_NS, ROUNDS_MAX);
    assert_false(is_cubic());
    assert_true(congestion_window_bytes(&swift) < 2 * PACKET_BYTES); /* it yields */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_queue_is_not_yielded_to),
        cmocka_unit_test(a_rival_that_leaves_is_noticed),
        cmocka_unit_test(a_longer_path_is_learnt),
        cmocka_unit_test(in_a_rack_nobody_is_a_rival),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
