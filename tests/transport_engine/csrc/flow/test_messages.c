/* The send queue: order, limits, what acknowledgements and losses change, and memory. */
#include "test.h"

#include "flow/messages.h"

enum { BLOCKS = 1200, SEGMENT = 1024 };

static struct store store;
static void *memory;
static struct send_queue out;
static uint8_t bytes[128 * SEGMENT];
static uint64_t now_ns;

static void open_queue(uint32_t blocks) {
    memory = calloc(1, store_bytes(blocks));
    assert_non_null(memory);
    store_init(&store, memory, blocks);
    send_queue_init(&out, SEGMENT);
    out.units_limit = 1 << 20;
    now_ns = 1000;
}

static int set_up(void **state) {
    (void)state;
    open_queue(BLOCKS);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    send_queue_fini(&out, &store);
    assert_int_equal(store.blocks.free_count, store.blocks.capacity);
    assert_int_equal(store.outgoing.free_count, store.outgoing.capacity);
    free(memory);
    return 0;
}

static uint32_t post(uint32_t size_bytes, uint8_t lane, uint8_t priority) {
    uint32_t index = send_queue_begin(&out, &store, size_bytes, lane, priority);
    assert_int_not_equal(index, NO_ITEM);
    send_queue_append(&out, &store, index, bytes, size_bytes);
    return index;
}

static struct outgoing *at(uint32_t index) {
    return pool_at(&store.outgoing, index);
}

/* Sends what goes next. */
static struct fragment send_next(void) {
    uint8_t frame[MESSAGE_HEADER_BYTES + SEGMENT];
    struct fragment fragment;
    assert_true(send_queue_pick(&out, &store, now_ns, &fragment));
    assert_int_equal(send_queue_write(&out, &store, &fragment, frame),
                     MESSAGE_HEADER_BYTES + (at(fragment.message)->body.total_bytes < SEGMENT
                                                 ? at(fragment.message)->body.total_bytes
                                                 : SEGMENT));
    return fragment;
}

static void assert_next_is(uint32_t message) {
    assert_int_equal(send_next().message, message);
}

static void assert_nothing_goes(void) {
    struct fragment fragment;
    assert_false(send_queue_pick(&out, &store, now_ns, &fragment));
}

static void urgent_and_short_messages_go_first(void **state) {
    (void)state;
    uint32_t late = post(SEGMENT, 0, 7);
    uint32_t large = post(3 * SEGMENT, 0, 2);
    uint32_t small = post(2 * SEGMENT, 0, 2);
    uint32_t urgent = post(4 * SEGMENT, 0, 0);
    for (int i = 0; i < 4; i++) {
        assert_next_is(urgent);
    }
    assert_next_is(small);
    assert_next_is(small);
    for (int i = 0; i < 3; i++) {
        assert_next_is(large);
    }
    assert_true(send_queue_has_work(&out));
    assert_next_is(late);
    assert_false(send_queue_has_work(&out));
}

static uint32_t post_until(uint64_t expires_ns, uint32_t size_bytes) {
    uint32_t index = post(size_bytes, 0, 0);
    send_queue_expire(&store, index, expires_ns);
    return index;
}

/* However many there are, and though they came first, are urgent and are short. */
static void what_nobody_waits_for_goes_last(void **state) {
    (void)state;
    uint32_t late = NO_ITEM;
    for (int i = 0; i < 100; i++) {
        uint32_t index = post_until(now_ns + 1, SEGMENT);
        late = i == 0 ? index : late;
    }
    uint32_t long_late = post_until(now_ns + 1, 2 * SEGMENT);
    assert_next_is(late); /* it is not late yet */
    now_ns += 1;
    uint32_t waited_for = post_until(now_ns + 1000, 2 * SEGMENT);
    uint32_t last = post(SEGMENT, 0, 7);
    assert_next_is(waited_for);
    assert_next_is(waited_for);
    assert_next_is(last);
    for (int i = 1; i < 100; i++) {
        assert_int_equal(at(send_next().message)->segment_count, 1);
    }
    assert_next_is(long_late);
    assert_next_is(long_late);
    assert_nothing_goes();
}

