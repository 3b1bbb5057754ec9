/* From a tenant's TX ring into the send queues of its flows. */
#ifndef ENGINE_SENDING_H
#define ENGINE_SENDING_H

#include "engine/engine.h"

/* Takes records until the ring is empty, the budget is spent or memory is out. Returns how many.
 * A channel with a record that no honest application writes is stopped. */
int sending_poll(struct engine *engine, uint32_t tenant);

/* The longest message that the flow's peer takes and its share's memory holds. */
uint32_t sending_bytes_max(const struct engine *engine, const struct engine_flow *flow);

/* Tells the flow's application which of its requests are whole at the peer. */
void sending_tell_acked(const struct engine *engine, struct engine_flow *flow);

/* The same after a packet of the flow, if there may be news. */
static inline void sending_look_acked(const struct engine *engine, struct engine_flow *flow) {
    if (flow->flow.out.newest_tag >= flow->acked_below) {
        sending_tell_acked(engine, flow);
    }
}

#endif
