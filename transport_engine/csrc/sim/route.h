/* Packets on their way: from a node, over the links of a route, to the other node. */
#ifndef SIM_ROUTE_H
#define SIM_ROUTE_H

#include "sim/world.h"

/* Sends a packet into the first link of its route. Owner: takes the packet over. */
void route_send(struct world *world, uint32_t packet);
/* A packet has come to the end of a link's line; the next in line follows. */
void route_link_event(struct world *world, uint32_t link);
/* A packet has come to the end of its link. */
void route_arrive(struct world *world, uint32_t packet);
/* Ends a packet on its way; `reason` as in a trace line. */
void route_drop(struct world *world, uint32_t packet, uint8_t reason);

/* Ideal time for a message in an empty network, from its flow's first hop to its last byte. */
uint64_t route_ideal_ns(const struct world *world, const struct sim_flow *flow, int direction,
                        uint32_t size_bytes);
struct link *route_first_link(const struct world *world, const struct sim_flow *flow,
                              int direction);

enum drop_reason { DROP_CORRUPT = 5, DROP_NODE = 6 };

#endif