/* The peer keeps memory for it, and would wait. */
static void what_was_begun_keeps_its_place(void **state) {
    (void)state;
    uint32_t begun = post_until(now_ns + 1, 2 * SEGMENT);
    assert_next_is(begun);
    now_ns += 1;
    uint32_t other = post(SEGMENT, 0, 1);
    assert_next_is(begun);
    assert_next_is(other);
    uint32_t late = post_until(now_ns, 2 * SEGMENT);
    struct fragment lost = send_next();
    assert_int_equal(lost.message, late); /* nothing else was there */
    other = post(SEGMENT, 0, 1);
    assert_next_is(late);
    send_queue_lost(&out, &store, &lost);
    assert_next_is(late);
    assert_next_is(other);
    assert_nothing_goes();
}

static void a_message_goes_as_it_is_appended(void **state) {
    (void)state;
    uint32_t index = send_queue_begin(&out, &store, 2 * SEGMENT + 10, 0, 0);
    send_queue_append(&out, &store, index, bytes, SEGMENT - 1);
    assert_nothing_goes(); /* no whole segment yet */
    send_queue_append(&out, &store, index, bytes, 1);
    assert_int_equal(send_next().segment, 0);
    assert_nothing_goes();
    send_queue_append(&out, &store, index, bytes, SEGMENT + 10);
    assert_int_equal(send_next().segment, 1);
}

static void credit_holds_back_new_messages_only(void **state) {
    (void)state;
    out.units_limit = 2;
    uint32_t first = post(8192, 0, 1);
    uint32_t second = post(4096, 0, 0);
    assert_next_is(second);
    out.units_limit = 3;
    assert_next_is(second); /* begun: it goes on */
    assert_next_is(second);
    assert_next_is(second);
    assert_next_is(first);
    assert_int_equal(out.units_sent, 3);
    post(10, 0, 0);
    assert_next_is(first);
    out.units_limit = UINT64_MAX; /* whatever a peer grants */
    assert_int_not_equal(send_next().message, first);
}

/* At most a window of ids is under way, counted from the oldest that is not whole. */
static void ids_stay_within_the_window(void **state) {
    (void)state;
    struct fragment oldest = {0, 0, 0};
    for (uint64_t id = 0; id < MESSAGE_WINDOW; id++) {
        post(10, 0, 0);
        struct fragment fragment = send_next();
        assert_int_equal(at(fragment.message)->id, id);
        if (id == 0) {
            oldest = fragment;
        } else {
            send_queue_acked(&out, &store, &fragment);
        }
    }
    uint32_t next = post(10, 0, 0);
    assert_nothing_goes();
    send_queue_acked(&out, &store, &oldest);
    assert_int_equal(out.whole.base, MESSAGE_WINDOW);
    assert_next_is(next);
    assert_int_equal(at(next)->id, MESSAGE_WINDOW);
}

static void lost_segments_go_again_before_new_ones(void **state) {
    (void)state;
    post(4 * SEGMENT, 0, 0);
    struct fragment sent[2] = {send_next(), send_next()};
    assert_false(send_queue_is_repeat(&store, &(struct fragment){sent[0].message, 0, 2}));
    send_queue_lost(&out, &store, &sent[0]);
    send_queue_lost(&out, &store, &sent[0]); /* twice is once */
    send_queue_lost(&out, &store, &sent[1]);
    assert_int_equal(at(sent[0].message)->lost_count, 2);
    struct fragment again = {0, 0, 0};
    assert_true(send_queue_pick(&out, &store, now_ns, &again));
    assert_true(send_queue_is_repeat(&store, &again));
    assert_int_equal(send_next().segment, 0);
    assert_int_equal(send_next().segment, 1);
    assert_int_equal(send_next().segment, 2);
}

