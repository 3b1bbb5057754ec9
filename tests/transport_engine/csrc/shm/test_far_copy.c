/* Copies past the caches, and by what is faster: all sizes and alignments around a line and around
 * where they begin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shm/far_copy.h"

enum { GUARD = 64, BYTES_MAX = 70000 };

static uint8_t from[BYTES_MAX + 2 * GUARD];
static uint8_t to[BYTES_MAX + 3 * GUARD];

typedef void copies(uint8_t *to, const uint8_t *from, size_t size_bytes);

static void check(copies *copy, size_t size_bytes, size_t from_at, size_t to_at) {
    memset(to, 0xA5, sizeof to);
    copy(to + GUARD + to_at, from + from_at, size_bytes);
    assert_memory_equal(to + GUARD + to_at, from + from_at, size_bytes);
    for (size_t i = 0; i < GUARD; i++) {
        assert_int_equal(to[to_at + i], 0xA5);
        assert_int_equal(to[GUARD + to_at + size_bytes + i], 0xA5);
    }
}

static void test_every_byte_and_no_other(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 63, 64, 4096, 16383, 16384, 16385, 16447, 65528, 65536};
    for (size_t i = 0; i < sizeof from; i++) {
        from[i] = (uint8_t)(i * 31 + i / 251);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t to_at = 0; to_at < GUARD; to_at += 7) {
            check(far_copy, sizes[i], (to_at * 5) % GUARD, to_at);
            check(far_copy_past_caches, sizes[i], (to_at * 5) % GUARD, to_at);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_and_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
