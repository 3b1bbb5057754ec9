/* The rules for records: a valid one, and every single way to break it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "shm/record.h"

enum { CAPACITY_BYTES = 4096, PIECE = TE_RECORD_PAYLOAD_MAX };

void te_check_failed(const char *claim, const char *file, int line) {
    mock_assert(0, claim, file, line);
    abort();
}

static struct te_record request(uint32_t size_bytes) {
    return (struct te_record){
        .call_id = 7,
        .flow = 3,
        .size_bytes = size_bytes,
        .total_bytes = size_bytes,
        .kind = TE_REQUEST,
        .flags = TE_FIRST | TE_LAST,
    };
}

static struct te_record piece(uint32_t offset_bytes, uint32_t size_bytes, uint32_t total_bytes) {
    struct te_record record = request(size_bytes);
    record.offset_bytes = offset_bytes;
    record.total_bytes = total_bytes;
    record.flags = (uint8_t)((offset_bytes == 0 ? TE_FIRST : 0)
                             | (offset_bytes + size_bytes == total_bytes ? TE_LAST : 0));
    return record;
}

static bool to_engine(struct te_record record) {
    return record_valid(&record, RECORD_TO_ENGINE);
}

static bool to_application(struct te_record record) {
    return record_valid(&record, RECORD_TO_APPLICATION);
}

static void test_sizes(void **state) {
    (void)state;
    assert_true(to_engine(request(0)));
    assert_true(to_engine(request(1)));
    assert_true(to_engine(request(PIECE)));
    assert_false(to_engine(request(PIECE + 1)));
    assert_true(to_engine(piece(0, PIECE, TE_MESSAGE_BYTES_MAX)));
    assert_false(to_engine(piece(0, PIECE, TE_MESSAGE_BYTES_MAX + 1)));
    assert_true(to_engine(piece(PIECE, 1, PIECE + 1)));
    assert_false(to_engine(piece(0, PIECE - 1, PIECE)));            /* short, and not the last */
    assert_false(to_engine(piece(8, PIECE, 8 + PIECE)));            /* not on a piece's border */
    assert_false(to_engine(piece(PIECE, PIECE, PIECE)));            /* beyond the end */
    assert_false(to_engine(piece(0xFFFFFFFF, 2, 1)));               /* the sum wraps in 32 bits */
    assert_false(to_engine(piece(PIECE, 0, PIECE)));                /* an empty piece at the end */
}

static void test_flags(void **state) {
    (void)state;
    for (unsigned flags = 0; flags < 256; flags++) {
        struct te_record record = request(5);
        record.flags = (uint8_t)flags;
        const bool whole = (flags & (TE_FIRST | TE_LAST)) == (TE_FIRST | TE_LAST);
        assert_int_equal(to_engine(record), whole && flags < 16);
    }
    struct te_record middle = piece(PIECE, PIECE, 3 * PIECE);
    assert_true(to_engine(middle));
    middle.flags = TE_FIRST;
    assert_false(to_engine(middle));
    middle.flags = TE_LAST;
    assert_false(to_engine(middle));
}

static void test_small_fields(void **state) {
    (void)state;
    struct te_record record = request(5);
    record.priority = 7;
    assert_true(to_engine(record));
    record.priority = 8;
    assert_false(to_engine(record));
    record = request(5);
    record.zero = 1;
    assert_false(to_engine(record));
}

static void test_kinds_by_direction(void **state) {
    (void)state;
    for (unsigned kind = 0; kind < 256; kind++) {
        const bool carried = kind >= 1 && kind <= TE_APP_KIND_LAST;
        struct te_record empty = request(0);
        struct te_record ends = request(sizeof(struct te_flow_ends));
        struct te_record other = request(12);
        empty.kind = ends.kind = other.kind = (uint8_t)kind;
        assert_int_equal(to_engine(empty), carried || kind == TE_FLOW_CLOSE);
        assert_int_equal(to_engine(other), carried);
        assert_int_equal(to_application(empty), carried || kind == TE_FLOW_CLOSED);
        assert_int_equal(to_application(ends),
                         carried || kind == TE_FLOW_OPENED || kind == TE_FLOW_ACCEPTED);
        assert_int_equal(to_application(other), carried);
    }
}

