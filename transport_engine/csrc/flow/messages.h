/* The sending side of messages: which segment goes next, and which were acknowledged or lost.
 *
 * Knows messages and segments. Does not know packets or congestion; time is an argument.
 * Order: within a lane, first come; else priority, then the shortest remaining message among the
 * first few (SRPT, as in Homa: Montazeri et al., SIGCOMM 2018), then first come. What nobody waits
 * for any more goes after all that, unless a part of it went before.
 */
#ifndef FLOW_MESSAGES_H
#define FLOW_MESSAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "flow/body.h"
#include "flow/packet.h"
#include "flow/segments.h"
#include "flow/store.h"
#include "flow/window.h"

enum { PRIORITIES = TE_PRIORITIES, LATE = PRIORITIES /* after all priorities */ };

struct outgoing {
    uint32_t next_free; /* the pool's */
    uint32_t generation; /* counts the lives of this slot, so that a stale fragment is seen */
    uint64_t id;         /* given when its first segment goes out */
    uint64_t tag;        /* its owner's name for it; 0: none */
    uint64_t expires_ns; /* nobody waits for it from then on; UINT64_MAX: somebody always does */
    struct body body;
    struct segments sets; /* SET_ACKED, SET_LOST */
    uint32_t appended_bytes;
    uint32_t segment_count;
    uint32_t next_segment; /* the first that was never sent */
    uint32_t acked_count;
    uint32_t lost_count; /* to be sent again */
    uint32_t older, newer; /* in the list of all messages of the flow */
    uint32_t before, after; /* in the list of its priority, while it has something to send */
    uint16_t lane_sequence;
    uint8_t lane;
    uint8_t priority;
    bool is_started;
    bool is_queued;
    bool is_late; /* in the list LATE, while it is queued */
};

/* A segment as it travels in one packet. */
struct fragment {
    uint32_t message;
    uint32_t generation;
    uint32_t segment;
};

struct send_queue {
    uint64_t next_id;
    uint64_t newest_tag; /* 0: there was none */
    uint64_t units_sent; /* credit used, cumulative */
    uint64_t units_limit; /* credit granted by the peer, cumulative */
    uint32_t segment_bytes;
    uint32_t oldest, newest; /* all messages that are not whole at the peer */
    uint32_t queued; /* a bit for each of these lists that has something to send */
    uint32_t first[PRIORITIES + 1], last[PRIORITIES + 1];
    uint32_t message_count; /* of that list */
    struct window whole; /* ids that are whole at the peer */
    uint16_t lane_next[LANES];    /* for the next message of each lane */
    uint16_t lane_started[LANES]; /* all before it have started */
};

void send_queue_init(struct send_queue *queue, uint32_t segment_bytes);
void send_queue_fini(struct send_queue *queue, struct store *store);

/* Blocks that send_queue_begin wants, at most. */
static inline uint32_t send_queue_blocks(uint32_t total_bytes) {
    return body_blocks(total_bytes) + 1; /* its sets of segments */
}

/* Opens a message of `total_bytes` >= 1, and reserves memory for all of it. Returns its index, or
 * NO_ITEM: no memory now, or too many of its lane wait to start. */
uint32_t send_queue_begin(struct send_queue *queue, struct store *store, uint32_t total_bytes,
                          uint8_t lane, uint8_t priority);
/* Appends the next bytes. */
void send_queue_append(struct send_queue *queue, struct store *store, uint32_t message,
                       const uint8_t *bytes, uint32_t size_bytes);

/* Says until when somebody waits for a message of lane 0. */
void send_queue_expire(struct store *store, uint32_t message, uint64_t expires_ns);

/* Chooses what goes next. False: nothing may go now. Moves what it meets that is late to LATE. */
bool send_queue_pick(struct send_queue *queue, struct store *store, uint64_t now_ns,
                     struct fragment *fragment);
/* Chooses the first segment that the peer lacks of the oldest message that it lacks. False: there
 * is none, or it cannot go yet. */
bool send_queue_pick_oldest(const struct send_queue *queue, struct store *store,
                            struct fragment *fragment);
/* Bytes that the frame of a fragment takes in a packet; 0: its message is whole at the peer. */
uint32_t send_queue_size(const struct send_queue *queue, struct store *store,
                         const struct fragment *fragment);
/* Whether its segment went out before. */
bool send_queue_is_repeat(struct store *store, const struct fragment *fragment);
/* Writes the frame of a fragment and counts it as sent. Returns the bytes written. */
uint32_t send_queue_write(struct send_queue *queue, struct store *store,
                          const struct fragment *fragment, uint8_t *out);

/* Names a message that was begun. Tags grow from message to message; any other is none. */
void send_queue_tag(struct send_queue *queue, struct store *store, uint32_t message,
                    uint64_t tag);
/* All messages with lower tags are whole at the peer. 0: it is not known. */
uint64_t send_queue_unacked_tag(const struct send_queue *queue, const struct store *store);

void send_queue_acked(struct send_queue *queue, struct store *store,
                      const struct fragment *fragment);
void send_queue_lost(struct send_queue *queue, struct store *store,
                     const struct fragment *fragment);

static inline bool send_queue_has_work(const struct send_queue *queue) {
    return queue->queued != 0;
}

#endif
