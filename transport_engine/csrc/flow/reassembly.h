/* The receiving side of messages: pieces in any order to whole messages, each exactly once.
 *
 * Knows message frames and memory. Does not know packets, timers or applications.
 * A message is ready when it is whole and, on a lane other than 0, when all earlier messages of
 * that lane were ready before it.
 */
#ifndef FLOW_REASSEMBLY_H
#define FLOW_REASSEMBLY_H

#include <stdbool.h>
#include <stdint.h>

#include "flow/body.h"
#include "flow/held.h"
#include "flow/packet.h"
#include "flow/segments.h"
#include "flow/store.h"
#include "flow/window.h"

struct begun;

struct incoming {
    uint32_t next;  /* the pool's; then in the ready list, or of its lane's that are held */
    uint32_t other; /* if held: see struct held */
    uint32_t segment_count;
    uint64_t id;
    uint64_t moved_ns; /* when the last of its bytes came that were new */
    struct body body;
    /* Its bytes that are not in `body` yet: in the store's `lent`, in order; NO_ITEM: none. */
    uint32_t lent_first, lent_last;
    const struct reassembly *partial_of; /* that notes it in its map; NULL: none */
    struct begun *begun; /* where it counts while it waits for its peer; NULL: it does not */
    struct segments sets; /* SET_RECEIVED */
    uint32_t received_count;
    uint16_t lane_sequence;
    uint8_t lane;
    uint8_t priority;
};

struct reassembly {
    uint32_t segment_bytes;
    uint32_t message_bytes_max;
    struct window whole;
    /* Block that maps id % MESSAGE_WINDOW to a partial message. It is not cleared: an entry counts
     * if what it names says the same of itself (P. Briggs, L. Torczon, "An Efficient Representation
     * for Sparse Sets", 1993). */
    uint32_t partial_index;
    uint32_t partial_count;
    uint32_t ready_first, ready_last;
    uint64_t waiting_since_ns; /* at most what reassembly_waiting_since_ns says, which sets it */
    uint64_t units_started; /* credit used by messages seen, cumulative */
    uint64_t units_released; /* by messages that the application has taken */
    uint64_t units_limit;    /* credit granted, cumulative; the caller moves it */
    uint16_t lane_next[LANES];
    struct held held; /* whole, but not yet their lane's turn */
};

enum reassembly_verdict {
    REASSEMBLY_STORED,
    REASSEMBLY_DUPLICATE,
    REASSEMBLY_NO_MEMORY, /* nothing changed; a later copy may find room */
    REASSEMBLY_VIOLATION  /* the peer broke the protocol */
};

void reassembly_init(struct reassembly *reassembly, uint32_t segment_bytes,
                     uint32_t message_bytes_max, uint64_t credit_units);
void reassembly_fini(struct reassembly *reassembly, struct store *store);

enum reassembly_verdict reassembly_receive(struct reassembly *reassembly, struct store *store,
                                           const struct message_frame *frame);

/* The partial message that is noted at a place of the map, or NULL. Only where there are any. */
struct incoming *reassembly_partial(const struct reassembly *reassembly, const struct store *store,
                                    uint32_t place);

/* Whether all earlier messages of its lane were ready before it. */
static inline bool reassembly_is_turn(const struct reassembly *reassembly, uint8_t lane,
                                      uint16_t lane_sequence) {
    return lane == 0 || lane_sequence == reassembly->lane_next[lane];
}

/* Whether anything that has come waits for something that has not. */
static inline bool reassembly_waits(const struct reassembly *reassembly) {
    return reassembly->partial_count > 0 || reassembly->held.count > 0;
}
/* Since when nothing has come of a message that is not whole; or of one that holds others of its
 * lane up, and was not begun. The longest that anything has waited so; UINT64_MAX: nothing does.
 * Looks through all, so it is to be asked seldom. */
uint64_t reassembly_waiting_since_ns(struct reassembly *reassembly, const struct store *store);

/* Copies what is left of what was lent. The caller then may use the memory that it lent. */
void reassembly_keep(struct store *store);

/* Copies bytes of a message that is ready, wherever they are. */
void incoming_read(const struct incoming *message, const struct store *store,
                   uint32_t offset_bytes, uint8_t *target, uint32_t size_bytes);

/* The next message that is ready, or NULL. It stays the next until it is released. */
struct incoming *reassembly_ready(const struct reassembly *reassembly, const struct store *store);
/* Frees the next ready message and counts its credit as free again. */
void reassembly_release(struct reassembly *reassembly, struct store *store);

#endif
