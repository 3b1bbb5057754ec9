/* Defaults and limits of an engine's configuration. */
#ifndef ENGINE_CONFIG_H
#define ENGINE_CONFIG_H

#include "transport_engine.h"

enum { LONGEST_SHARE = 4 }; /* of the pool, that one message may take: one in so many bytes */

/* TE_OK, or TE_E_INVALID and a sentence that names the value and its range. */
int config_check(const struct te_engine_config *config, char *why);

#endif
