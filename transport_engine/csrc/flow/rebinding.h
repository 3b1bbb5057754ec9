/* A peer that goes on from another address, and what may be sent there until it has shown that it
 * is there: it acknowledges a packet whose number nobody can know who did not get it.
 *
 * Part of flow. Knows packets' numbers and sizes. Does not know what addresses mean.
 * Source: RFC 9000 §8.1 (three times what came), §8.2 (validation), §21.4 (numbers left out)
 */
#ifndef FLOW_REBINDING_H
#define FLOW_REBINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ack_frame;
struct flow;
struct packet;

/* What a flow keeps of it; all zero: the peer is where it says it is. */
struct rebinding {
    uint64_t number;       /* it, or a later one, acknowledged: proven. 0: it is */
    uint32_t left_out;     /* so many numbers before that were never sent */
    uint32_t budget_bytes; /* that may still be sent */
};

/* Counts a packet that came from the new address. */
void rebinding_received(struct flow *flow, const struct packet *packet);
/* Takes an acknowledgement. False: it names a number that was left out. */
bool rebinding_acked(struct flow *flow, const struct ack_frame *ack);

/* The largest UDP payload that may go now; 0: none, not even an acknowledgement alone. */
size_t rebinding_limit_bytes(const struct flow *flow);
/* Counts what was sent. */
void rebinding_sent(struct flow *flow, size_t size_bytes);

#endif
