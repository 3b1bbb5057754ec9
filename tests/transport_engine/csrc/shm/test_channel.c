/* Both ends of a channel in one process: transfer, backpressure, sleep, death. */
#define _GNU_SOURCE
#include "channel_fixture.h"

/* Of PIECE bytes: two headers more than fill the smallest ring. */
enum { FULL_RECORDS_IN_RING = 1 };

static void test_records_reach_the_engine(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    assert_int_equal(channel_peek(both->engine, &record, &payload), 0);
    for (unsigned round = 0; round < 1000; round++) {
        const uint32_t size_bytes = (round * 7919U) % 5000U;
        assert_int_equal(send_sized(both->application, size_bytes, (uint8_t)round),
                         stride(size_bytes));
        assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
        assert_int_equal(record.size_bytes, size_bytes);
        for (uint32_t i = 0; i < size_bytes; i++) {
            assert_int_equal(payload[i], (uint8_t)round);
        }
        channel_pop(both->engine);
        channel_flush(both->engine);
    }
    assert_int_equal(channel_peek(both->engine, &record, &payload), 0);
}

static void test_records_reach_the_application(void **state) {
    struct both *both = *state;
    static uint8_t payload[4 * PIECE];
    struct te_record heads[HEADS];
    for (unsigned round = 0; round < 1000; round++) {
        const uint32_t size_bytes = (round * 7919U) % 5000U;
        assert_true(engine_send(both->engine, size_bytes, (uint8_t)round));
        assert_true(engine_send(both->engine, 3, 0xEE));
        assert_int_equal(
            te_channel_receive(both->application, heads, HEADS, payload, sizeof payload), 0);
        channel_flush(both->engine);
        assert_int_equal(
            te_channel_receive(both->application, heads, HEADS, payload, sizeof payload), 2);
        assert_int_equal(heads[0].size_bytes, size_bytes);
        for (uint32_t i = 0; i < size_bytes; i++) {
            assert_int_equal(payload[i], (uint8_t)round);
        }
        assert_int_equal(payload[size_bytes], 0xEE); /* the next payload follows unpadded */
    }
}

static void test_send_refuses_what_the_engine_would(void **state) {
    struct both *both = *state;
    uint8_t packed[128] = {0};
    struct te_record record = record_of(TE_FLOW_OPENED, 0);
    memcpy(packed, &record, sizeof record);
    assert_int_equal(te_channel_send(both->application, packed, 48), TE_E_INVALID);
    record = record_of(TE_REQUEST, 8);
    memcpy(packed, &record, sizeof record);
    assert_int_equal(te_channel_send(both->application, packed, 48), TE_E_INVALID); /* cut off */
    assert_int_equal(te_channel_send(both->application, packed, 40), TE_E_INVALID);
    assert_int_equal(te_channel_send(both->application, packed, 56 + 16), 56); /* and half a one */
    assert_int_equal(te_channel_send(both->application, packed + 56, 16), TE_E_INVALID);
    assert_int_equal(te_channel_send(both->application, packed, 0), 0);
}

static void test_full_ring_is_a_value_in_both_directions(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *bytes;
    int64_t taken;
    int sent = 0;
    while ((taken = send_sized(both->application, PIECE, 1)) > 0) {
        sent++;
    }
    assert_int_equal(taken, 0);
    assert_int_equal(sent, FULL_RECORDS_IN_RING);
    assert_int_equal(channel_peek(both->engine, &record, &bytes), 1);
    channel_pop(both->engine);
    assert_int_equal(send_sized(both->application, PIECE, 1), 0); /* popped, not yet flushed */
    channel_flush(both->engine);
    assert_true(send_sized(both->application, PIECE, 1) > 0);

    sent = 0;
    while (engine_send(both->engine, PIECE, 2)) {
        sent++;
    }
    assert_int_equal(sent, FULL_RECORDS_IN_RING);
}

static void test_long_message_in_pieces_across_a_full_ring(void **state) {
    struct both *both = *state;
    enum { TOTAL = 3 * PIECE + 100 };
    static uint8_t packed[sizeof(struct te_record) + PIECE];
    uint32_t engine_saw = 0;
    for (uint32_t offset = 0; offset < TOTAL; offset += PIECE) {
        struct te_record record = record_of(TE_REQUEST, TOTAL - offset < PIECE ? 100 : PIECE);
        record.call_id = 1;
        record.offset_bytes = offset;
        record.total_bytes = TOTAL;
        record.flags = (uint8_t)((offset == 0 ? TE_FIRST : 0)
                                 | (offset + record.size_bytes == TOTAL ? TE_LAST : 0));
        memcpy(packed, &record, sizeof record);
        while (te_channel_send(both->application, packed, stride(record.size_bytes)) == 0) {
            const uint8_t *payload;
            assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
            assert_int_equal(record.offset_bytes, engine_saw);
            engine_saw += record.size_bytes;
            channel_pop(both->engine);
            channel_flush(both->engine);
            memcpy(&record, packed, sizeof record);
        }
    }
    struct te_record record;
    const uint8_t *payload;
    while (channel_peek(both->engine, &record, &payload) == 1) {
        engine_saw += record.size_bytes;
        channel_pop(both->engine);
    }
    assert_int_equal(engine_saw, TOTAL);
}

