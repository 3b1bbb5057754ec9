/* CRC-32C against the vectors of RFC 3720 appendix B.4, table against instructions. */
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

static uint8_t random_bytes[26000];

static int set_up(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 2);
    for (size_t i = 0; i < sizeof random_bytes; i++) {
        random_bytes[i] = (uint8_t)prng_next(&prng);
    }
    return 0;
}

/* Every length at which a way begins, takes another step, or has something left over. */
static void each_way_equals_the_table(void **state) {
    (void)state;
    for (enum crc32c_way most = CRC32C_STREAMS; most <= CRC32C_WIDE; most++) {
        if (crc32c_select_within(most) != most) {
            print_message("this processor has no way %d\n", (int)most);
            continue;
        }
        for (size_t size_bytes = 0; size_bytes < 2500; size_bytes++) {
            assert_int_equal(crc32c(random_bytes, size_bytes),
                             crc32c_table(random_bytes, size_bytes));
        }
        for (size_t size_bytes = 9000; size_bytes <= sizeof random_bytes; size_bytes += 61) {
            assert_int_equal(crc32c(random_bytes, size_bytes),
                             crc32c_table(random_bytes, size_bytes));
        }
    }
}

/* From every place in a cache line. */
static void each_alignment_equals_the_table(void **state) {
    (void)state;
    for (enum crc32c_way most = CRC32C_STREAMS; most <= CRC32C_WIDE; most++) {
        crc32c_select_within(most);
        for (size_t start = 0; start < 64; start++) {
            for (size_t size_bytes = 2040; size_bytes < 2120; size_bytes++) {
                assert_int_equal(crc32c(random_bytes + start, size_bytes),
                                 crc32c_table(random_bytes + start, size_bytes));
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_published_vectors),
        cmocka_unit_test(table_equals_instruction),
        cmocka_unit_test(each_way_equals_the_table),
        cmocka_unit_test(each_alignment_equals_the_table),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