/* An acknowledgement that comes after the loss was declared takes it back. */
static void late_acknowledgements_save_the_resending(void **state) {
    (void)state;
    post(2 * SEGMENT, 0, 0);
    struct fragment sent[2] = {send_next(), send_next()};
    send_queue_lost(&out, &store, &sent[0]);
    send_queue_lost(&out, &store, &sent[1]);
    send_queue_acked(&out, &store, &sent[0]);
    assert_true(send_queue_has_work(&out)); /* the other is still lost */
    assert_int_equal(at(sent[0].message)->lost_count, 1);
    send_queue_lost(&out, &store, &sent[0]); /* it is not */
    assert_int_equal(at(sent[0].message)->lost_count, 1);
    send_queue_acked(&out, &store, &sent[1]);
    assert_int_equal(out.message_count, 0);
    assert_false(send_queue_has_work(&out));
    uint32_t longer = post(4 * SEGMENT, 0, 0);
    struct fragment first = send_next();
    send_queue_lost(&out, &store, &first);
    send_queue_acked(&out, &store, &first);
    send_queue_acked(&out, &store, &first);
    assert_int_equal(at(longer)->acked_count, 1);
    assert_int_equal(send_next().segment, 1); /* new segments wait all the same */
    struct fragment rest[2] = {send_next(), send_next()};
    send_queue_lost(&out, &store, &rest[0]);
    send_queue_acked(&out, &store, &rest[0]);
    assert_false(send_queue_has_work(&out));
}

static void a_slot_that_lives_again_is_not_mistaken(void **state) {
    (void)state;
    uint32_t index = post(10, 0, 0);
    at(index)->generation = UINT32_MAX; /* its last life before the count wraps */
    struct fragment old = send_next();
    send_queue_acked(&out, &store, &old);
    assert_int_equal(post(10, 0, 0), index);
    assert_int_equal(at(index)->generation, 0);
    assert_int_equal(send_queue_size(&out, &store, &old), 0);
    send_queue_acked(&out, &store, &old);
    send_queue_lost(&out, &store, &old);
    assert_int_equal(at(index)->acked_count + at(index)->lost_count, 0);
    struct fragment fragment = send_next();
    assert_int_equal(send_queue_size(&out, &store, &fragment), MESSAGE_HEADER_BYTES + 10);
}

/* Also over the end of the sequence, which has 16 bits. */
static void a_lane_starts_in_order(void **state) {
    (void)state;
    out.lane_next[3] = out.lane_started[3] = UINT16_MAX;
    out.units_limit = 2;
    uint32_t first = post(3 * 4096, 3, 1); /* more than there is credit for */
    uint32_t second = post(10, 3, 0);
    assert_int_equal(at(first)->lane_sequence, UINT16_MAX);
    assert_int_equal(at(second)->lane_sequence, 0);
    assert_nothing_goes();
    out.units_limit = 4;
    assert_next_is(first);
    assert_next_is(second);
    assert_int_equal(out.lane_started[3], 1);
}

/* A message has memory for all of it when it begins: two could never be finished otherwise. */
static void no_memory_is_a_value(void **state) {
    (void)state;
    send_queue_fini(&out, &store);
    free(memory);
    open_queue(6);
    uint32_t total = 3 * 4096; /* and it wants one for sets */
    uint32_t first = send_queue_begin(&out, &store, total, 0, 0);
    assert_int_not_equal(first, NO_ITEM);
    assert_int_equal(send_queue_begin(&out, &store, total, 0, 0), NO_ITEM);
    assert_int_equal(store.outgoing.free_count, 5);
    assert_int_not_equal(send_queue_begin(&out, &store, 10, 0, 0), NO_ITEM);
    while (pool_take(&store.blocks) != NO_ITEM) {
    }
    send_queue_append(&out, &store, first, bytes, total);
    send_queue_fini(&out, &store);
    free(memory);
    open_queue(2);
    while (pool_take(&store.outgoing) != NO_ITEM) {
    }
    assert_int_equal(send_queue_begin(&out, &store, 10, 0, 0), NO_ITEM); /* no place */
    store_init(&store, memory, 2);
}

