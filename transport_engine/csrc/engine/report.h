/* What an engine's flows are doing, a page at a time. */
#ifndef ENGINE_REPORT_H
#define ENGINE_REPORT_H

#include "engine/engine.h"
#include "transport_flows.h"

/* Fills in a page, from its slot `next` on; looks at TE_FLOWS_LOOKED_AT slots at most. */
void report_flows(struct engine *engine, struct te_flow_page *page);

#endif
