/* From a tenant's TX ring into the send queues of its flows. */
#ifndef ENGINE_SENDING_H
#define ENGINE_SENDING_H

#include "engine/engine.h"

/* Takes records until the ring is empty, the budget is spent or memory is out. Returns how many.
 * A channel with a record that no honest application writes is stopped. */
int sending_poll(struct engine *engine, uint32_t tenant);

#endif