static void test_order(void **state) {
    (void)state;
    struct record_order order = {0};
    const struct te_record whole = request(9);
    const struct te_record first = piece(0, PIECE, 2 * PIECE + 5);
    const struct te_record second = piece(PIECE, PIECE, 2 * PIECE + 5);
    const struct te_record third = piece(2 * PIECE, 5, 2 * PIECE + 5);

    assert_true(record_follows(&order, &whole));
    assert_true(record_follows(&order, &first));
    assert_false(record_follows(&order, &second));

    record_order_advance(&order, &first);
    assert_false(record_follows(&order, &whole));
    assert_false(record_follows(&order, &first));
    assert_false(record_follows(&order, &third));
    assert_true(record_follows(&order, &second));

    record_order_advance(&order, &second);
    assert_false(record_follows(&order, &second));
    assert_true(record_follows(&order, &third));

    record_order_advance(&order, &third);
    assert_true(record_follows(&order, &whole));
    assert_false(record_follows(&order, &third));
}

static void test_pieces_repeat_the_header(void **state) {
    (void)state;
    struct record_order order = {0};
    const struct te_record first = piece(0, PIECE, PIECE + 5);
    record_order_advance(&order, &first);

    enum { FIELDS = 10 };
    for (int field = 0; field < FIELDS; field++) {
        struct te_record next = piece(PIECE, 5, PIECE + 5);
        assert_true(record_follows(&order, &next));
        switch (field) {
        case 0: next.call_id++; break;
        case 1: next.method_id++; break;
        case 2: next.flow++; break;
        case 3: next.total_bytes++; break;
        case 4: next.kind++; break;
        case 5: next.lane++; break;
        case 6: next.priority++; break;
        case 7: next.status++; break;
        case 8: next.progress++; break;
        default: next.flags |= TE_ERROR; break;
        }
        assert_false(record_follows(&order, &next));
    }
    struct te_record later = piece(PIECE, 5, PIECE + 5);
    later.remaining_ns = 1;
    assert_true(record_follows(&order, &later)); /* time runs on */
}

struct parsed {
    uint8_t bytes[2 * CAPACITY_BYTES];
    _Atomic uint64_t tail;
    _Atomic uint64_t head;
    struct ring ring;
};

static int parse(uint64_t tail, const struct te_record *written, struct te_record *record) {
    static struct parsed parsed;
    const struct record_order order = {0};
    memset(&parsed, 0, sizeof parsed);
    memcpy(parsed.bytes, written, sizeof *written);
    atomic_store(&parsed.tail, tail);
    ring_init(&parsed.ring, RING_CONSUMER, parsed.bytes, CAPACITY_BYTES, &parsed.head,
              &parsed.tail);
    return record_next(&parsed.ring, &order, RECORD_TO_ENGINE, record);
}

static void test_next_needs_the_whole_record(void **state) {
    (void)state;
    const struct te_record written = request(100);
    struct te_record record;
    assert_int_equal(record_stride_bytes(100), 152);
    assert_int_equal(parse(0, &written, &record), 0);
    assert_int_equal(parse(40, &written, &record), TE_E_CORRUPT);
    assert_int_equal(parse(48, &written, &record), TE_E_CORRUPT);
    assert_int_equal(parse(144, &written, &record), TE_E_CORRUPT);
    assert_int_equal(parse(152, &written, &record), 1);
    assert_memory_equal(&record, &written, sizeof record);
}

static void test_next_refuses_what_is_invalid_or_out_of_order(void **state) {
    (void)state;
    struct te_record written = request(100);
    struct te_record record;
    written.zero = 1;
    assert_int_equal(parse(152, &written, &record), TE_E_CORRUPT);
    written = piece(PIECE, 100, PIECE + 100);
    assert_int_equal(parse(152, &written, &record), TE_E_CORRUPT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_small_fields),
        cmocka_unit_test(test_kinds_by_direction),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_pieces_repeat_the_header),
        cmocka_unit_test(test_next_needs_the_whole_record),
        cmocka_unit_test(test_next_refuses_what_is_invalid_or_out_of_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
