/* Message bytes in pool blocks. */
#include "flow/body.h"

#include "base/check.h"

static bool is_single(const struct body *body) {
    return body->total_bytes <= BLOCK_BYTES;
}

void body_init(struct body *body, uint32_t total_bytes) {
    te_check(total_bytes <= BODY_BYTES_MAX);
    body->total_bytes = total_bytes;
    for (int i = 0; i < BODY_INDEXES; i++) {
        body->roots[i] = NO_ITEM;
    }
}

static bool take_root(struct pool *blocks, uint32_t *root, bool is_index) {
    if (*root == NO_ITEM) {
        *root = pool_take(blocks);
        if (*root != NO_ITEM && is_index) {
            memset(pool_at(blocks, *root), 0xFF, BLOCK_BYTES); /* every entry NO_ITEM */
        }
    }
    return *root != NO_ITEM;
}

/* Where block `number` of the body is noted. NULL: its index block could not be had. */
static uint32_t *find_entry(struct body *body, struct pool *blocks, uint32_t number) {
    if (is_single(body)) {
        return &body->roots[0];
    }
    uint32_t *root = &body->roots[number / BODY_INDEX_ENTRIES];
    if (!take_root(blocks, root, true)) {
        return NULL;
    }
    return (uint32_t *)pool_at(blocks, *root) + number % BODY_INDEX_ENTRIES;
}

static uint32_t min_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

bool body_write(struct body *body, struct pool *blocks, uint32_t offset_bytes,
                const uint8_t *source, uint32_t size_bytes) {
    te_check(size_bytes <= body->total_bytes && offset_bytes <= body->total_bytes - size_bytes);
    while (size_bytes > 0) {
        uint32_t *entry = find_entry(body, blocks, offset_bytes / BLOCK_BYTES);
        if (entry == NULL || !take_root(blocks, entry, false)) {
            return false;
        }
        uint32_t start = offset_bytes % BLOCK_BYTES;
        uint32_t piece = min_u32(size_bytes, BLOCK_BYTES - start);
        memcpy((uint8_t *)pool_at(blocks, *entry) + start, source, piece);
        source += piece;
        offset_bytes += piece;
        size_bytes -= piece;
    }
    return true;
}

static const uint8_t *block_of(const struct body *body, const struct pool *blocks,
                               uint32_t number) {
    uint32_t block = body->roots[0];
    if (!is_single(body)) {
        const uint32_t *index = pool_at(blocks, body->roots[number / BODY_INDEX_ENTRIES]);
        block = index[number % BODY_INDEX_ENTRIES];
    }
    return pool_at(blocks, block);
}

void body_read(const struct body *body, const struct pool *blocks, uint32_t offset_bytes,
               uint8_t *target, uint32_t size_bytes) {
    te_check(size_bytes <= body->total_bytes && offset_bytes <= body->total_bytes - size_bytes);
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
    for (int i = 0; i < BODY_INDEXES; i++) {
        if (body->roots[i] == NO_ITEM) {
            continue;
        }
        if (is_single(body)) {
            pool_give(blocks, body->roots[i]);
        } else {
            give_index(blocks, body->roots[i]);
        }
        body->roots[i] = NO_ITEM;
    }
}
