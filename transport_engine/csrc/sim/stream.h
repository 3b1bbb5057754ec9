/* One direction of a flow in one of its lives: what was sent on it, and what came out so far.
 *
 * This is the oracle for messages: each comes out once, whole, identical and in the order of its
 * lane, and nothing comes out that was not sent on this stream. Knows no packets.
 */
#ifndef SIM_STREAM_H
#define SIM_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "flow/packet.h"
#include "sim/content.h"
#include "sim/copies.h"
#include "transport_sim.h"

enum record_state {
    RECORD_DELIVERED = 1,
    RECORD_ENDED = 2,  /* answered, needs no answer, or failed with its flow */
    RECORD_TOUCHED = 4, /* a packet of it was lost */
    RECORD_FAILED = 8,  /* counted as failed; it may still come out */
    RECORD_FROM_SERVER = 16
};

struct record {
    uint64_t posted_ns;
    uint32_t size_bytes;
    uint32_t reply_bytes; /* 0: it wants no answer */
    uint32_t answers;     /* the request's number; NO_ITEM: it is no answer */
    uint32_t size_class;  /* of the results */
    uint32_t lane_place;  /* how many of its lane were sent before it */
    uint8_t lane;
    uint8_t priority;
    uint8_t state; /* enum record_state */
};

struct stream {
    struct content_source source;
    struct copies copies;
    struct record *records; /* by number % room */
    uint32_t room;          /* a power of two */
    uint32_t first;         /* all before it are delivered and have ended */
    uint32_t count;         /* sent so far; the next one's number */
    uint32_t lane_sent[LANES];
    uint32_t lane_delivered[LANES];
};

void stream_init(struct stream *stream, const struct content_source *source);
void stream_fini(struct stream *stream);

/* Adds the next message. Errors: false when memory ran out. */
bool stream_add(struct stream *stream, const struct record *record);
/* NULL: it has ended long ago, or was never sent. */
struct record *stream_find(const struct stream *stream, uint32_t number);
/* Ends a message; forgets the oldest ones that are delivered and have ended. */
void stream_end(struct stream *stream, struct record *record);

struct delivery {
    uint32_t size_bytes;
    uint8_t lane;
    uint64_t name; /* the first eight bytes */
};

/* Judges a message that came out. Returns 0 and its record, or an enum te_sim_violation_kind. The
 * caller compares its bytes. */
uint32_t stream_deliver(struct stream *stream, const struct delivery *delivery,
                        struct record **record);

#endif
