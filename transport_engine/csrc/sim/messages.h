/* Applications: they hand messages to flows, take what comes out, and answer.
 *
 * With the oracle's eyes: what comes out is judged, and every call is followed to its end.
 */
#ifndef SIM_MESSAGES_H
#define SIM_MESSAGES_H

#include "sim/world.h"

/* Hands a new message to one side of a flow, which takes it when it can. */
void messages_post(struct world *world, uint32_t flow, int direction, const struct record *record);
/* Feeds a half with what waits for it, as far as it takes it. */
void messages_feed(struct world *world, struct half *half);
/* Takes and judges everything that is ready at a half. */
void messages_take(struct world *world, struct half *half);
/* One half of a session is gone: calls and messages of its side fail. */
void messages_half_gone(struct world *world, struct session *session, bool is_client);
/* Both are: what has not ended fails. */
void messages_session_gone(struct world *world, struct session *session);
/* Accuses everything that an open flow still owes. */
void messages_accuse_open(struct world *world);

#endif
