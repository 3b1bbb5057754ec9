/* Flows by id. */
#include "flow/flow_table.h"

#include <string.h>

size_t flow_table_bytes(uint32_t capacity) {
    return capacity * (sizeof(struct flow *) + 3 * sizeof(uint32_t));
}

void flow_table_init(struct flow_table *table, void *memory, uint32_t capacity, uint64_t key) {
    uint8_t *at = memory;
    table->key = key;
    table->capacity = capacity;
    table->flows = memory;
    at += capacity * sizeof(struct flow *);
    table->buckets = (uint32_t *)(void *)at;
    table->next_in_bucket = table->buckets + capacity;
    table->free_slots = table->next_in_bucket + capacity;
    table->free_count = capacity;
    for (uint32_t i = 0; i < capacity; i++) {
        table->flows[i] = NULL;
        table->buckets[i] = NO_ITEM;
        table->next_in_bucket[i] = NO_ITEM;
        table->free_slots[i] = capacity - 1 - i;
    }
}

uint32_t flow_table_reserve(const struct flow_table *table) {
    return table->free_count == 0 ? NO_ITEM : table->free_slots[table->free_count - 1];
}

uint64_t flow_table_id(const struct flow_table *table, uint32_t slot, uint64_t random) {
    uint64_t mask = table->capacity - 1;
    uint64_t id = (random & ~mask) | slot;
    /* 0 means "no flow" on the wire; the upper bits are not ours to change. */
    return id == 0 ? UINT64_C(1) << 32 : id;
}

/* The low bits of an id are its flow's slot with the peer, and few peers have many: they alone
 * would bring the flows of most into one bucket. Multiplicative hashing by the golden ratio:
 * Knuth, TAOCP vol. 3, §6.4. */
static uint32_t *bucket_of(const struct flow_table *table, uint64_t remote_id) {
    uint64_t hash = (remote_id ^ table->key) * UINT64_C(0x9E3779B97F4A7C15);
    return &table->buckets[(hash >> 32) * table->capacity >> 32];
}

void flow_table_put(struct flow_table *table, uint32_t slot, struct flow *flow) {
    table->free_count--;
    table->flows[slot] = flow;
    if (flow->is_server) {
        uint32_t *bucket = bucket_of(table, flow->remote_id);
        table->next_in_bucket[slot] = *bucket;
        *bucket = slot;
    }
}

void flow_table_remove(struct flow_table *table, uint32_t slot) {
    const struct flow *flow = table->flows[slot];
    if (flow->is_server) {
        uint32_t *link = bucket_of(table, flow->remote_id);
        while (*link != slot) {
            link = &table->next_in_bucket[*link];
        }
        *link = table->next_in_bucket[slot];
    }
    table->flows[slot] = NULL;
    table->free_slots[table->free_count++] = slot;
}

struct flow *flow_table_find(const struct flow_table *table, uint64_t local_id) {
    struct flow *flow = table->flows[local_id & (table->capacity - 1)];
    return flow != NULL && flow->local_id == local_id ? flow : NULL;
}

void flow_table_fetch(const struct flow_table *table, uint64_t local_id) {
    __builtin_prefetch(&table->flows[local_id & (table->capacity - 1)]);
}

const struct flow *flow_table_peek(const struct flow_table *table, uint64_t local_id) {
    return table->flows[local_id & (table->capacity - 1)];
}

struct flow *flow_table_find_peer(const struct flow_table *table, uint64_t remote_id,
                                  const struct te_endpoint *remote) {
    uint32_t slot = *bucket_of(table, remote_id);
    while (slot != NO_ITEM) {
        struct flow *flow = table->flows[slot];
        if (flow->remote_id == remote_id && flow->remote.port == remote->port &&
            memcmp(flow->remote.address, remote->address, TE_ADDRESS_BYTES) == 0) {
            return flow;
        }
        slot = table->next_in_bucket[slot];
    }
    return NULL;
}
