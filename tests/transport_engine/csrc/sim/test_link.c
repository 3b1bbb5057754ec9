/* One link as a calculation: times, queue, faults and their own stream of chance. */
#include "test.h"

#include "sim/link.h"

enum { PACKETS = 100000, SIZE = 1000 };

static const struct te_sim_link plain = {
    .rate_bps = UINT64_C(8000000000), /* a byte takes a nanosecond */
    .delay_ns = 5000,
    .queue_bytes = 10 * SIZE,
};

static void arrives_after_its_time_on_the_wire(void **state) {
    (void)state;
    struct link link;
    struct passage passage;
    link_init(&link, &plain, 1);
    assert_int_equal(link_pass(&link, 100, SIZE, &passage), LINK_PASSED);
    assert_int_equal(passage.arrives_ns, 100 + SIZE + 5000);
    assert_int_equal(link_pass(&link, 100, SIZE, &passage), LINK_PASSED);
    assert_int_equal(passage.arrives_ns, 100 + 2 * SIZE + 5000); /* it waited for the first */
    assert_int_equal(link_pass(&link, 9000, SIZE, &passage), LINK_PASSED);
    assert_int_equal(passage.arrives_ns, 9000 + SIZE + 5000); /* idle time is not saved up */
    link_fini(&link);
}

static void drops_what_does_not_fit(void **state) {
    (void)state;
    struct link link;
    struct passage passage;
    link_init(&link, &plain, 1);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(link_pass(&link, 0, SIZE, &passage), LINK_PASSED);
    }
    assert_int_equal(link_pass(&link, 0, SIZE, &passage), LINK_OVERFLOWED);
    assert_int_equal(link_pass(&link, SIZE - 1, SIZE, &passage), LINK_OVERFLOWED);
    assert_int_equal(link_pass(&link, SIZE, SIZE, &passage), LINK_PASSED);
    assert_int_equal(link.result.overflowed, 2);
    link_fini(&link);
}

static void empty_queue_takes_any_packet(void **state) {
    (void)state;
    struct te_sim_link model = plain;
    struct link link;
    struct passage passage;
    model.queue_bytes = 10;
    link_init(&link, &model, 1);
    assert_int_equal(link_pass(&link, 0, SIZE, &passage), LINK_PASSED);
    assert_int_equal(link_pass(&link, 1, SIZE, &passage), LINK_OVERFLOWED);
    assert_int_equal(link_pass(&link, SIZE, SIZE, &passage), LINK_PASSED);
    link_fini(&link);
}

static void waiting_link_says_when_there_is_room(void **state) {
    (void)state;
    struct te_sim_link model = plain;
    struct link link;
    struct passage passage;
    model.waits = 1;
    model.queue_bytes = 2 * SIZE;
    link_init(&link, &model, 1);
    assert_int_equal(link_room_ns(&link, 7, SIZE), 7);
    link_pass(&link, 7, SIZE, &passage);
    link_pass(&link, 7, SIZE, &passage);
    uint64_t room_ns = link_room_ns(&link, 7, SIZE);
    assert_in_range(room_ns, 7 + SIZE, 7 + SIZE + 1);
    assert_int_equal(link_room_ns(&link, room_ns, SIZE), room_ns);
    link_fini(&link);
}

static void marks_above_its_threshold(void **state) {
    (void)state;
    struct te_sim_link model = plain;
    struct link link;
    struct passage passage;
    model.ecn_bytes = 2 * SIZE;
    link_init(&link, &model, 1);
    for (int i = 0; i < 5; i++) {
        link_pass(&link, 0, SIZE, &passage);
        assert_int_equal(passage.is_marked, i > 2);
    }
    link_fini(&link);
}

static void loses_exactly_what_it_is_told(void **state) {
    (void)state;
    static const uint64_t list[] = {0, 5, 6};
    struct te_sim_link model = plain;
    struct link link;
    struct passage passage;
    model.rate_bps = 0;
    model.loss_list = list;
    model.loss_count = 3;
    model.loss_mask = UINT64_C(1) << 63;
    link_init(&link, &model, 1);
    for (uint64_t i = 0; i < 200; i++) {
        bool is_told = i == 0 || i == 5 || i == 6 || i % 64 == 63;
        assert_int_equal(link_pass(&link, i, SIZE, &passage), is_told ? LINK_LOST : LINK_PASSED);
    }
    link_fini(&link);
}