static void test_engine_wakes_application_once(void **state) {
    struct both *both = *state;
    const int fd = te_channel_fd(both->application);
    assert_int_equal(te_channel_arm(both->application, TE_WAKE_READABLE), 0);
    channel_flush(both->engine);
    assert_false(readable(fd)); /* nothing happened */
    engine_send(both->engine, 8, 0);
    channel_flush(both->engine);
    assert_true(readable(fd));
    engine_send(both->engine, 8, 0);
    channel_flush(both->engine);
    uint8_t wakes[8];
    assert_int_equal(read(fd, wakes, sizeof wakes), 1); /* one sleep, one wake */
    assert_int_equal(te_channel_awake(both->application), TE_OK);
    engine_send(both->engine, 8, 0);
    channel_flush(both->engine);
    assert_false(readable(fd)); /* awake: no system call, no wake */
    assert_int_equal(te_channel_arm(both->application, TE_WAKE_READABLE), TE_WAKE_READABLE);
    engine_send(both->engine, 8, 0);
    channel_flush(both->engine);
    assert_false(readable(fd)); /* arm found something, so it is not armed */
}

static void test_application_wakes_engine(void **state) {
    struct both *both = *state;
    const int fd = channel_fd(both->engine);
    assert_int_equal(channel_arm(both->engine), 0);
    send_sized(both->application, 8, 0);
    assert_false(readable(fd)); /* sending rings no bell */
    te_channel_ring(both->application);
    assert_true(readable(fd));
    assert_int_equal(channel_awake(both->engine), TE_OK);
    assert_int_equal(channel_arm(both->engine), 1);
}

static void test_blocked_engine_may_sleep_on_a_peeked_record(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    send_sized(both->application, 8, 0);
    assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
    assert_int_equal(channel_arm(both->engine), 0);
    send_sized(both->application, 8, 0);
    te_channel_ring(both->application);
    assert_false(readable(channel_fd(both->engine)));
    channel_pop(both->engine);
    assert_int_equal(channel_arm(both->engine), 1);
}

static void test_application_waits_for_room(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    assert_int_equal(te_channel_arm(both->application, TE_WAKE_WRITABLE), TE_WAKE_WRITABLE);
    while (send_sized(both->application, 1000, 1) > 0) {
    }
    assert_int_equal(te_channel_arm(both->application, TE_WAKE_WRITABLE), 0);
    int popped = 0;
    while (!readable(te_channel_fd(both->application))) {
        assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
        channel_pop(both->engine);
        channel_flush(both->engine);
        popped++;
    }
    assert_true(popped > 10); /* not for the first bytes: for room worth waking for */
    assert_int_equal(te_channel_awake(both->application), TE_OK);
    assert_true(send_sized(both->application, PIECE, 1) > 0);
}

static void test_engine_waits_for_room(void **state) {
    struct both *both = *state;
    static uint8_t payload[PIECE];
    struct te_record head;
    int received = 0;
    while (engine_send(both->engine, 1000, 1)) {
    }
    channel_flush(both->engine);
    assert_int_equal(channel_arm(both->engine), 0);
    while (!readable(channel_fd(both->engine))) {
        assert_int_equal(te_channel_receive(both->application, &head, 1, payload, PIECE), 1);
        te_channel_ring(both->application);
        received++;
    }
    assert_true(received > 10);
    assert_int_equal(channel_awake(both->engine), TE_OK);
    assert_int_equal(channel_arm(both->engine), 1);
    assert_true(engine_send(both->engine, PIECE, 1));
}

static void take_all(struct both *both) {
    static struct te_record heads[HEADS];
    static uint8_t payload[HEADS * PIECE];
    while (te_channel_receive(both->application, heads, HEADS, payload, sizeof payload) > 0) {
    }
}

static void pop_all(struct both *both) {
    struct te_record record;
    const uint8_t *payload;
    while (channel_peek(both->engine, &record, &payload) == 1) {
        channel_pop(both->engine);
    }
}

/* Of what it was told, and has taken, it is not told again. */
static void test_nobody_is_woken_twice_for_the_same(void **state) {
    struct both *both = *state;
    const int fd = te_channel_fd(both->application);
    engine_send(both->engine, 8, 0);
    channel_flush(both->engine);
    take_all(both);
    assert_int_equal(te_channel_arm(both->application, TE_WAKE_READABLE), 0);
    channel_flush(both->engine);
    assert_false(readable(fd));
    while (send_sized(both->application, 1000, 1) > 0) {
    }
    pop_all(both);
    channel_flush(both->engine);
    while (send_sized(both->application, 1000, 1) > 0) {
    }
    assert_int_equal(te_channel_arm(both->application, TE_WAKE_WRITABLE), 0);
    channel_flush(both->engine);
    assert_false(readable(fd));
}

