/* Message bodies against one plain buffer. */
#include "test.h"

#include "base/prng.h"
#include "flow/body.h"

enum { BLOCKS = 5000 };

static void keeps_every_byte(void **state) {
    (void)state;
    static const uint32_t totals[] = {1, 100, BLOCK_BYTES, BLOCK_BYTES + 1,
                                      BODY_ROOTS * BLOCK_BYTES, BODY_ROOTS * BLOCK_BYTES + 1,
                                      1 << 20, BODY_INDEX_ENTRIES * BLOCK_BYTES,
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
        assert_true(body_init(&body, &blocks, totals[i]));
        for (uint32_t offset = 0; offset < totals[i];) {
            uint32_t size = 1 + prng_below(&prng, 20000);
            size = size < totals[i] - offset ? size : totals[i] - offset;
            memset(plain + offset, (int)prng_below(&prng, 256), size);
            body_write(&body, &blocks, offset, plain + offset, size);
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
        assert_int_equal(BLOCKS - blocks.free_count, body_blocks(totals[i]));
        assert_int_equal(body.reserved_blocks, 0); /* it took what it had reserved */
        body_fini(&body, &blocks);
        assert_int_equal(blocks.free_count, BLOCKS);
    }
    free(copy);
    free(plain);
    free(memory);
}

/* Whatever others take meanwhile, a body that has begun can be written. */
static void has_memory_for_all(uint32_t data_blocks) {
    uint32_t total_bytes = data_blocks * BLOCK_BYTES;
    uint32_t all = body_blocks(total_bytes);
    uint8_t *memory = aligned_alloc(BLOCK_BYTES, (size_t)all * BLOCK_BYTES);
    uint8_t *bytes = calloc(data_blocks, BLOCK_BYTES);
    struct pool blocks;
    struct body body;
    struct body other;
    pool_init(&blocks, memory, BLOCK_BYTES, all);
    assert_true(body_init(&body, &blocks, total_bytes));
    assert_int_equal(blocks.free_count, 0);
    assert_false(body_init(&other, &blocks, 1));
    assert_int_equal(pool_take(&blocks), NO_ITEM);
    body_write(&body, &blocks, total_bytes - BLOCK_BYTES, bytes, BLOCK_BYTES);
    assert_int_equal(blocks.free_count, 0);
    body_write(&body, &blocks, 0, bytes, total_bytes - BLOCK_BYTES);
    body_fini(&body, &blocks);
    assert_int_equal(blocks.free_count, all);
    assert_true(body_init(&body, &blocks, total_bytes));
    body_write(&body, &blocks, 0, bytes, 1);
    body_fini(&body, &blocks); /* and what it reserved in vain comes back */
    assert_int_equal(blocks.free_count, all);
    assert_true(body_init(&body, &blocks, total_bytes));
    body_write(&body, &blocks, total_bytes - 1, bytes, 1);
    body_fini(&body, &blocks); /* also behind what never came */
    assert_int_equal(blocks.free_count, all);
    blocks.floor = 1;
    assert_false(body_init(&body, &blocks, total_bytes));
    free(bytes);
    free(memory);
}

static void has_memory_for_all_of_it_or_does_not_begin(void **state) {
    (void)state;
    has_memory_for_all(3);
    has_memory_for_all(BODY_ROOTS + 1); /* and an index block */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_every_byte),
        cmocka_unit_test(has_memory_for_all_of_it_or_does_not_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
