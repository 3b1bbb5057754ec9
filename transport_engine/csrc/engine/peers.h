/* The remote addresses that this engine's flows go to and come from, so that none of them takes
 * the whole table of flows.
 *
 * A keyed hash table with a place for each peer that the flows could have. A place stays where it
 * is for as long as a flow is counted there. Does not know flows.
 * Source: hashing with chaining, Knuth, TAOCP vol. 3, §6.4, algorithm C.
 */
#ifndef ENGINE_PEERS_H
#define ENGINE_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "flow/begun.h"

struct engine;

struct peer {
    uint8_t address[16];
    struct peer *next; /* with the same hash, or that is free, too */
    uint32_t flow_count; /* 0: a free place */
    uint32_t accepted_count; /* those of them that it opened */
    struct begun begun; /* messages on all of them */
};

struct peers {
    struct peer *places; /* Owner: this */
    struct peer **heads; /* Owner: this */
    struct peer *free;
    uint32_t mask;
    uint32_t flows_max; /* that one peer may open */
};

/* For `total_max` flows, of which one peer may open `flows_max`; 0: all but an eighth. Returns
 * false without memory. */
bool peers_init(struct peers *peers, uint32_t total_max, uint32_t flows_max);
void peers_fini(struct peers *peers);

/* Counts one flow more, also if it goes on from another address later: from where a peer says that
 * it is does not give it more. NULL: the peer has opened all that it may. Released by
 * peers_remove. */
struct peer *peers_add(struct engine *engine, const uint8_t address[16], bool is_accepted);
void peers_remove(struct engine *engine, struct peer *peer, bool is_accepted);

#endif