/* Whoever goes to sleep keeps nothing back: the other side may wait for it. */
static void test_who_arms_publishes_and_rings(void **state) {
    struct both *both = *state;
    const int fd = te_channel_fd(both->application);
    assert_int_equal(te_channel_arm(both->application, TE_WAKE_READABLE), 0);
    engine_send(both->engine, 8, 0);
    assert_int_equal(channel_arm(both->engine), 0);
    assert_true(readable(fd));
    assert_int_equal(te_channel_awake(both->application), TE_OK);
    take_all(both);
    while (send_sized(both->application, 1000, 1) > 0) {
    }
    assert_int_equal(te_channel_arm(both->application, TE_WAKE_WRITABLE), 0);
    pop_all(both);
    assert_int_equal(channel_arm(both->engine), 0);
    assert_true(readable(fd));
}

static void test_receive_stops_where_payload_is_full(void **state) {
    struct both *both = *state;
    static uint8_t payload[PIECE];
    struct te_record heads[HEADS];
    engine_send(both->engine, PIECE - 10, 1);
    engine_send(both->engine, 11, 2);
    channel_flush(both->engine);
    assert_int_equal(te_channel_receive(both->application, heads, HEADS, payload, PIECE), 1);
    assert_int_equal(te_channel_receive(both->application, heads, HEADS, payload, PIECE), 1);
    assert_int_equal(heads[0].size_bytes, 11);
    assert_int_equal(te_channel_receive(both->application, heads, HEADS, payload, PIECE - 1),
                     TE_E_INVALID);
    assert_int_equal(te_channel_receive(both->application, heads, 0, payload, PIECE),
                     TE_E_INVALID);
}

static void test_engine_is_told_when_the_application_dies(void **state) {
    struct both *both = *state;
    te_channel_close(both->application);
    both->application = NULL;
    assert_true(readable(channel_fd(both->engine)));
    assert_int_equal(channel_awake(both->engine), TE_E_CLOSED);
    assert_int_equal(channel_awake(both->engine), TE_E_CLOSED);
}

static void test_flush_to_a_dead_application_does_no_harm(void **state) {
    struct both *both = *state;
    assert_int_equal(te_channel_arm(both->application, TE_WAKE_READABLE), 0);
    te_channel_close(both->application);
    both->application = NULL;
    engine_send(both->engine, 8, 0);
    channel_flush(both->engine); /* EPIPE, and no signal */
    assert_int_equal(channel_awake(both->engine), TE_E_CLOSED);
}

static void test_application_is_told_when_the_engine_dies(void **state) {
    struct both *both = *state;
    channel_destroy(both->engine);
    both->engine = NULL;
    assert_true(readable(te_channel_fd(both->application)));
    assert_int_equal(te_channel_awake(both->application), TE_E_CLOSED);
}

static void test_create_refuses_sizes(void **state) {
    struct both *both = *state;
    const uint64_t sizes[] = {0, 4096, TE_RING_BYTES_MIN - 1, TE_RING_BYTES_MIN + 4096,
                              (uint64_t)TE_RING_BYTES_MAX * 2, UINT64_MAX};
    struct channel *channel = NULL;
    int memory_fd = -1;
    int doorbell_fd = -1;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(channel_create(sizes[i], &channel, &memory_fd, &doorbell_fd, both->why),
                         TE_E_INVALID);
        assert_non_null(strstr(both->why, "power of two"));
    }
}

static void test_commit_of_what_was_not_reserved_is_our_bug(void **state) {
    struct both *both = *state;
    int error = TE_OK;
    assert_non_null(channel_reserve(both->engine, 8, &error));
    expect_assert_failure(channel_commit(both->engine, 9));
    expect_assert_failure(channel_pop(both->engine));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CHANNEL_TEST(test_records_reach_the_engine),
        CHANNEL_TEST(test_records_reach_the_application),
        CHANNEL_TEST(test_send_refuses_what_the_engine_would),
        CHANNEL_TEST(test_full_ring_is_a_value_in_both_directions),
        CHANNEL_TEST(test_long_message_in_pieces_across_a_full_ring),
        CHANNEL_TEST(test_engine_wakes_application_once),
        CHANNEL_TEST(test_application_wakes_engine),
        CHANNEL_TEST(test_blocked_engine_may_sleep_on_a_peeked_record),
        CHANNEL_TEST(test_application_waits_for_room),
        CHANNEL_TEST(test_engine_waits_for_room),
        CHANNEL_TEST(test_nobody_is_woken_twice_for_the_same),
        CHANNEL_TEST(test_who_arms_publishes_and_rings),
        CHANNEL_TEST(test_receive_stops_where_payload_is_full),
        CHANNEL_TEST(test_engine_is_told_when_the_application_dies),
        CHANNEL_TEST(test_flush_to_a_dead_application_does_no_harm),
        CHANNEL_TEST(test_application_is_told_when_the_engine_dies),
        CHANNEL_TEST(test_create_refuses_sizes),
        CHANNEL_TEST(test_commit_of_what_was_not_reserved_is_our_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
