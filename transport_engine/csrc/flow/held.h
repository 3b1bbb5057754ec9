/* Whole messages that wait for earlier ones of their lanes, by their sequence.
 *
 * Knows the sequence of lanes. Does not know frames or when a lane's turn has come.
 * Shape: a ring for each lane of which any wait, ascending, and a list of the rings; fewer than
 * MESSAGE_WINDOW messages in each, for so many ids may lie between a message that has not come and
 * the newest (docs/wire.md §3).
 */
#ifndef FLOW_HELD_H
#define FLOW_HELD_H

#include <stdbool.h>
#include <stdint.h>

#include "flow/store.h"

struct held {
    uint32_t newest; /* of one lane: `next` is the oldest of it, `other` the newest of another */
    uint32_t count;
};

void held_init(struct held *held);

/* Adds a message of a lane whose turn is at `turn`. In order it costs nothing, else a look at those
 * of its lane that are older. Returns false if no peer may have sent it before that one. */
bool held_add(struct held *held, struct store *store, uint32_t index, uint16_t turn);

/* Takes the oldest of any lane. Returns its index, or NO_ITEM. */
uint32_t held_take(struct held *held, struct store *store);
/* Takes the oldest of a lane, if its sequence is `turn`. */
uint32_t held_take_turn(struct held *held, struct store *store, uint8_t lane, uint16_t turn);

#endif
