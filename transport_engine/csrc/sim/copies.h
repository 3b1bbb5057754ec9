/* Which bytes of a direction went out before, under which number, and which have arrived.
 *
 * What the network knows and the flow does not: so retransmissions are counted from outside, and
 * one is called spurious when the network has delivered the same bytes already.
 * Shape: the last MESSAGE_WINDOW message ids; a flow has no others under way.
 */
#ifndef SIM_COPIES_H
#define SIM_COPIES_H

#include <stdbool.h>
#include <stdint.h>

#include "flow/packet.h"

struct copy {
    uint64_t number; /* of the packet that carried it last */
    bool is_sent;
    bool has_arrived;
};

struct copied_message {
    uint64_t id;
    uint32_t segment_count; /* 0: none was here yet */
    uint32_t room;          /* of `many` */
    bool is_touched;        /* a packet of it was lost or damaged */
    struct copy one;        /* of a message of one segment */
    struct copy *many;
};

struct copies {
    struct copied_message *messages; /* by id % MESSAGE_WINDOW */
    uint32_t segment_bytes;
};

/* Errors: false when memory ran out. */
bool copies_init(struct copies *copies, uint32_t segment_bytes);
void copies_fini(struct copies *copies);

/* Notes a segment that goes out. Returns the number of the packet that had carried it before, or
 * UINT64_MAX. */
uint64_t copies_sent(struct copies *copies, const struct message_frame *frame, uint64_t number);
/* Notes a segment that arrives. Returns whether it is the first copy to do so. */
bool copies_arrived(struct copies *copies, const struct message_frame *frame);
/* Notes that a packet with a part of the message did not arrive. */
void copies_touched(struct copies *copies, uint64_t id);
bool copies_is_touched(const struct copies *copies, uint64_t id);

#endif
