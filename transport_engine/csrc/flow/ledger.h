/* The packets in flight of one flow, by number: which are acknowledged, and which are lost.
 *
 * Knows numbers, times and sizes; carries fragments without looking into them.
 * Reordering: a packet that was declared lost and is acknowledged after all widens the time that
 * later packets are given, and ends the counting of packets, until losses have been real for long.
 * Source: RFC 9002 §6.1 (packet threshold, time threshold), RFC 8985 §6.2 (reordering window).
 */
#ifndef FLOW_LEDGER_H
#define FLOW_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "flow/messages.h"
#include "flow/packet.h"
#include "flow/rtt.h"
#include "flow/store.h"

enum ledger_limit {
    FRAGMENTS_MAX = 8, /* MESSAGE frames in a packet */
    PACKET_THRESHOLD = 3,
    TIME_THRESHOLD_SHIFT = 3,  /* an eighth of a round trip ... */
    REORDER_STEP_SHIFT = 2,    /* ... and a quarter more at each proof of reordering */
    REORDER_MEMORY_LOSSES = 16, /* real losses after which reordering is forgotten */
    LOST_MEMORY = 16           /* packets declared lost whose acknowledgement would be noticed */
};

enum sent_flags {
    SENT_CREDIT = 1, /* carried a CREDIT frame */
    SENT_CLOSE = 2,
    SENT_ACK = 4 /* carried an ACK frame; `acked_number` is its largest */
};

struct sent_packet {
    uint32_t next; /* the pool's; then ascending numbers */
    uint32_t size_bytes;
    uint64_t number;
    uint64_t sent_ns;
    uint64_t acked_number;
    uint8_t flags; /* enum sent_flags */
    uint8_t fragment_count;
    struct fragment fragments[FRAGMENTS_MAX];
};

struct lost_packet {
    uint64_t number; /* UINT64_MAX: none */
    uint64_t sent_ns;
};

struct ledger {
    uint64_t next_number;
    uint64_t largest_acked; /* valid once has_acked */
    uint64_t bytes_in_flight;
    uint64_t last_sent_ns; /* of the newest packet that asks for an acknowledgement */
    uint64_t loss_ns;      /* when the oldest suspect counts as lost; UINT64_MAX: no suspect */
    uint32_t oldest, newest;
    uint32_t count;
    bool has_acked;
    uint8_t lost_next;       /* in lost_memory */
    uint8_t lost_count;      /* that it holds */
    uint8_t real_losses;     /* since reordering was last seen */
    uint64_t reorder_ns;     /* extra time that packets are given; 0: no reordering seen */
    struct lost_packet lost_memory[LOST_MEMORY];
};

void ledger_init(struct ledger *ledger, uint64_t first_number);
/* Returns every packet to the store. */
void ledger_fini(struct ledger *ledger, struct store *store);

/* Appends a packet that asks for an acknowledgement. Owner: the ledger, from here on. */
void ledger_add(struct ledger *ledger, struct store *store, uint32_t sent);

/* Takes out what the frame acknowledges. Returns a chain (by `next`, ascending) of packets that
 * now belong to the caller, NO_ITEM if none.
 * Errors: *is_violation when the frame names numbers that were never sent. */
uint32_t ledger_acked(struct ledger *ledger, struct store *store, const struct ack_frame *ack,
                      bool *is_violation);

/* Looks for packets in the frame that were declared lost; returns how many. They make the ledger
 * more patient. */
uint32_t ledger_spurious(struct ledger *ledger, const struct ack_frame *ack,
                         const struct rtt *rtt, uint64_t now_ns);

/* Takes out what counts as lost at `now_ns`: a chain as above. Sets loss_ns. */
uint32_t ledger_lost(struct ledger *ledger, struct store *store, const struct rtt *rtt,
                     uint64_t now_ns);

#endif
