/* The Internet checksum against RFC 1071's own example and a naive sum. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <string.h>

#include "base/prng.h"
#include "ip/checksum.h"

enum { BYTES_MAX = 1600, ROUNDS = 2000 };

static uint16_t naive(const uint8_t *bytes, size_t size_bytes) {
    uint32_t sum = 0;
    for (size_t i = 0; i < size_bytes; i++) {
        sum += i % 2 == 0 ? bytes[i] * 256u : bytes[i];
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)sum;
}

static uint16_t swapped(uint16_t value) {
    return (uint16_t)((value << 8) | (value >> 8));
}

static void test_example_of_the_standard(void **state) {
    (void)state;
    const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    assert_int_equal(swapped(checksum_fold(checksum_add(0, bytes, sizeof bytes))), 0xddf2);
}

static void test_equals_the_naive_sum_at_every_size_and_split(void **state) {
    (void)state;
    static uint8_t bytes[BYTES_MAX];
    struct prng prng;
    prng_init(&prng, 1);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t size_bytes = prng_below(&prng, BYTES_MAX);
        uint32_t split = prng_below(&prng, size_bytes / 2 + 1) * 2;
        for (uint32_t i = 0; i < size_bytes; i++) {
            bytes[i] = (uint8_t)(round % 3 == 0 ? 0xff : prng_next(&prng));
        }
        uint64_t sum = checksum_add(0, bytes, split);
        sum = checksum_add(sum, bytes + split, size_bytes - split);
        assert_int_equal(swapped(checksum_fold(sum)), naive(bytes, size_bytes));
    }
}

/* Also where the carries of one sum make another carry. */
static void test_carries_come_around_twice(void **state) {
    (void)state;
    uint8_t bytes[64] = {0};
    memset(bytes, 0xff, 8);
    memset(bytes + 16, 0xff, 8);
    for (int i = 0; i < 8; i++) {
        bytes[32] = (uint8_t)i;
        assert_int_equal(swapped(checksum_fold(checksum_add(0, bytes, sizeof bytes))),
                         naive(bytes, sizeof bytes));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_of_the_standard),
        cmocka_unit_test(test_equals_the_naive_sum_at_every_size_and_split),
        cmocka_unit_test(test_carries_come_around_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
