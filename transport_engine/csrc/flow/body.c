/* Message bytes in pool blocks. */
#include "flow/body.h"

#include "base/check.h"

static bool is_single(const struct body *body) {
    return body->total_bytes <= BLOCK_BYTES;
}

bool body_init(struct body *body, struct pool *blocks, uint32_t total_bytes) {
    te_check(total_bytes <= BODY_BYTES_MAX);
    body->total_bytes = total_bytes;
    body->reserved_blocks = 0;
    for (int i = 0; i < BODY_INDEXES; i++) {
        body->roots[i] = NO_ITEM;
    }
    if (is_single(body)) {
        body->roots[0] = pool_take(blocks);
        return body->roots[0] != NO_ITEM;
    }
    body->reserved_blocks = body_blocks(total_bytes);
    return pool_reserve(blocks, body->reserved_blocks);
}

static void take_root(struct body *body, struct pool *blocks, uint32_t *root, bool is_index) {
    if (*root == NO_ITEM) {
        te_check(body->reserved_blocks > 0);
        body->reserved_blocks--;
        *root = pool_take_reserved(blocks);
        if (is_index) {
            memset(pool_at(blocks, *root), 0xFF, BLOCK_BYTES); /* every entry NO_ITEM */
        }
    }
}

/* Where block `number` of a body of several is noted. */
static uint32_t *find_entry(struct body *body, struct pool *blocks, uint32_t number) {
    uint32_t *root = &body->roots[number / BODY_INDEX_ENTRIES];
    take_root(body, blocks, root, true);
    return (uint32_t *)pool_at(blocks, *root) + number % BODY_INDEX_ENTRIES;
}

static uint32_t min_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

void body_write(struct body *body, struct pool *blocks, uint32_t offset_bytes,
                const uint8_t *source, uint32_t size_bytes) {
    te_check(size_bytes <= body->total_bytes && offset_bytes <= body->total_bytes - size_bytes);
    if (is_single(body)) {
        memcpy((uint8_t *)pool_at(blocks, body->roots[0]) + offset_bytes, source, size_bytes);
        return;
    }
    while (size_bytes > 0) {
        uint32_t *entry = find_entry(body, blocks, offset_bytes / BLOCK_BYTES);
        take_root(body, blocks, entry, false);
        uint32_t start = offset_bytes % BLOCK_BYTES;
        uint32_t piece = min_u32(size_bytes, BLOCK_BYTES - start);
        memcpy((uint8_t *)pool_at(blocks, *entry) + start, source, piece);
        source += piece;
        offset_bytes += piece;
        size_bytes -= piece;
    }
}

static const uint8_t *block_of(const struct body *body, const struct pool *blocks,
                               uint32_t number) {
    const uint32_t *index = pool_at(blocks, body->roots[number / BODY_INDEX_ENTRIES]);
    return pool_at(blocks, index[number % BODY_INDEX_ENTRIES]);
}

void body_read(const struct body *body, const struct pool *blocks, uint32_t offset_bytes,
               uint8_t *target, uint32_t size_bytes) {
    te_check(size_bytes <= body->total_bytes && offset_bytes <= body->total_bytes - size_bytes);
    if (is_single(body)) {
        const uint8_t *block = pool_at(blocks, body->roots[0]);
        memcpy(target, block + offset_bytes, size_bytes);
        return;
    }
    while (size_bytes > 0) {
        uint32_t start = offset_bytes % BLOCK_BYTES;
        uint32_t piece = min_u32(size_bytes, BLOCK_BYTES - start);
        memcpy(target, block_of(body, blocks, offset_bytes / BLOCK_BYTES) + start, piece);
        target += piece;
        offset_bytes += piece;
        size_bytes -= piece;
    }
}

static void give_index(struct pool *blocks, uint32_t root) {
    const uint32_t *entries = pool_at(blocks, root);
    for (uint32_t i = 0; i < BODY_INDEX_ENTRIES; i++) {
        if (entries[i] != NO_ITEM) {
            pool_give(blocks, entries[i]);
        }
    }
    pool_give(blocks, root);
}

void body_fini(struct body *body, struct pool *blocks) {
    if (is_single(body)) {
        if (body->roots[0] != NO_ITEM) {
            pool_give(blocks, body->roots[0]);
            body->roots[0] = NO_ITEM;
        }
        return;
    }
    pool_unreserve(blocks, body->reserved_blocks);
    body->reserved_blocks = 0;
    for (int i = 0; i < BODY_INDEXES; i++) {
        if (body->roots[i] != NO_ITEM) {
            give_index(blocks, body->roots[i]);
            body->roots[i] = NO_ITEM;
        }
    }
}
