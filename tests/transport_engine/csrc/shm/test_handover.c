/* The queue of byte strings, on one thread and on two; and the bell, which loses no wake-up. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "shm/bell.h"
#include "shm/flag.h"
#include "shm/handover.h"
#include "transport_engine.h"

enum { BYTES = 1024, ITEMS = 50000, SLEEPS = 4000, WAIT_MS = 10000 };

static bool push(struct handover *handover, uint64_t number, uint32_t size_bytes) {
    uint8_t *item = handover_reserve(handover, size_bytes);
    if (item == NULL) {
        return false;
    }
    memset(item, (uint8_t)number, size_bytes);
    handover_publish(handover, size_bytes);
    return true;
}

static bool pop(struct handover *handover, uint64_t number, uint32_t size_bytes) {
    uint32_t found_bytes = 0;
    const uint8_t *item = handover_peek(handover, &found_bytes);
    if (item == NULL) {
        return false;
    }
    assert_int_equal(found_bytes, size_bytes);
    for (uint32_t i = 0; i < size_bytes; i++) {
        assert_int_equal(item[i], (uint8_t)number);
    }
    handover_release(handover);
    return true;
}

static uint32_t size_of(uint64_t number) {
    return (uint32_t)(number * 7 % 241); /* wraps anywhere */
}

static void test_first_in_first_out_and_full_is_a_value(void **state) {
    (void)state;
    struct handover *handover = NULL;
    uint64_t pushed = 0, popped = 0;
    assert_int_equal(handover_open(&handover, BYTES), TE_OK);
    assert_true(handover_is_empty(handover));
    for (int round = 0; round < 1000; round++) {
        while (push(handover, pushed, size_of(pushed))) {
            pushed++;
        }
        assert_true(pushed - popped >= 2); /* an item takes a quarter at most, and a skip less */
        assert_false(handover_is_empty(handover));
        while (popped < pushed - (uint64_t)(round % 2)) {
            assert_true(pop(handover, popped, size_of(popped)));
            popped++;
        }
    }
    handover_close(handover);
}

static void test_what_was_reserved_is_not_there_yet(void **state) {
    (void)state;
    struct handover *handover = NULL;
    uint32_t size_bytes;
    assert_int_equal(handover_open(&handover, BYTES), TE_OK);
    assert_non_null(handover_reserve(handover, 8));
    assert_null(handover_peek(handover, &size_bytes));
    assert_true(push(handover, 1, 0)); /* and takes its place */
    assert_true(pop(handover, 1, 0));
    assert_true(handover_is_empty(handover));
    assert_null(handover_reserve(handover, BYTES / 4));
    assert_null(handover_reserve(handover, UINT32_MAX));
    handover_close(handover);
}

static void test_open_refuses(void **state) {
    (void)state;
    struct handover *handover = NULL;
    assert_int_equal(handover_open(&handover, BYTES / 2), TE_E_INVALID);
    assert_int_equal(handover_open(&handover, BYTES + 16), TE_E_INVALID);
    assert_int_equal(handover_open(&handover, 1u << 31), TE_E_INVALID);
    assert_null(handover);
}

static void *produce(void *argument) {
    for (uint64_t i = 0; i < ITEMS;) {
        i += push(argument, i, size_of(i));
        if (i % 64 == 0) {
            sched_yield();
        }
    }
    return NULL;
}

static void test_two_threads_lose_and_tear_nothing(void **state) {
    (void)state;
    struct handover *handover = NULL;
    pthread_t thread;
    assert_int_equal(handover_open(&handover, BYTES), TE_OK);
    assert_int_equal(pthread_create(&thread, NULL, produce, handover), 0);
    for (uint64_t i = 0; i < ITEMS;) {
        bool found = pop(handover, i, size_of(i));
        i += found;
        if (!found) {
            sched_yield();
        }
    }
    pthread_join(thread, NULL);
    assert_true(handover_is_empty(handover));
    handover_close(handover);
}

/* Two ringers, each with its queue, and one sleeper: as threads of a team. */
struct ringer {
    struct handover *handover;
    struct bell *bell;
};

static void *ring_often(void *argument) {
    const struct ringer *ringer = argument;
    for (uint64_t i = 0; i < SLEEPS; i++) {
        while (!push(ringer->handover, i, 8)) {
            sched_yield();
        }
        bell_ring(ringer->bell);
        if (i % 3 == 0) {
            sched_yield();
        }
    }
    return NULL;
}

static void test_no_wake_up_is_lost(void **state) {
    (void)state;
    static struct bell bell; /* aligned to lines */
    struct ringer ringers[2];
    pthread_t threads[2];
    uint64_t popped[2] = {0, 0};
    assert_int_equal(bell_init(&bell), TE_OK);
    for (int i = 0; i < 2; i++) {
        ringers[i].bell = &bell;
        assert_int_equal(handover_open(&ringers[i].handover, BYTES), TE_OK);
        assert_int_equal(pthread_create(&threads[i], NULL, ring_often, &ringers[i]), 0);
    }
    while (popped[0] + popped[1] < 2 * SLEEPS) {
        for (int i = 0; i < 2; i++) {
            while (pop(ringers[i].handover, popped[i], 8)) {
                popped[i]++;
            }
        }
        if (popped[0] + popped[1] == 2 * SLEEPS) {
            break;
        }
        bell_arm(&bell);
        if (handover_is_empty(ringers[0].handover) && handover_is_empty(ringers[1].handover)) {
            struct pollfd wait = {.fd = bell.fd, .events = POLLIN};
            assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
        }
        bell_awake(&bell);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        handover_close(ringers[i].handover);
    }
    bell_fini(&bell);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_in_first_out_and_full_is_a_value),
        cmocka_unit_test(test_what_was_reserved_is_not_there_yet),
        cmocka_unit_test(test_open_refuses),
        cmocka_unit_test(test_two_threads_lose_and_tear_nothing),
        cmocka_unit_test(test_no_wake_up_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
