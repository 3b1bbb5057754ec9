/* How many messages of one lane wait in the send queue. */
#include "test.h"

#include "flow/messages.h"

enum { BLOCKS = UINT16_MAX + 100, SEGMENT = 1024 };

static struct store store;
static struct send_queue out;
static const uint8_t byte;

static uint32_t begin(uint8_t lane, uint8_t priority) {
    return send_queue_begin(&out, &store, sizeof byte, lane, priority);
}

static void post(uint8_t lane) {
    uint32_t index = begin(lane, 0);
    assert_int_not_equal(index, NO_ITEM);
    send_queue_append(&out, &store, index, &byte, sizeof byte);
}

static bool send_next(void) {
    uint8_t frame[MESSAGE_HEADER_BYTES + SEGMENT];
    struct fragment fragment;
    return send_queue_pick(&out, &store, 1000, &fragment) &&
           send_queue_write(&out, &store, &fragment, frame) ==
               MESSAGE_HEADER_BYTES + sizeof byte;
}

/* Its sequence has 16 bits: one more message that waits would be taken for the first of them, and
 * an urgent one would go in its place. */
static void a_lane_holds_what_its_sequence_tells_apart(void **state) {
    (void)state;
    void *memory = calloc(1, store_bytes(BLOCKS));
    assert_non_null(memory);
    store_init(&store, memory, BLOCKS);
    send_queue_init(&out, SEGMENT);
    out.units_limit = 1 << 20;
    for (int i = 0; i < UINT16_MAX; i++) {
        assert_int_not_equal(begin(3, 7), NO_ITEM);
    }
    assert_int_equal(begin(3, 0), NO_ITEM);
    post(0); /* others go on */
    post(4);
    send_queue_append(&out, &store, out.oldest, &byte, sizeof byte);
    for (int i = 0; i < 3; i++) {
        assert_true(send_next());
    }
    post(3);
    assert_int_equal(begin(3, 0), NO_ITEM);
    assert_false(send_next());
    send_queue_fini(&out, &store);
    assert_int_equal(store.outgoing.free_count, store.outgoing.capacity);
    free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lane_holds_what_its_sequence_tells_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
