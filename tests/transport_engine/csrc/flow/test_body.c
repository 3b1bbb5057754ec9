/* Message bodies against one plain buffer. */
#include "test.h"

#include "base/prng.h"
#include "flow/body.h"

enum { BLOCKS = 5000 };

static void keeps_every_byte(void **state) {
    (void)state;
    static const uint32_t totals[] = {1, 100, BLOCK_BYTES, BLOCK_BYTES + 1, 1 << 20,
                                      BODY_INDEX_ENTRIES * BLOCK_BYTES + 1, BODY_BYTES_MAX};
    uint8_t *memory = aligned_alloc(BLOCK_BYTES, (size_t)BLOCKS * BLOCK_BYTES);
    uint8_t *plain = malloc(BODY_BYTES_MAX);
    uint8_t *copy = malloc(BODY_BYTES_MAX);
    struct pool blocks;
    struct prng prng;
    pool_init(&blocks, memory, BLOCK_BYTES, BLOCKS);
    prng_init(&prng, 3);
    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++) {
        struct body body;
        body_init(&body, totals[i]);
        for (uint32_t offset = 0; offset < totals[i];) {
            uint32_t size = 1 + prng_below(&prng, 20000);
            size = size < totals[i] - offset ? size : totals[i] - offset;
            memset(plain + offset, (int)prng_below(&prng, 256), size);
            assert_true(body_write(&body, &blocks, offset, plain + offset, size));
            offset += size;
        }
        body_read(&body, &blocks, 0, copy, totals[i]);
        assert_memory_equal(copy, plain, totals[i]);
        for (int round = 0; round < 100; round++) {
            uint32_t offset = prng_below(&prng, totals[i]);
            uint32_t size = prng_below(&prng, totals[i] - offset);
            body_read(&body, &blocks, offset, copy, size);
            assert_memory_equal(copy, plain + offset, size);
        }
        body_fini(&body, &blocks);
        assert_int_equal(blocks.free_count, BLOCKS);
    }
    free(copy);
    free(plain);
    free(memory);
}

static void says_when_the_pool_is_empty(void **state) {
    (void)state;
    uint8_t *memory = aligned_alloc(BLOCK_BYTES, 3 * BLOCK_BYTES);
    uint8_t bytes[3 * BLOCK_BYTES] = {0};
    struct pool blocks;
    struct body body;
    pool_init(&blocks, memory, BLOCK_BYTES, 3); /* an index block and two of data */
    body_init(&body, sizeof bytes);
    assert_false(body_write(&body, &blocks, 0, bytes, sizeof bytes));
    assert_true(body_write(&body, &blocks, 0, bytes, 2 * BLOCK_BYTES));
    body_fini(&body, &blocks);
    assert_int_equal(blocks.free_count, 3);
    uint32_t taken[3] = {pool_take(&blocks), pool_take(&blocks), pool_take(&blocks)};
    body_init(&body, sizeof bytes);
    assert_false(body_write(&body, &blocks, 0, bytes, 1)); /* not even an index block */
    pool_give(&blocks, taken[0]);
    assert_false(body_write(&body, &blocks, 0, bytes, 1));
    body_fini(&body, &blocks);
    body_init(&body, BLOCK_BYTES);
    assert_true(body_write(&body, &blocks, 0, bytes, BLOCK_BYTES));
    body_fini(&body, &blocks);
    assert_int_equal(blocks.free_count, 1);
    free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_every_byte),
        cmocka_unit_test(says_when_the_pool_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
