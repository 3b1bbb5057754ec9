/* The queue of fixed-size items, on one thread and on two; and the stop flag. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "shm/command_ring.h"
#include "shm/flag.h"
#include "transport_engine.h"

enum { CAPACITY = 8, ITEMS = 200000 };

struct item {
    uint64_t number;
    uint64_t square;
    uint32_t low;
};

static void test_first_in_first_out_until_full(void **state) {
    (void)state;
    struct spsc *spsc = NULL;
    struct item item = {0};
    assert_int_equal(spsc_open(&spsc, sizeof item, CAPACITY), TE_OK);
    for (uint64_t round = 0; round < 3; round++) {
        assert_false(spsc_pop(spsc, &item));
        for (uint64_t i = 0; i < CAPACITY; i++) {
            item.number = i;
            assert_true(spsc_push(spsc, &item));
        }
        assert_false(spsc_push(spsc, &item));
        for (uint64_t i = 0; i < CAPACITY; i++) {
            assert_true(spsc_pop(spsc, &item));
            assert_int_equal(item.number, i);
        }
    }
    spsc_close(spsc);
}

static void test_open_refuses(void **state) {
    (void)state;
    struct spsc *spsc = NULL;
    assert_int_equal(spsc_open(&spsc, 0, 8), TE_E_INVALID);
    assert_int_equal(spsc_open(&spsc, 8, 0), TE_E_INVALID);
    assert_int_equal(spsc_open(&spsc, 8, 12), TE_E_INVALID);
    assert_int_equal(spsc_open(&spsc, SPSC_ITEM_BYTES_MAX + 1, 8), TE_E_INVALID);
    assert_int_equal(spsc_open(&spsc, 8, 2 * SPSC_CAPACITY_MAX), TE_E_INVALID);
    assert_null(spsc);
}

struct shared {
    struct spsc *spsc;
    struct flag done;
    uint64_t sum; /* plain: the flag orders it */
};

static void *produce(void *argument) {
    struct shared *shared = argument;
    for (uint64_t i = 1; i <= ITEMS; i++) {
        const struct item item = {.number = i, .square = i * i, .low = (uint32_t)i};
        while (!spsc_push(shared->spsc, &item)) {
            sched_yield();
        }
    }
    shared->sum = (uint64_t)ITEMS * (ITEMS + 1) / 2;
    flag_set(&shared->done);
    return NULL;
}

static void test_two_threads_lose_and_tear_nothing(void **state) {
    (void)state;
    struct shared shared = {0};
    struct item item;
    pthread_t thread;
    uint64_t sum = 0;
    assert_int_equal(spsc_open(&shared.spsc, sizeof item, CAPACITY), TE_OK);
    assert_int_equal(pthread_create(&thread, NULL, produce, &shared), 0);
    for (uint64_t expected = 1; expected <= ITEMS;) {
        if (!spsc_pop(shared.spsc, &item)) {
            sched_yield();
            continue;
        }
        assert_int_equal(item.number, expected);
        assert_int_equal(item.square, expected * expected);
        assert_int_equal(item.low, (uint32_t)expected);
        sum += item.number;
        expected++;
    }
    while (!flag_get(&shared.done)) {
        sched_yield();
    }
    assert_int_equal(sum, shared.sum);
    flag_clear(&shared.done);
    assert_false(flag_get(&shared.done));
    pthread_join(thread, NULL);
    spsc_close(shared.spsc);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_in_first_out_until_full),
        cmocka_unit_test(test_open_refuses),
        cmocka_unit_test(test_two_threads_lose_and_tear_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
