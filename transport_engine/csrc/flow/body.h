/* The bytes of one message under way, in blocks of a pool; written and read at any offset.
 *
 * Up to four blocks are named by the body itself; above, each index block names 1,024. All are
 * reserved when the message begins, so that it can always be finished, and taken when first
 * written to, but that of a message of one block, which is taken at once.
 * Does not know segments, acks or flows.
 */
#ifndef FLOW_BODY_H
#define FLOW_BODY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"

enum body_limit {
    BLOCK_BYTES = 4096,
    BODY_INDEX_ENTRIES = BLOCK_BYTES / 4,
    BODY_ROOTS = 4,
    BODY_BYTES_MAX = BODY_ROOTS * BODY_INDEX_ENTRIES * BLOCK_BYTES
};

struct body {
    uint32_t total_bytes;
    uint32_t reserved_blocks;
    uint32_t roots[BODY_ROOTS]; /* data blocks, or index blocks where there are more of them */
};

static inline uint32_t body_data_blocks(uint32_t total_bytes) {
    return total_bytes / BLOCK_BYTES + (total_bytes % BLOCK_BYTES > 0);
}

/* Blocks that a body of `total_bytes` takes in all. */
static inline uint32_t body_blocks(uint32_t total_bytes) {
    uint32_t data = body_data_blocks(total_bytes);
    return data <= BODY_ROOTS ? data
                              : data + (data + BODY_INDEX_ENTRIES - 1) / BODY_INDEX_ENTRIES;
}

/* Errors: false when the pool has no room for all of it. */
bool body_init(struct body *body, struct pool *blocks, uint32_t total_bytes);

/* Copies `size_bytes` in. The caller keeps offset + size within total_bytes. */
void body_write(struct body *body, struct pool *blocks, uint32_t offset_bytes,
                const uint8_t *source, uint32_t size_bytes);

/* Copies out bytes that were written before. */
void body_read(const struct body *body, const struct pool *blocks, uint32_t offset_bytes,
               uint8_t *target, uint32_t size_bytes);

/* Gives every block back. */
void body_fini(struct body *body, struct pool *blocks);

#endif
