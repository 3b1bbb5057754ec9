/* How many flows each remote address has open with this engine's listeners, so that none takes the
 * whole table.
 *
 * A keyed hash table with a place for each peer that the flows could have. Does not know flows.
 * Source: linear probing with deletion, Knuth, TAOCP vol. 3, §6.4, algorithm R.
 */
#ifndef ENGINE_PEERS_H
#define ENGINE_PEERS_H

#include <stdbool.h>
#include <stdint.h>

struct engine;

struct peer {
    uint8_t address[16];
    uint32_t flow_count; /* 0: a free place */
};

struct peers {
    struct peer *places; /* Owner: this */
    uint32_t mask;
    uint32_t flows_max; /* of one peer */
};

/* For `total_max` flows, of which one peer may have `flows_max`; 0: all but an eighth. Returns
 * false without memory. */
bool peers_init(struct peers *peers, uint32_t total_max, uint32_t flows_max);
void peers_fini(struct peers *peers);

/* Counts one flow more. False: the peer has all that it may have. */
bool peers_add(struct engine *engine, const uint8_t address[16]);
void peers_remove(struct engine *engine, const uint8_t address[16]);
/* A flow goes on from another address, and counts there, also beyond what that may have. */
void peers_move(struct engine *engine, const uint8_t from[16], const uint8_t to[16]);

#endif
