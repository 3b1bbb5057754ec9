/* From flows into a tenant's RX ring: openings, messages, endings, in this order for each flow. */
#ifndef ENGINE_DELIVERY_H
#define ENGINE_DELIVERY_H

#include "engine/engine.h"

/* Whether the flow has something to tell its application. */
bool delivery_is_due(const struct engine *engine, const struct engine_flow *flow);

/* Writes until the inbox is empty, the ring is full or the budget is spent. Returns how many
 * records and messages. */
int delivery_poll(struct engine *engine, uint32_t tenant);

/* The same where there may be nothing, or nobody, to write for. */
static inline int delivery_look(struct engine *engine, uint32_t tenant) {
    bool has_some =
        engine_is_served(engine, tenant) && engine->tenants[tenant].inbox_first != NO_ITEM;
    return has_some ? delivery_poll(engine, tenant) : 0;
}

#endif
