/* Ports on which tenants listen, and the stateless part of the handshake.
 *
 * Until an INIT carries a token that only its sender's address could have received, nothing is
 * kept and no answer is longer than the question (docs/wire.md §4).
 */
#ifndef ENGINE_LISTENER_H
#define ENGINE_LISTENER_H

#include "engine/engine.h"

/* Errors: TE_E_IN_USE, TE_E_NO_MEMORY, TE_E_SYSTEM. */
int listener_add(struct engine *engine, uint32_t tenant, uint16_t port);
int listener_remove(struct engine *engine, uint32_t tenant, uint16_t port);
void listener_remove_all(struct engine *engine, uint32_t tenant);

/* A flow that was accepted at `port` is over. */
void listener_forget_flow(struct engine *engine, uint16_t port);

/* Answers an INIT: by a retry, a refusal, or a new flow. */
void listener_receive(struct engine *engine, const struct netif_datagram *datagram,
                      const struct packet *init);

#endif
