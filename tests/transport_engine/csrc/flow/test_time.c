/* Round trips and pace: what the flow's waiting is derived from. */
#include "test.h"

#include "flow/pacer.h"
#include "flow/rtt.h"

static void samples_smooth(void **state) {
    (void)state;
    struct rtt rtt;
    rtt_init(&rtt);
    rtt_update(&rtt, &(struct rtt_sample){80000, 0, false}, 0);
    assert_int_equal(rtt.srtt_ns, 80000);
    assert_int_equal(rtt.rttvar_ns, 40000);
    rtt_update(&rtt, &(struct rtt_sample){160000, 0, false}, 0);
    assert_int_equal(rtt.srtt_ns, 90000);
    assert_int_equal(rtt.rttvar_ns, 50000);
    rtt_update(&rtt, &(struct rtt_sample){10000, 0, false}, 0);
    assert_int_equal(rtt.srtt_ns, 80000);
    assert_int_equal(rtt.min_ns, 10000);
    assert_int_equal(rtt_rto_ns(&rtt, 0), rtt.srtt_ns + 4 * rtt.rttvar_ns);
    assert_int_equal(rtt_rto_ns(&rtt, 5000000), 5000000);
}

/* What a host says it held a packet counts as far as it was promised, and leaves a path. */
static void claims_are_believed_with_care(void **state) {
    (void)state;
    struct rtt rtt;
    rtt_init(&rtt);
    rtt_update(&rtt, &(struct rtt_sample){50000, 20000, false}, 100000);
    assert_int_equal(rtt.path_ns, 30000);
    assert_int_equal(rtt.srtt_ns, 50000); /* nothing taken off the smallest */
    rtt_update(&rtt, &(struct rtt_sample){130000, 90000, false}, 40000);
    assert_int_equal(rtt.path_ns, 40000);
    assert_int_equal(rtt.srtt_ns, 50000 - 50000 / 8 + 90000 / 8);
    rtt_update(&rtt, &(struct rtt_sample){60000, UINT64_MAX, false}, 100000);
    assert_int_equal(rtt.path_ns, 30000); /* longer than it took: it tells nothing of the path */
    assert_int_equal(rtt_path_min_ns(&rtt), 30000);
    rtt_forget_path(&rtt);
    rtt_update(&rtt, &(struct rtt_sample){70000, 0, false}, 0);
    assert_int_equal(rtt_path_min_ns(&rtt), 70000);
}

/* On a short path a long packet's own time is part of the smallest round trip, within limits. */
static void long_packets_have_a_smallest_of_their_own(void **state) {
    (void)state;
    struct rtt rtt;
    rtt_init(&rtt);
    rtt_update(&rtt, &(struct rtt_sample){12000, UINT64_MAX, false}, 0);
    assert_int_equal(rtt.path_ns, 12000); /* the first: there is nothing better */
    rtt_update(&rtt, &(struct rtt_sample){60000, 0, true}, 0);
    assert_int_equal(rtt_path_min_ns(&rtt), 12000 + RTT_PACKET_NS - 3000);
    rtt_update(&rtt, &(struct rtt_sample){15000, 0, true}, 0);
    assert_int_equal(rtt_path_min_ns(&rtt), 15000);
    rtt_update(&rtt, &(struct rtt_sample){20000, 0, false}, 0);
    assert_int_equal(rtt_path_min_ns(&rtt), 12000);
    rtt_update(&rtt, &(struct rtt_sample){10000, 0, true}, 0);
    assert_int_equal(rtt_path_min_ns(&rtt), 10000);
    rtt_init(&rtt);
    rtt_update(&rtt, &(struct rtt_sample){100000, 0, false}, 0);
    rtt_update(&rtt, &(struct rtt_sample){120000, 0, true}, 0);
    assert_int_equal(rtt_path_min_ns(&rtt), 100000); /* a long path needs no allowance */
}

static void packets_keep_their_distance(void **state) {
    (void)state;
    struct pacer pacer;
    pacer_init(&pacer);
    struct pace pace = {.window_bytes = 100000, .srtt_ns = 1000000, .packet_bytes = 1000,
                        .burst_bytes = PACER_BURST_BYTES}; /* 125 bytes a microsecond */
    pacer_set_rate(&pacer, &pace);
    uint64_t now_ns = 1000000000;
    for (int i = 0; i < 40; i++) {
        pacer_sent(&pacer, now_ns, 1250);
    }
    uint64_t burst_ns = (uint64_t)PACER_BURST_BYTES * 8;
    assert_true(pacer.next_ns >= now_ns + 400000 - burst_ns - 10);
    assert_true(pacer.next_ns <= now_ns + 400000 - burst_ns + 10);
    now_ns += 1000000000; /* of idleness, which earns no more than one burst */
    for (int i = 0; i < 40; i++) {
        pacer_sent(&pacer, now_ns, 1250);
    }
    assert_true(pacer.next_ns >= now_ns + 400000 - burst_ns - 10);
    pace.burst_bytes = 40000; /* of 50,000 that come */
    pacer_set_rate(&pacer, &pace);
    now_ns += 1000000000;
    for (int i = 0; i < 40; i++) {
        pacer_sent(&pacer, now_ns, 1250);
    }
    assert_true(pacer.next_ns >= now_ns + 80000 - 10 && pacer.next_ns <= now_ns + 80000 + 10);
    pacer_init(&pacer);
    pace.is_slow_start = true;
    pacer_set_rate(&pacer, &pace);
    pacer_sent(&pacer, 5, 1000); /* right after the clock began */
    assert_true(pacer.next_ns <= 5000 + 5);
}

static void the_smallest_windows_still_send(void **state) {
    (void)state;
    struct pacer pacer;
    pacer_init(&pacer);
    pacer_set_rate(&pacer, &(struct pace){.srtt_ns = 1000, .packet_bytes = 1000,
                                          .burst_bytes = PACER_BURST_BYTES});
    pacer_sent(&pacer, 1000000, 1000);
    assert_true(pacer.next_ns > 1000000 && pacer.next_ns < UINT64_MAX / 2);
    assert_int_equal(pacer.burst_ns, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_smooth),
        cmocka_unit_test(claims_are_believed_with_care),
        cmocka_unit_test(long_packets_have_a_smallest_of_their_own),
        cmocka_unit_test(packets_keep_their_distance),
        cmocka_unit_test(the_smallest_windows_still_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
