/* Argument lines: words, quotes, and lines that are too long. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <string.h>

#include "netif/arguments.h"

static struct arguments arguments;

static const char *split(const char *line) {
    arguments_init(&arguments);
    return arguments_split(&arguments, line);
}

static void test_words_and_spaces(void **state) {
    (void)state;
    assert_null(split("  --no-huge\t--vdev=net_null0,size=64 \n -l 1"));
    assert_int_equal(arguments.count, 4);
    assert_string_equal(arguments.words[0], "--no-huge");
    assert_string_equal(arguments.words[1], "--vdev=net_null0,size=64");
    assert_string_equal(arguments.words[3], "1");
    assert_null(arguments.words[4]);
    assert_null(split(" "));
    assert_int_equal(arguments.count, 0);
}

static void test_quotes_keep_spaces_and_vanish(void **state) {
    (void)state;
    assert_null(split("--vdev='net_memif0,socket=/tmp/a b' \"it's\" x\"y\"z ''"));
    assert_int_equal(arguments.count, 4);
    assert_string_equal(arguments.words[0], "--vdev=net_memif0,socket=/tmp/a b");
    assert_string_equal(arguments.words[1], "it's");
    assert_string_equal(arguments.words[2], "xyz");
    assert_string_equal(arguments.words[3], "");
}

static void test_open_quote_is_said(void **state) {
    (void)state;
    assert_non_null(strstr(split("--vdev='net_null0"), "quote"));
}

static void test_too_much_is_said(void **state) {
    (void)state;
    static char line[ARGUMENTS_BYTES_MAX + 2];
    memset(line, 'x', sizeof line - 1);
    assert_non_null(strstr(split(line), "4096 bytes"));
    line[ARGUMENTS_BYTES_MAX] = 0; /* fits, but for its end */
    assert_non_null(strstr(split(line), "4096 bytes"));
    line[ARGUMENTS_BYTES_MAX - 1] = 0;
    assert_null(split(line));
    for (int i = 0; i < 2 * ARGUMENTS_MAX + 2; i += 2) {
        memcpy(line + i, "x ", 3);
    }
    assert_non_null(strstr(split(line), "64 words"));
    assert_true(arguments_add(&arguments, "y") == false);
}

static void test_options_are_found_by_name(void **state) {
    (void)state;
    assert_null(split("--file-prefix=a --no-pci"));
    assert_true(arguments_have(&arguments, "--file-prefix"));
    assert_true(arguments_have(&arguments, "--no-pci"));
    assert_false(arguments_have(&arguments, "--no"));
    assert_false(arguments_have(&arguments, "--no-pci-at-all"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_and_spaces),
        cmocka_unit_test(test_quotes_keep_spaces_and_vanish),
        cmocka_unit_test(test_open_quote_is_said),
        cmocka_unit_test(test_too_much_is_said),
        cmocka_unit_test(test_options_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
