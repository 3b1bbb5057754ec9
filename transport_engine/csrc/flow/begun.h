/* Messages that wait for more from their peer, and what those of one peer may hold meanwhile.
 *
 * Part of reassembly. Counted over all flows of the peer; which those are, the caller knows. What
 * is whole and in turn does not count: it waits for its application, which is not the peer's doing.
 * Source: dynamic thresholds, A. Choudhury, E. Hahne, IEEE/ACM ToN 6(2), 1998, with alpha = 1.
 */
#ifndef FLOW_BEGUN_H
#define FLOW_BEGUN_H

#include <stdbool.h>
#include <stdint.h>

#include "flow/reassembly.h"

struct begun {
    uint32_t blocks; /* of the store, set aside for all that these messages will hold */
    const struct incoming *beyond; /* the one that began although they did not fit; NULL: none */
};

/* Blocks that a message takes, at most: its bytes, its sets of segments, the map of partials. */
static inline uint32_t begun_blocks(uint32_t total_bytes) {
    return body_blocks(total_bytes) + 2;
}

/* Whether one more may begin to wait, where `room` blocks are free: with it they hold no more than
 * they leave, so that no peer holds what others want. The oldest messages of the peer's flows may
 * go beyond, one at a time, for each of them can be finished and delivered. NULL: may all. */
bool begun_admits(const struct begun *begun, uint32_t total_bytes, uint32_t room, bool is_oldest);
/* A message that was admitted, with the same `room`. NULL: it is not counted. */
void begun_add(struct begun *begun, struct incoming *message, uint32_t room);
void begun_remove(struct incoming *message);

/* It waits no longer, if it did. Pairs with begun_add. */
static inline void begun_end(struct incoming *message) {
    if (message->begun != NULL) {
        begun_remove(message);
    }
}

#endif
