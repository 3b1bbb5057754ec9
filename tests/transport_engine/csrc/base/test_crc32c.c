/* CRC-32C against the vectors of RFC 3720 appendix B.4, table against instruction. */
#include "test.h"

#include "base/crc32c.h"
#include "base/prng.h"

static void matches_published_vectors(void **state) {
    (void)state;
    uint8_t bytes[32];
    crc32c_select();
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(crc32c(bytes, sizeof bytes), 0x8A9136AA);
    memset(bytes, 0xFF, sizeof bytes);
    assert_int_equal(crc32c(bytes, sizeof bytes), 0x62A8AB43);
    for (uint8_t i = 0; i < 32; i++) {
        bytes[i] = i;
    }
    assert_int_equal(crc32c(bytes, sizeof bytes), 0x46DD794E);
    assert_int_equal(crc32c((const uint8_t *)"123456789", 9), 0xE3069283);
    assert_int_equal(crc32c(bytes, 0), 0);
}

static void table_equals_instruction(void **state) {
    (void)state;
    uint8_t bytes[300];
    struct prng prng;
    prng_init(&prng, 1);
    crc32c_select();
    for (int round = 0; round < 2000; round++) {
        size_t start = prng_below(&prng, 16);
        size_t size_bytes = prng_below(&prng, sizeof bytes - 16);
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)prng_next(&prng);
        }
        assert_int_equal(crc32c(bytes + start, size_bytes),
                         crc32c_table(bytes + start, size_bytes));
    }
}

/* Every length at which the three streams begin, grow, or take another round. */
static void streams_equal_the_table(void **state) {
    (void)state;
    static uint8_t bytes[26000];
    struct prng prng;
    prng_init(&prng, 2);
    crc32c_select();
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)prng_next(&prng);
    }
    for (size_t size_bytes = 0; size_bytes < 2000; size_bytes++) {
        assert_int_equal(crc32c(bytes, size_bytes), crc32c_table(bytes, size_bytes));
    }
    for (size_t size_bytes = 9000; size_bytes <= sizeof bytes; size_bytes += 61) {
        assert_int_equal(crc32c(bytes, size_bytes), crc32c_table(bytes, size_bytes));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_published_vectors),
        cmocka_unit_test(table_equals_instruction),
        cmocka_unit_test(streams_equal_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
