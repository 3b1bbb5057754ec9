/* The memory that all flows of an engine share: blocks, messages under way, packets in flight.
 *
 * Everything is taken at start. An empty pool is a value, never an error: senders wait, receivers
 * drop the packet unacknowledged and get it again.
 */
#ifndef FLOW_STORE_H
#define FLOW_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"

enum store_limit { LENT_MAX = 64 };

/* Bytes of a message that are still where they arrived. */
struct lent {
    const uint8_t *bytes;
    uint32_t incoming; /* NO_ITEM: the message is gone */
    uint32_t offset_bytes;
    uint32_t size_bytes;
    uint32_t next; /* of the same message, behind these; NO_ITEM: none */
};

struct store {
    struct pool blocks;
    struct pool outgoing; /* struct outgoing */
    struct pool incoming; /* struct incoming */
    struct pool sent;     /* struct sent_packet */
    struct lent lent[LENT_MAX];
    uint32_t lent_count;
    uint64_t refused_ns; /* when it last had no memory for a message to be sent; 0: never */
    uint64_t renewed_ns; /* when such messages had last been given all of it anew; 0: never */
    uint32_t given_blocks; /* to those since then */
};

/* Bytes that store_init wants for `blocks` blocks of BLOCK_BYTES. */
size_t store_bytes(uint32_t blocks);

/* Shape: `memory` is zeroed, aligned to BLOCK_BYTES, and store_bytes(blocks) long.
 * Owner: the caller keeps the memory for as long as the store lives. */
void store_init(struct store *store, void *memory, uint32_t blocks);

#endif
