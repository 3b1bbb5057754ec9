/* Message bytes in pool blocks. */
#include "flow/body.h"

#include "base/check.h"
#include "base/limits.h"

static bool is_single(const struct body *body) {
    return body->total_bytes <= BLOCK_BYTES;
}

static bool is_indexed(const struct body *body) {
    return body->total_bytes > BODY_ROOTS * BLOCK_BYTES;
}

bool body_init(struct body *body, struct pool *blocks, uint32_t total_bytes) {
    te_check(total_bytes <= BODY_BYTES_MAX);
    body->total_bytes = total_bytes;
    body->reserved_blocks = 0;
    if (is_single(body)) {
        body->roots[0] = pool_take(blocks);
        return body->roots[0] != NO_ITEM;
    }
    for (int i = 0; i < BODY_ROOTS; i++) {
        body->roots[i] = NO_ITEM;
    }
    body->reserved_blocks = body_blocks(total_bytes);
    return pool_reserve(blocks, body->reserved_blocks);
}

static bool take_block(struct body *body, struct pool *blocks, uint32_t *entry) {
    if (*entry != NO_ITEM) {
        return false;
    }
    te_check(body->reserved_blocks > 0);
    body->reserved_blocks--;
    *entry = pool_take_reserved(blocks);
    return true;
}

/* How many blocks index `root` names, at most. */
static uint32_t entries_of(const struct body *body, uint32_t root) {
    uint32_t left = body_data_blocks(body->total_bytes) - root * BODY_INDEX_ENTRIES;
    return min_u32(left, BODY_INDEX_ENTRIES);
}

/* Where block `number` of a body of several is noted. */
static uint32_t *find_entry(struct body *body, struct pool *blocks, uint32_t number) {
    if (!is_indexed(body)) {
        return &body->roots[number];
    }
    uint32_t root = number / BODY_INDEX_ENTRIES;
    if (take_block(body, blocks, &body->roots[root])) {
        memset(pool_at(blocks, body->roots[root]), 0xFF, /* every entry NO_ITEM */
               entries_of(body, root) * sizeof(uint32_t));
    }
    return (uint32_t *)pool_at(blocks, body->roots[root]) + number % BODY_INDEX_ENTRIES;
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
        take_block(body, blocks, entry);
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
    if (!is_indexed(body)) {
        return pool_at(blocks, body->roots[number]);
    }
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

static void give_index(const struct body *body, struct pool *blocks, uint32_t root) {
    const uint32_t *entries = pool_at(blocks, body->roots[root]);
    uint32_t count = entries_of(body, root);
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i] != NO_ITEM) {
            pool_give(blocks, entries[i]);
        }
    }
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
    for (uint32_t i = 0; i < BODY_ROOTS; i++) {
        if (body->roots[i] == NO_ITEM) {
            continue;
        }
        if (is_indexed(body)) {
            give_index(body, blocks, i);
        }
        pool_give(blocks, body->roots[i]);
        body->roots[i] = NO_ITEM;
    }
}
