/* A host: takes packets, unless it stalls or is down, and finds the flow that they are for.
 *
 * Plays the part of the engine's input: who is not known gets a RESET, who knocks a token first.
 * Source: docs/wire.md §4, §7.
 */
#ifndef SIM_NODE_H
#define SIM_NODE_H

#include "sim/world.h"

/* Errors: false when memory ran out. */
bool node_init(struct world *world, uint32_t index);
void node_fini(struct node *node);

/* Takes a packet at the end of its route. Owner: takes it over. */
void node_arrive(struct world *world, uint32_t packet);

void node_stall(struct world *world, uint32_t index, uint64_t for_ns);
/* Draws the next stall of a node that has some. */
void node_plan_stall(struct world *world, uint32_t index);
/* Takes up what came in while it was stalled. */
void node_wake(struct world *world, uint32_t index);
/* Forgets everything; nothing is told to anybody. */
void node_crash(struct world *world, uint32_t index, uint64_t for_ns);
void node_boot(struct world *world, uint32_t index);

/* Whether it does anything at all now. */
static inline bool node_is_awake(const struct world *world, const struct node *node) {
    return node->is_up && world->now_ns >= node->stalled_until_ns;
}

#endif
