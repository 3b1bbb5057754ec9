/* What is written down of packets: bytes sent, sent again, lost, arrived in vain; and the trace. */
#ifndef SIM_ACCOUNT_H
#define SIM_ACCOUNT_H

#include "sim/world.h"

void account_sent(struct world *world, struct sim_packet *packet);
/* `reason`: as in a trace line. */
void account_dropped(struct world *world, const struct sim_packet *packet, uint8_t reason);
/* A packet has reached its node. */
void account_arrived(struct world *world, const struct sim_packet *packet);

#endif
