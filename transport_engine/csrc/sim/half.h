/* The halves of flows: opened, fed, asked for packets and messages, buried.
 *
 * Plays the part of the engine between netif and applications; nothing else calls flow.h.
 * A local id is its index under
 * random bits.
 */
#ifndef SIM_HALF_H
#define SIM_HALF_H

#include "sim/world.h"

/* NULL: nobody has that id. */
struct half *half_find(const struct world *world, uint64_t local_id);
/* The half at the server that answers to a client's id; NULL: none yet. */
struct half *half_find_server(const struct world *world, uint32_t flow, uint64_t client_id);
struct node *half_node(const struct world *world, const struct half *half);

/* Opens a flow from its client. */
void half_connect(struct world *world, uint32_t flow);
/* Opens the answering half after an INIT whose token was good. */
void half_accept(struct world *world, uint32_t flow, const struct packet *init);
void half_receive(struct world *world, struct half *half, const struct packet *packet);
void half_timer(struct world *world, uint32_t index);
/* Lets it look for something to do at this instant, after what happens now. */
void half_wake(struct world *world, struct half *half);
/* Closes in order, as an application does. */
void half_close(struct world *world, struct half *half);
/* All ends of a node are gone without a word. */
void half_vanish_all(struct world *world, uint32_t node);
/* Frees without looking; when the world ends. */
void half_fini(struct half *half);

#endif
