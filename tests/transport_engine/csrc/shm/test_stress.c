/* Two threads on one channel that sleep whenever they can: nothing lost, nothing torn, and no wake
 * missed. A missed wake shows as a sleep that times out, which fails the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "shm/channel.h"

enum {
    ROUND_TRIPS = 20000,
    STREAM_RECORDS = 60000,
    SIZE_MAX_BYTES = 3000,
    SLEEP_MAX_MS = 10000,
    HEADS = 16
};

struct link {
    struct channel *engine;
    struct te_channel *application;
    uint32_t records;
    uint32_t echoed;
    int failure; /* line; read after the join */
};

void te_check_failed(const char *claim, const char *file, int line) {
    print_error("%s:%d: %s\n", file, line, claim);
    abort();
}

static bool sleep_on(int fd) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, SLEEP_MAX_MS) == 1;
}

static uint32_t size_of(uint32_t number) {
    return (uint32_t)((number * 2654435761ULL) % SIZE_MAX_BYTES);
}

static bool payload_right(const uint8_t *payload, const struct te_record *record) {
    for (uint32_t i = 0; i < record->size_bytes; i++) {
        if (payload[i] != (uint8_t)(record->call_id + i)) {
            return false;
        }
    }
    return true;
}

/* Moves one record from TX to RX. 1 moved, 0 not now, -1 wrong. */
static int echo_one(struct channel *channel) {
    struct te_record record;
    const uint8_t *payload;
    int error = TE_OK;
    const int found = channel_peek(channel, &record, &payload);
    if (found <= 0) {
        return found;
    }
    struct te_record *out = channel_reserve(channel, record.size_bytes, &error);
    if (out == NULL) {
        return error == TE_OK ? 0 : -1;
    }
    *out = record;
    memcpy(out + 1, payload, record.size_bytes);
    channel_commit(channel, record.size_bytes);
    channel_pop(channel);
    return 1;
}

static void *echo(void *argument) {
    struct link *link = argument;
    while (link->echoed < link->records) {
        int moved = 0;
        for (int burst = 0; burst < HEADS && (moved = echo_one(link->engine)) == 1; burst++) {
            link->echoed++;
        }
        channel_flush(link->engine);
        if (moved < 0) {
            link->failure = __LINE__;
            return NULL;
        }
        if (moved == 0 && link->echoed < link->records && channel_arm(link->engine) == 0) {
            if (!sleep_on(channel_fd(link->engine))) {
                link->failure = __LINE__;
                return NULL;
            }
            channel_awake(link->engine);
        }
    }
    return NULL;
}

static bool send_number(struct te_channel *channel, uint32_t number) {
    static uint8_t packed[sizeof(struct te_record) + SIZE_MAX_BYTES + TE_RECORD_ALIGN];
    const uint32_t size_bytes = size_of(number);
    const struct te_record record = {.call_id = number,
                                     .kind = TE_REQUEST,
                                     .flags = TE_FIRST | TE_LAST,
                                     .size_bytes = size_bytes,
                                     .total_bytes = size_bytes};
    memcpy(packed, &record, sizeof record);
    for (uint32_t i = 0; i < size_bytes; i++) {
        packed[sizeof record + i] = (uint8_t)(number + i);
    }
    const uint64_t stride = (sizeof record + size_bytes + 7) / 8 * 8;
    const int64_t taken = te_channel_send(channel, packed, stride);
    assert_in_set((uint64_t)taken, ((uint64_t[]){0, stride}), 2);
    return taken != 0;
}

/* Checks what came back; `expected` is the next number. */
static uint32_t receive_numbers(struct te_channel *channel, uint32_t expected) {
    static uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    struct te_record heads[HEADS];
    const int count = te_channel_receive(channel, heads, HEADS, payload, sizeof payload);
    const uint8_t *at = payload;
    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        assert_int_equal(heads[i].call_id, expected);
        assert_int_equal(heads[i].size_bytes, size_of(expected));
        assert_true(payload_right(at, &heads[i]));
        at += heads[i].size_bytes;
        expected++;
    }
    return expected;
}

static void run(uint32_t records, uint32_t in_flight_max) {
    struct link link = {.records = records};
    char why[TE_WHY_BYTES];
    int memory_fd = -1;
    int doorbell_fd = -1;
    pthread_t thread;
    assert_int_equal(channel_create(TE_RING_BYTES_MIN, &link.engine, &memory_fd, &doorbell_fd, why),
                     TE_OK);
    assert_int_equal(te_channel_open(memory_fd, doorbell_fd, &link.application, why), TE_OK);
    assert_int_equal(pthread_create(&thread, NULL, echo, &link), 0);

    uint32_t sent = 0;
    uint32_t received = 0;
    while (received < records) {
        bool full = false;
        while (sent < records && sent - received < in_flight_max && !full) {
            full = !send_number(link.application, sent);
            sent += full ? 0 : 1;
        }
        const uint32_t before = received;
        received = receive_numbers(link.application, received);
        te_channel_ring(link.application);
        const int wakes = TE_WAKE_READABLE | (full ? TE_WAKE_WRITABLE : 0);
        if (received == before && te_channel_arm(link.application, wakes) == 0) {
            assert_true(sleep_on(te_channel_fd(link.application)));
            assert_int_equal(te_channel_awake(link.application), TE_OK);
        }
    }
    pthread_join(thread, NULL);
    assert_int_equal(link.failure, 0);
    assert_int_equal(link.echoed, records);
    te_channel_close(link.application);
    channel_destroy(link.engine);
}

static void test_one_in_flight_sleeps_every_time(void **state) {
    (void)state;
    run(ROUND_TRIPS, 1);
}

static void test_rings_run_full_both_ways(void **state) {
    (void)state;
    run(STREAM_RECORDS, STREAM_RECORDS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_in_flight_sleeps_every_time),
        cmocka_unit_test(test_rings_run_full_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
