/* The byte ring: fill, wrap, and every position that a hostile other end may publish. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "shm/ring.h"

enum { CAPACITY_BYTES = 4096 };

struct pair {
    uint8_t bytes[2 * CAPACITY_BYTES];
    _Atomic uint64_t tail;
    _Atomic uint64_t head;
    struct ring producer;
    struct ring consumer;
};

void te_check_failed(const char *claim, const char *file, int line) {
    mock_assert(0, claim, file, line);
    abort();
}

static int setup(void **state) {
    static struct pair pair;
    memset(&pair, 0, sizeof pair);
    ring_init(&pair.producer, RING_PRODUCER, pair.bytes, CAPACITY_BYTES, &pair.tail, &pair.head);
    ring_init(&pair.consumer, RING_CONSUMER, pair.bytes, CAPACITY_BYTES, &pair.head, &pair.tail);
    *state = &pair;
    return 0;
}

static void test_empty_has_all_room_and_no_bytes(void **state) {
    struct pair *pair = *state;
    assert_int_equal(ring_available(&pair->producer, 1), CAPACITY_BYTES);
    assert_int_equal(ring_available(&pair->consumer, 1), 0);
}

static void test_advance_is_invisible_until_published(void **state) {
    struct pair *pair = *state;
    ring_advance(&pair->producer, 64);
    assert_int_equal(ring_available(&pair->consumer, 1), 0);
    ring_publish(&pair->producer);
    assert_int_equal(ring_available(&pair->consumer, 1), 64);
}

static void test_full_until_consumer_publishes(void **state) {
    struct pair *pair = *state;
    ring_advance(&pair->producer, CAPACITY_BYTES);
    ring_publish(&pair->producer);
    assert_int_equal(ring_available(&pair->producer, 8), 0);
    assert_int_equal(ring_available(&pair->consumer, 1), CAPACITY_BYTES);
    ring_advance(&pair->consumer, 512);
    assert_int_equal(ring_available(&pair->producer, 8), 0);
    ring_publish(&pair->consumer);
    assert_int_equal(ring_available(&pair->producer, 8), 512);
}

static void test_cursor_wraps_at_capacity(void **state) {
    struct pair *pair = *state;
    for (int round = 0; round < 5; round++) {
        ring_available(&pair->producer, CAPACITY_BYTES);
        assert_ptr_equal(ring_cursor(&pair->producer), ring_cursor(&pair->consumer));
        ring_advance(&pair->producer, CAPACITY_BYTES - 1024);
        ring_publish(&pair->producer);
        assert_int_equal(ring_available(&pair->consumer, 1), CAPACITY_BYTES - 1024);
        ring_advance(&pair->consumer, CAPACITY_BYTES - 1024);
        ring_publish(&pair->consumer);
        assert_in_range((uint64_t)(ring_cursor(&pair->producer) - pair->bytes), 0,
                        CAPACITY_BYTES - 1);
    }
}

static void test_consumer_refuses_tail_of_no_honest_producer(void **state) {
    struct pair *pair = *state;
    const uint64_t hostile[] = {CAPACITY_BYTES + 8, 1, 7, UINT64_MAX, UINT64_MAX - 7, 1ULL << 63};
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        atomic_store(&pair->tail, hostile[i]);
        assert_int_equal(ring_available(&pair->consumer, 1), TE_E_CORRUPT);
    }
    atomic_store(&pair->tail, CAPACITY_BYTES);
    assert_int_equal(ring_available(&pair->consumer, 1), CAPACITY_BYTES);
}

static void test_consumer_refuses_tail_into_unpublished_room(void **state) {
    struct pair *pair = *state;
    atomic_store(&pair->tail, CAPACITY_BYTES);
    assert_int_equal(ring_available(&pair->consumer, 1), CAPACITY_BYTES);
    ring_advance(&pair->consumer, CAPACITY_BYTES); /* not published: no room for the producer */
    atomic_store(&pair->tail, CAPACITY_BYTES + 64);
    assert_int_equal(ring_available(&pair->consumer, 1), TE_E_CORRUPT);
}

