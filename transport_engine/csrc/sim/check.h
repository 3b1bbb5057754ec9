/* Whether a simulation's configuration can be run at all; ranges and cross references. */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H

#include "transport_engine.h"
#include "transport_sim.h"

enum { POOL_SHARE = 4 }; /* of a pool, that one message may take: one in so many bytes */

/* Errors: TE_E_INVALID; `why` (TE_WHY_BYTES) names the field and what is allowed. */
int check_config(const struct te_sim_config *config, char *why);

#endif
