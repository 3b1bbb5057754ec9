/* Of what a peer may write in front of a message, only what a record may say is taken. */
#include "test.h"

#include "engine/call_header.h"
#include "shm/record.h"

static const struct te_record example = {.call_id = 1, .method_id = 2, .remaining_ns = 3,
                                         .kind = TE_REPLY, .flags = TE_ERROR, .status = 4,
                                         .progress = 5};

static void comes_back_as_it_was(void **state) {
    (void)state;
    uint8_t bytes[TE_CALL_HEADER_BYTES];
    struct te_record record;
    call_header_write(bytes, &example);
    assert_true(call_header_read(bytes, &record));
    assert_memory_equal(&record, &example, sizeof record);
}

/* Any value of any byte gives a header that makes a valid record, or none. */
static void no_byte_makes_an_invalid_record(void **state) {
    (void)state;
    for (int at = 0; at < TE_CALL_HEADER_BYTES; at++) {
        for (int value = 0; value < 256; value++) {
            uint8_t bytes[TE_CALL_HEADER_BYTES];
            struct te_record record;
            call_header_write(bytes, &example);
            bytes[at] = (uint8_t)value;
            bool is_good = call_header_read(bytes, &record);
            bool is_told = at < 24 || at == 26 || at == 27 || at == 28; /* passed on as it is */
            is_told |= at == 24 && value >= TE_REQUEST && value <= TE_APP_KIND_LAST;
            is_told |= at == 25 && (value & ~(TE_ERROR | TE_METADATA)) == 0;
            assert_int_equal(is_good, is_told || (value == 0 && at != 24));
            record.flags |= TE_FIRST | TE_LAST;
            assert_true(!is_good || record_valid(&record, RECORD_TO_APPLICATION));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_it_was),
        cmocka_unit_test(no_byte_makes_an_invalid_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
