/* Packets under way, in buffers that are used again.
 *
 * Knows where a packet is and what the simulator knows of it; not what is in it. Named by index.
 */
#ifndef SIM_PACKETS_H
#define SIM_PACKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"

struct sim_packet {
    uint64_t arrives_ns; /* at the end of its present link */
    uint64_t order;      /* of that event */
    uint64_t number;
    uint32_t next; /* in a link's line, a node's inbox or the free list */
    uint32_t size_bytes;
    uint32_t message_bytes; /* of messages in it */
    uint32_t flow;
    uint8_t hop; /* of its route */
    bool is_forward; /* from client to server */
    bool is_marked;
    bool is_duplicate;
    bool is_corrupt;
    uint8_t *bytes;
};

struct packets {
    struct sim_packet **chunks;
    uint32_t chunk_count;
    uint32_t free_head;
    uint32_t under_way;
};

void packets_init(struct packets *packets);
void packets_fini(struct packets *packets);
/* Returns NO_ITEM when memory ran out. */
uint32_t packets_take(struct packets *packets);
void packets_give(struct packets *packets, uint32_t index);
struct sim_packet *packets_at(const struct packets *packets, uint32_t index);
/* A second packet of the same bytes, or NO_ITEM. */
uint32_t packets_copy(struct packets *packets, uint32_t index);

#endif