static void losses_come_as_often_as_asked(void **state) {
    (void)state;
    struct te_sim_link model = plain;
    struct link link;
    struct passage passage;
    model.rate_bps = 0;
    model.loss_ppm = 100000;
    link_init(&link, &model, 1);
    for (uint64_t i = 0; i < PACKETS; i++) {
        link_pass(&link, i, SIZE, &passage);
    }
    assert_in_range(link.result.lost, PACKETS / 10 - 500, PACKETS / 10 + 500);
    link_fini(&link);
}

static void bursts_are_no_longer_than_allowed(void **state) {
    (void)state;
    enum { BURST_MAX = 3 };
    struct te_sim_link model = plain;
    struct link link;
    struct passage passage;
    model.rate_bps = 0;
    model.burst_enter_ppm = 200000;
    model.burst_exit_ppm = 100000;
    model.burst_loss_ppm = 1000000;
    model.burst_packets_max = BURST_MAX;
    link_init(&link, &model, 1);
    int run = 0;
    int longest = 0;
    for (uint64_t i = 0; i < PACKETS; i++) {
        run = link_pass(&link, i, SIZE, &passage) == LINK_LOST ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    assert_int_equal(longest, BURST_MAX);
    link_fini(&link);
}

static void policer_lets_its_rate_through(void **state) {
    (void)state;
    struct te_sim_link model = plain;
    struct link link;
    struct passage passage;
    model.police_bps = model.rate_bps / 4;
    model.police_burst_bytes = 4 * SIZE;
    link_init(&link, &model, 1);
    for (uint64_t i = 0; i < PACKETS; i++) {
        link_pass(&link, i * SIZE, SIZE, &passage);
    }
    uint64_t passed = link.result.packets - link.result.policed;
    assert_in_range(passed, PACKETS / 4, PACKETS / 4 + 4);
    link_fini(&link);
}

static void jitter_keeps_the_order_and_reordering_does_not(void **state) {
    (void)state;
    struct te_sim_link model = plain;
    struct link link;
    struct passage passage;
    uint64_t before_ns = 0;
    uint32_t late = 0;
    model.jitter_ns = 100000;
    model.reorder_ppm = 200000;
    model.reorder_ns = 50000;
    link_init(&link, &model, 1);
    for (uint64_t i = 0; i < PACKETS; i++) {
        link_pass(&link, i * SIZE, SIZE, &passage);
        if (passage.is_late) {
            late++;
            continue;
        }
        assert_true(passage.arrives_ns >= before_ns);
        before_ns = passage.arrives_ns;
    }
    assert_in_range(late, PACKETS / 5 - 1000, PACKETS / 5 + 1000);
    link_fini(&link);
}

static void healed_link_has_no_faults(void **state) {
    (void)state;
    struct te_sim_link model = plain;
    struct link link;
    struct passage passage;
    model.loss_ppm = model.duplicate_ppm = model.corrupt_ppm = model.reorder_ppm = 900000;
    model.loss_mask = UINT64_MAX;
    model.burst_enter_ppm = 1000000;
    model.burst_loss_ppm = 1000000;
    link_init(&link, &model, 1);
    link.down_count = 2;
    assert_int_equal(link_pass(&link, 0, SIZE, &passage), LINK_BLACKED_OUT);
    link_heal(&link);
    for (uint64_t i = 1; i < 1000; i++) {
        assert_int_equal(link_pass(&link, i * SIZE, SIZE, &passage), LINK_PASSED);
        assert_false(passage.has_copy || passage.is_corrupt || passage.is_late);
    }
    link_fini(&link);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrives_after_its_time_on_the_wire),
        cmocka_unit_test(drops_what_does_not_fit),
        cmocka_unit_test(empty_queue_takes_any_packet),
        cmocka_unit_test(waiting_link_says_when_there_is_room),
        cmocka_unit_test(marks_above_its_threshold),
        cmocka_unit_test(loses_exactly_what_it_is_told),
        cmocka_unit_test(losses_come_as_often_as_asked),
        cmocka_unit_test(bursts_are_no_longer_than_allowed),
        cmocka_unit_test(policer_lets_its_rate_through),
        cmocka_unit_test(jitter_keeps_the_order_and_reordering_does_not),
        cmocka_unit_test(healed_link_has_no_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