static void assert_oldest_is(uint32_t message, uint32_t segment) {
    struct fragment fragment;
    assert_true(send_queue_pick_oldest(&out, &store, &fragment));
    assert_int_equal(fragment.message, message);
    assert_int_equal(fragment.segment, segment);
}

/* What a peer without memory for anything else takes. */
static void the_oldest_is_found(void **state) {
    (void)state;
    struct fragment none;
    uint32_t later = post(SEGMENT, 0, 1); /* begun first, but not sent */
    assert_false(send_queue_pick_oldest(&out, &store, &none));
    uint32_t oldest = send_queue_begin(&out, &store, 3 * SEGMENT, 0, 0);
    send_queue_append(&out, &store, oldest, bytes, 2 * SEGMENT);
    struct fragment first = send_next();
    assert_int_equal(first.message, oldest);
    assert_oldest_is(oldest, 0); /* in flight, perhaps in vain */
    send_queue_acked(&out, &store, &first);
    assert_oldest_is(oldest, 1); /* never sent */
    struct fragment second = send_next();
    assert_next_is(later);
    send_queue_acked(&out, &store, &second);
    assert_false(send_queue_pick_oldest(&out, &store, &none)); /* its end is not here yet */
    send_queue_append(&out, &store, oldest, bytes, SEGMENT);
    struct fragment third = send_next();
    send_queue_acked(&out, &store, &third);
    assert_oldest_is(later, 0);
}

static void what_is_below_the_lowest_tag_is_at_the_peer(void **state) {
    (void)state;
    assert_int_equal(send_queue_unacked_tag(&out, &store), 1);
    uint32_t indexes[5];
    for (uint32_t i = 0; i < 5; i++) {
        indexes[i] = post(i == 1 ? 2 * SEGMENT : 10, 0, 0); /* the second ends last */
        send_queue_tag(&out, &store, indexes[i], i == 3 ? 1 : 10 * (i + 1)); /* they grow */
    }
    struct fragment sent[6];
    for (int i = 0; i < 6; i++) {
        sent[i] = send_next();
    }
    assert_int_equal(send_queue_unacked_tag(&out, &store), 10);
    for (int i = 5; i >= 0; i--) {
        if (sent[i].message != indexes[1]) {
            send_queue_acked(&out, &store, &sent[i]);
            assert_int_equal(send_queue_unacked_tag(&out, &store),
                             sent[i].message == indexes[0] ? 20 : 10);
        }
    }
    for (uint32_t segment = 0; segment < 2; segment++) {
        assert_int_equal(send_queue_unacked_tag(&out, &store), 20);
        struct fragment half = {indexes[1], at(indexes[1])->generation, segment};
        send_queue_acked(&out, &store, &half);
    }
    assert_int_equal(send_queue_unacked_tag(&out, &store), 51);
}

static void of_what_was_given_up_no_tag_is_told(void **state) {
    (void)state;
    send_queue_tag(&out, &store, post(10, 0, 0), 7);
    send_queue_fini(&out, &store);
    assert_int_equal(send_queue_unacked_tag(&out, &store), 1);
}

/* Many without tags stand before the first that has one: then it is not looked for. */
static void a_tag_that_is_far_behind_is_not_known(void **state) {
    (void)state;
    for (int i = 0; i < 40; i++) {
        post(10, 0, 0);
    }
    send_queue_tag(&out, &store, post(10, 0, 0), 7);
    assert_int_equal(send_queue_unacked_tag(&out, &store), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(urgent_and_short_messages_go_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_nobody_waits_for_goes_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_begun_keeps_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_goes_as_it_is_appended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(credit_holds_back_new_messages_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ids_stay_within_the_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lost_segments_go_again_before_new_ones, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(late_acknowledgements_save_the_resending, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_slot_that_lives_again_is_not_mistaken, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_lane_starts_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_memory_is_a_value, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_oldest_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_below_the_lowest_tag_is_at_the_peer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(of_what_was_given_up_no_tag_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_tag_that_is_far_behind_is_not_known, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
