/* Records whose payloads lie elsewhere, and records where they lie in the ring. */
#define _GNU_SOURCE
#include "channel_fixture.h"

static void test_put_is_what_send_is(void **state) {
    struct both *both = *state;
    static uint8_t payload[PIECE];
    struct te_record record;
    struct te_record seen;
    const uint8_t *at;
    for (uint32_t round = 0; round < 1000; round++) {
        const uint32_t size_bytes = (round * 7919U) % 5000U;
        memset(payload, (int)(round & 0xFF), size_bytes);
        record = record_of(TE_REQUEST, size_bytes);
        assert_int_equal(te_channel_put(both->application, &record, payload), 1);
        assert_int_equal(channel_peek(both->engine, &seen, &at), 1);
        assert_memory_equal(&seen, &record, sizeof seen);
        assert_memory_equal(at, payload, size_bytes);
        channel_pop(both->engine);
        channel_flush(both->engine);
    }
}

static void test_put_says_that_it_is_full_and_what_is_wrong(void **state) {
    struct both *both = *state;
    static uint8_t payload[PIECE];
    struct te_record record = record_of(TE_REQUEST, PIECE);
    struct te_record seen;
    const uint8_t *at;
    assert_int_equal(te_channel_put(both->application, &record, payload), 1);
    assert_int_equal(te_channel_put(both->application, &record, payload), 0);
    record.kind = TE_FLOW_OPENED;
    assert_int_equal(te_channel_put(both->application, &record, payload), TE_E_INVALID);
    record = record_of(TE_REQUEST, PIECE + 1);
    assert_int_equal(te_channel_put(both->application, &record, payload), TE_E_INVALID);
    assert_int_equal(channel_peek(both->engine, &seen, &at), 1);
    channel_pop(both->engine);
    channel_flush(both->engine);
    assert_int_equal(channel_peek(both->engine, &seen, &at), 0);
    header_of(both)->tx_head = 4;
    record = record_of(TE_REQUEST, PIECE);
    assert_int_equal(te_channel_put(both->application, &record, payload), TE_E_CORRUPT);
}

static void test_peek_stays_and_pop_moves(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    assert_int_equal(te_channel_peek(both->application, &record, &payload), 0);
    te_channel_pop(both->application); /* nothing */
    for (uint32_t size_bytes = 1; size_bytes < 3; size_bytes++) {
        assert_true(engine_send(both->engine, size_bytes, (uint8_t)size_bytes));
    }
    channel_flush(both->engine);
    for (uint32_t size_bytes = 1; size_bytes < 3; size_bytes++) {
        for (int times = 0; times < 3; times++) {
            assert_int_equal(te_channel_peek(both->application, &record, &payload), 1);
            assert_int_equal(record.size_bytes, size_bytes);
            assert_int_equal(payload[0], size_bytes);
        }
        te_channel_pop(both->application);
        te_channel_pop(both->application); /* a second one takes nothing */
    }
    assert_int_equal(te_channel_peek(both->application, &record, &payload), 0);
}

static void test_popped_room_is_the_engines_again(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    for (int round = 0; round < 100; round++) {
        assert_true(engine_send(both->engine, PIECE, 1));
        assert_false(engine_send(both->engine, PIECE, 2));
        channel_flush(both->engine);
        assert_int_equal(te_channel_peek(both->application, &record, &payload), 1);
        te_channel_pop(both->application);
    }
}

static void test_what_was_peeked_at_can_be_received(void **state) {
    struct both *both = *state;
    static uint8_t room[PIECE];
    struct te_record heads[HEADS];
    struct te_record record;
    const uint8_t *payload;
    assert_true(engine_send(both->engine, 5, 7));
    assert_true(engine_send(both->engine, 6, 8));
    channel_flush(both->engine);
    assert_int_equal(te_channel_peek(both->application, &record, &payload), 1);
    assert_int_equal(te_channel_receive(both->application, heads, 1, room, sizeof room), 1);
    assert_int_equal(heads[0].size_bytes, 5);
    te_channel_pop(both->application); /* of what is gone already: nothing */
    assert_int_equal(te_channel_peek(both->application, &record, &payload), 1);
    assert_int_equal(record.size_bytes, 6);
}

/* The header that was checked is the one that is used, whatever the other side does meanwhile. */
static void test_a_header_that_changes_after_the_peek(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    assert_true(engine_send(both->engine, 5, 7));
    channel_flush(both->engine);
    assert_int_equal(te_channel_peek(both->application, &record, &payload), 1);
    memset(both->shared + CHANNEL_HEADER_BYTES + RING_BYTES, 0xFF, sizeof record);
    assert_int_equal(te_channel_peek(both->application, &record, &payload), 1);
    assert_int_equal(record.size_bytes, 5);
    te_channel_pop(both->application);
    assert_int_equal(te_channel_peek(both->application, &record, &payload), 0);
}

static void test_corrupt_is_for_good(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    assert_true(engine_send(both->engine, 5, 7));
    channel_flush(both->engine);
    uint8_t *shared = both->shared + CHANNEL_HEADER_BYTES + RING_BYTES;
    const uint8_t kind = shared[offsetof(struct te_record, kind)];
    shared[offsetof(struct te_record, kind)] = 0;
    assert_int_equal(te_channel_peek(both->application, &record, &payload), TE_E_CORRUPT);
    shared[offsetof(struct te_record, kind)] = kind;
    assert_int_equal(te_channel_peek(both->application, &record, &payload), TE_E_CORRUPT);
    te_channel_pop(both->application);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CHANNEL_TEST(test_put_is_what_send_is),
        CHANNEL_TEST(test_put_says_that_it_is_full_and_what_is_wrong),
        CHANNEL_TEST(test_peek_stays_and_pop_moves),
        CHANNEL_TEST(test_popped_room_is_the_engines_again),
        CHANNEL_TEST(test_what_was_peeked_at_can_be_received),
        CHANNEL_TEST(test_a_header_that_changes_after_the_peek),
        CHANNEL_TEST(test_corrupt_is_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
