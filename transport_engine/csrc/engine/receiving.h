/* From the netif into flows, and of what that completes as much as goes into tenants' RX rings. */
#ifndef ENGINE_RECEIVING_H
#define ENGINE_RECEIVING_H

#include "engine/engine.h"

/* Takes bursts until the netif has no more for now, or a poll's share. Returns the datagrams. */
int receiving_poll(struct engine *engine);

/* Takes in a datagram that is this engine's. */
void receiving_take(struct engine *engine, const struct netif_datagram *datagram);

#endif
