/* Cuts one piece of memory into the pools of a store. */
#include "flow/store.h"

#include "flow/body.h"
#include "flow/ledger.h"
#include "flow/messages.h"
#include "flow/reassembly.h"

/* A message or a packet under way holds at least one block, but for packets of acks alone. */
static size_t part_bytes(uint32_t items, size_t item_bytes) {
    return ((size_t)items * item_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

size_t store_bytes(uint32_t blocks) {
    return part_bytes(blocks, BLOCK_BYTES) + part_bytes(blocks, sizeof(struct outgoing)) +
           part_bytes(blocks, sizeof(struct incoming)) +
           part_bytes(2 * blocks, sizeof(struct sent_packet));
}

static uint8_t *cut(struct pool *pool, uint8_t *memory, size_t item_bytes, uint32_t items) {
    pool_init(pool, memory, (uint32_t)item_bytes, items);
    return memory + part_bytes(items, item_bytes);
}

void store_init(struct store *store, void *memory, uint32_t blocks) {
    uint8_t *at = cut(&store->blocks, memory, BLOCK_BYTES, blocks);
    at = cut(&store->outgoing, at, sizeof(struct outgoing), blocks);
    at = cut(&store->incoming, at, sizeof(struct incoming), blocks);
    store->lent_count = 0;
    store->refused_ns = 0;
    store->renewed_ns = 0;
    store->given_blocks = 0;
    cut(&store->sent, at, sizeof(struct sent_packet), 2 * blocks);
}
