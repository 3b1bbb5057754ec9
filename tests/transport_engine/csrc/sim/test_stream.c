/* The oracle of one direction: every way in which a message can come out wrong has a name. */
#include "test.h"

#include "base/bytes.h"
#include "base/pool.h"
#include "sim/stream.h"

enum { SIZE = 100 };

static const struct content_source source = {.seed = 7, .flow = 3, .epoch = 2, .is_forward = true};

static void add(struct stream *stream, uint8_t lane, uint32_t count) {
    struct record record = {.size_bytes = SIZE, .answers = NO_ITEM, .lane = lane};
    for (uint32_t i = 0; i < count; i++) {
        assert_true(stream_add(stream, &record));
    }
}

static uint32_t deliver(struct stream *stream, uint32_t number, uint8_t lane, uint32_t size) {
    struct record *record = NULL;
    struct delivery delivery = {size, lane, content_name(&stream->source, number)};
    uint32_t kind = stream_deliver(stream, &delivery, &record);
    if (kind == 0) {
        stream_end(stream, record);
    }
    return kind;
}

static void unordered_messages_come_out_in_any_order_once(void **state) {
    (void)state;
    struct stream stream;
    stream_init(&stream, &source);
    add(&stream, 0, 1000);
    for (uint32_t i = 1000; i-- > 0;) {
        assert_int_equal(deliver(&stream, i, 0, SIZE), 0);
    }
    assert_int_equal(stream.first, 1000);
    assert_int_equal(deliver(&stream, 999, 0, SIZE), TE_SIM_V_TWICE);
    assert_int_equal(deliver(&stream, 0, 0, SIZE), TE_SIM_V_TWICE);
    stream_fini(&stream);
}

static void lane_is_an_order(void **state) {
    (void)state;
    struct stream stream;
    stream_init(&stream, &source);
    add(&stream, 1, 1);
    add(&stream, 2, 1);
    add(&stream, 1, 1);
    assert_int_equal(deliver(&stream, 2, 1, SIZE), TE_SIM_V_ORDER);
    assert_int_equal(deliver(&stream, 1, 2, SIZE), 0); /* another lane */
    assert_int_equal(deliver(&stream, 0, 1, SIZE), 0);
    assert_int_equal(deliver(&stream, 2, 1, SIZE), 0);
    stream_fini(&stream);
}

static void wrong_size_lane_or_number_is_seen(void **state) {
    (void)state;
    struct stream stream;
    stream_init(&stream, &source);
    add(&stream, 1, 2);
    assert_int_equal(deliver(&stream, 0, 1, SIZE + 1), TE_SIM_V_CONTENT);
    assert_int_equal(deliver(&stream, 0, 0, SIZE), TE_SIM_V_CONTENT);
    assert_int_equal(deliver(&stream, 2, 1, SIZE), TE_SIM_V_CONTENT); /* never sent */
    stream_fini(&stream);
}

static void message_of_another_life_is_seen(void **state) {
    (void)state;
    struct content_source before = source;
    struct stream stream;
    struct record *record = NULL;
    before.epoch--;
    stream_init(&stream, &source);
    add(&stream, 0, 1);
    struct delivery delivery = {SIZE, 0, content_name(&before, 0)};
    assert_int_equal(stream_deliver(&stream, &delivery, &record), TE_SIM_V_EPOCH);
    stream_fini(&stream);
}

static void every_byte_counts(void **state) {
    (void)state;
    uint8_t bytes[SIZE + 3];
    uint64_t name = content_name(&source, 5);
    content_write(name, 0, bytes, sizeof bytes);
    assert_int_equal(load_u64(bytes), name);
    assert_true(content_is(name, 0, bytes, sizeof bytes));
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 1;
        assert_false(content_is(name, 0, bytes, sizeof bytes));
        bytes[i] ^= 1;
    }
    assert_true(content_is(name, 16, bytes + 16, 40));  /* pieces agree with the whole */
    assert_false(content_is(name, 8, bytes + 16, 40));  /* and know their place */
    assert_false(content_is(content_name(&source, 6), 16, bytes + 16, 40));
}

static void answered_requests_are_kept_until_they_are(void **state) {
    (void)state;
    struct stream stream;
    struct record *record = NULL;
    stream_init(&stream, &source);
    add(&stream, 0, 2);
    struct delivery delivery = {SIZE, 0, content_name(&source, 0)};
    assert_int_equal(stream_deliver(&stream, &delivery, &record), 0);
    assert_int_equal(deliver(&stream, 1, 0, SIZE), 0);
    assert_ptr_equal(stream_find(&stream, 0), record);
    stream_end(&stream, record);
    assert_null(stream_find(&stream, 0));
    assert_int_equal(stream.first, 2);
    stream_fini(&stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unordered_messages_come_out_in_any_order_once),
        cmocka_unit_test(lane_is_an_order),
        cmocka_unit_test(wrong_size_lane_or_number_is_seen),
        cmocka_unit_test(message_of_another_life_is_seen),
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(answered_requests_are_kept_until_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
