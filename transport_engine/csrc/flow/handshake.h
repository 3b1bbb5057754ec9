/* Opening a flow: INIT, RETRY and ACCEPT, and how long the packets may be that the way carries.
 *
 * A way that drops long packets without a word is found before the first message: an INIT with a
 * token, and its ACCEPT, are as long as the flow's packets may be.
 * Does not know listeners: who answers an INIT, and makes tokens, is the engine's.
 * Source: docs/wire.md §4
 */
#ifndef FLOW_HANDSHAKE_H
#define FLOW_HANDSHAKE_H

#include "flow/flow.h"

/* Opens both directions, with segments of the smaller of the two sizes. */
void handshake_open(struct flow *flow, const struct parameters *peer, uint64_t first_number);
/* The answering side: has this INIT answered. */
void handshake_ask(struct flow *flow, const struct packet *init);
/* The calling side, as long as it is connecting. */
void handshake_receive(struct flow *flow, const struct packet *packet, uint64_t now_ns);
void handshake_timeout(struct flow *flow, uint64_t now_ns);

/* Writes the INIT or the ACCEPT that is due. Shape: `out` has config->packet_bytes.
 * Returns its size. */
size_t handshake_write(struct flow *flow, uint64_t now_ns, uint8_t *out);

#endif
