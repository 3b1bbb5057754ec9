/* All flows of an engine, found by the id that packets carry or by who sent an INIT.
 *
 * A local id is a slot number in its low bits under random bits, so that finding a flow is one
 * look and guessing one is hopeless. Does not know what flows do.
 */
#ifndef FLOW_FLOW_TABLE_H
#define FLOW_FLOW_TABLE_H

#include <stdint.h>

#include "base/pool.h"
#include "flow/flow.h"

struct flow_table {
    struct flow **flows; /* by slot; NULL: free. Owner: the caller */
    uint32_t *buckets;   /* by remote id, of answering flows: first slot of a chain */
    uint32_t *next_in_bucket;
    uint32_t *free_slots;
    uint32_t free_count;
    uint32_t capacity; /* a power of two */
    uint64_t key;      /* of the buckets */
};

/* Bytes of zeroed memory that flow_table_init wants. */
size_t flow_table_bytes(uint32_t capacity);
/* `key`: which flows share a bucket depends on it, so that peers, who choose their ids, cannot
 * choose one bucket for them. */
void flow_table_init(struct flow_table *table, void *memory, uint32_t capacity, uint64_t key);

/* Returns a free slot, or NO_ITEM. The slot is taken by flow_table_put. */
uint32_t flow_table_reserve(const struct flow_table *table);
/* The id for a flow in `slot`, from 64 random bits, of which the upper 31 stay. */
uint64_t flow_table_id(const struct flow_table *table, uint32_t slot, uint64_t random);
void flow_table_put(struct flow_table *table, uint32_t slot, struct flow *flow);
void flow_table_remove(struct flow_table *table, uint32_t slot);

/* NULL: there is no such flow. */
struct flow *flow_table_find(const struct flow_table *table, uint64_t local_id);
/* Has the memory fetched in which flow_table_find looks for it. Only the cache sees it. */
void flow_table_fetch(const struct flow_table *table, uint64_t local_id);
/* The only flow that flow_table_find could find, whoever's it is, without a look at it: the id may
 * be anything. NULL: there is none. */
const struct flow *flow_table_peek(const struct flow_table *table, uint64_t local_id);
struct flow *flow_table_find_peer(const struct flow_table *table, uint64_t remote_id,
                                  const struct te_endpoint *remote);

#endif
