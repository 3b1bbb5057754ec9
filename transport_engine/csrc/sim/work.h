/* What is sent: message lists, closed loops, random arrivals, incasts; a flow serves one of them.
 *
 * Draws from a stream of its own; exponential numbers by inversion, with a logarithm in integers,
 * so that a seed means the same on every machine.
 */
#ifndef SIM_WORK_H
#define SIM_WORK_H

#include "sim/world.h"

/* Errors: false when memory ran out. */
bool work_init(struct world *world, uint32_t index);
void work_fini(struct work *work);
/* The time of a workload has come. */
void work_event(struct world *world, uint32_t index);
/* A flow is opened for the first time. */
void work_flow_begins(struct world *world, uint32_t flow);
/* A message or call of a flow has ended. */
void work_ended(struct world *world, uint32_t flow, const struct record *record, bool is_good);

#endif