static void test_consumer_refuses_tail_that_goes_back(void **state) {
    struct pair *pair = *state;
    atomic_store(&pair->tail, 128);
    assert_int_equal(ring_available(&pair->consumer, 1), 128);
    ring_advance(&pair->consumer, 128);
    ring_publish(&pair->consumer);
    atomic_store(&pair->tail, 64);
    assert_int_equal(ring_available(&pair->consumer, 1), TE_E_CORRUPT);
}

static void test_producer_refuses_head_beyond_its_tail(void **state) {
    struct pair *pair = *state;
    ring_advance(&pair->producer, CAPACITY_BYTES);
    ring_publish(&pair->producer);
    atomic_store(&pair->head, CAPACITY_BYTES + 8);
    assert_int_equal(ring_available(&pair->producer, 8), TE_E_CORRUPT);
    atomic_store(&pair->head, 12);
    assert_int_equal(ring_available(&pair->producer, 8), TE_E_CORRUPT);
    atomic_store(&pair->head, 16);
    assert_int_equal(ring_available(&pair->producer, 8), 16);
    atomic_store(&pair->head, 8);
    assert_int_equal(ring_available(&pair->producer, 32), TE_E_CORRUPT);
}

static void test_producer_refuses_head_beyond_what_it_published(void **state) {
    struct pair *pair = *state;
    ring_advance(&pair->producer, CAPACITY_BYTES - 64);
    ring_publish(&pair->producer);
    ring_advance(&pair->producer, 64); /* not published: nothing for the consumer */
    atomic_store(&pair->head, CAPACITY_BYTES - 56);
    assert_int_equal(ring_available(&pair->producer, 8), TE_E_CORRUPT);
}

static void test_advance_beyond_available_is_our_bug(void **state) {
    struct pair *pair = *state;
    expect_assert_failure(ring_advance(&pair->consumer, 8));
    expect_assert_failure(ring_advance(&pair->producer, CAPACITY_BYTES + 8));
}

static void test_positions_pass_the_end_of_64_bits(void **state) {
    struct pair *pair = *state;
    const uint64_t start = UINT64_MAX - 63; /* 64 bytes before the wrap */
    atomic_store(&pair->tail, start);
    atomic_store(&pair->head, start);
    struct ring *ends[] = {&pair->producer, &pair->consumer};
    for (int i = 0; i < 2; i++) {
        ends[i]->position = ends[i]->published = ends[i]->rung = ends[i]->peer = start;
    }
    ring_advance(&pair->producer, 256);
    ring_publish(&pair->producer);
    assert_int_equal(ring_available(&pair->consumer, 1), 256);
    ring_advance(&pair->consumer, 256);
    ring_publish(&pair->consumer);
    assert_int_equal(ring_available(&pair->producer, CAPACITY_BYTES), CAPACITY_BYTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_empty_has_all_room_and_no_bytes, setup),
        cmocka_unit_test_setup(test_advance_is_invisible_until_published, setup),
        cmocka_unit_test_setup(test_full_until_consumer_publishes, setup),
        cmocka_unit_test_setup(test_cursor_wraps_at_capacity, setup),
        cmocka_unit_test_setup(test_consumer_refuses_tail_of_no_honest_producer, setup),
        cmocka_unit_test_setup(test_consumer_refuses_tail_into_unpublished_room, setup),
        cmocka_unit_test_setup(test_consumer_refuses_tail_that_goes_back, setup),
        cmocka_unit_test_setup(test_producer_refuses_head_beyond_its_tail, setup),
        cmocka_unit_test_setup(test_producer_refuses_head_beyond_what_it_published, setup),
        cmocka_unit_test_setup(test_advance_beyond_available_is_our_bug, setup),
        cmocka_unit_test_setup(test_positions_pass_the_end_of_64_bits, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
