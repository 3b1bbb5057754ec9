/* Packets and frames as bytes: the contract of docs/wire.md §2 and §3.
 *
 * Knows layouts and their limits. Does not know flows, time or what a frame means.
 * A promise: any bytes give a packet whose frames can be walked, or false; never anything else.
 */
#ifndef FLOW_PACKET_H
#define FLOW_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "transport_engine.h"

enum packet_limit {
    PACKET_VERSION = 1,
    PACKET_HEADER_BYTES = 28,
    PACKET_TRAILER_BYTES = 4, /* CRC-32C; an AEAD tag of 16 takes its place */
    PACKET_BYTES_MAX = 9216,
    PACKET_BYTES_MIN = PACKET_HEADER_BYTES + PACKET_TRAILER_BYTES,
    INIT_BYTES = 256, /* at least, so that no answer to it is longer */
    TOKEN_BYTES = 16,
    MESSAGE_HEADER_BYTES = 24,
    ACK_HEADER_BYTES = 24,
    ACK_RANGE_BYTES = 8,
    ACK_RANGES_MAX = 32,
    CREDIT_BYTES = 9,
    PING_BYTES = 1,
    CLOSE_BYTES = 3,
    SEGMENT_BYTES_MIN = 1024,
    CREDIT_UNIT_BYTES = 4096, /* a message costs its bytes rounded up to this */
    MESSAGE_WINDOW = 1024,    /* message ids under way in one direction of a flow */
    LANES = TE_LANES
};

enum packet_type {
    PACKET_INIT = 1,
    PACKET_RETRY = 2,
    PACKET_ACCEPT = 3,
    PACKET_DATA = 4,
    PACKET_RESET = 5,
    PACKET_REFUSE = 6,
    PACKET_VERSIONS = 7
};

enum frame_type {
    FRAME_PADDING = 0,
    FRAME_PING = 1,
    FRAME_ACK = 2,
    FRAME_MESSAGE = 3,
    FRAME_CREDIT = 4,
    FRAME_CLOSE = 5
};

struct begun;

struct packet {
    uint64_t destination_id; /* the receiver's name for the flow; 0 in INIT */
    uint64_t source_id;      /* the sender's name for it */
    uint64_t number;
    const uint8_t *body;
    uint32_t body_bytes;
    uint8_t version;
    uint8_t type; /* enum packet_type */
    uint64_t waited_ns; /* in this host, before it was read; set by the caller */
    uint8_t ecn;  /* the ECN bits of the IP header, set by the caller after parsing; 3: CE */
    bool is_lent; /* set by the caller: the bytes stay until it calls reassembly_keep */
    struct begun *begun; /* of all flows of its sender; set by the caller; NULL: not counted */
};

/* What INIT and ACCEPT say of their sender. */
struct parameters {
    uint32_t segment_bytes;  /* largest piece of a message in a packet */
    uint32_t message_bytes_max;
    uint64_t credit_units;
};

struct ack_range {
    uint64_t first;
    uint64_t last;
};

struct ack_frame {
    uint64_t delay_ns; /* from receiving the largest number to sending this */
    uint16_t marked_count; /* packets received with the ECN mark CE, mod 2^16 */
    uint32_t count;
    struct ack_range ranges[ACK_RANGES_MAX]; /* descending, disjoint, with gaps */
};

struct message_frame {
    uint64_t id;
    uint32_t offset_bytes;
    uint32_t total_bytes;
    uint16_t size_bytes;
    uint16_t lane_sequence;
    uint8_t lane;
    uint8_t priority;
    uint64_t received_ns; /* when it came; the receiver's own */
    bool is_lent; /* as its packet */
    struct begun *begun; /* the same */
    const uint8_t *bytes;
};

struct frame {
    uint8_t type; /* enum frame_type */
    union {
        struct ack_frame ack;
        struct message_frame message;
        uint64_t credit_units; /* cumulative */
        uint16_t close_reason; /* enum te_reason */
    };
};

/* Credit that a message of so many bytes uses. */
static inline uint32_t credit_units_of(uint32_t total_bytes) {
    return (total_bytes + CREDIT_UNIT_BYTES - 1) / CREDIT_UNIT_BYTES;
}

/* The destination_id of what may be a packet, before anything is checked; 0 if it is too short. */
static inline uint64_t packet_peek_id(const uint8_t *bytes, size_t size_bytes) {
    return size_bytes < PACKET_BYTES_MIN ? 0 : load_u64(bytes + 4);
}

/* Splits a datagram and checks its trailer. False: not a packet of ours; count and drop. */
bool packet_parse(const uint8_t *bytes, size_t size_bytes, struct packet *packet);

/* Of the datagram that it was. */
static inline uint64_t packet_size(const struct packet *packet) {
    return PACKET_BYTES_MIN + (uint64_t)packet->body_bytes;
}

/* Writes the header. Shape: `out` has PACKET_HEADER_BYTES. */
void packet_write_header(uint8_t *out, const struct packet *packet);
/* Appends the trailer to header and body; returns the datagram's size. */
size_t packet_seal(uint8_t *out, size_t size_bytes);

/* Reads the frame at *offset and moves it on. Call while *offset < size_bytes.
 * False: malformed; *offset is then undefined. */
bool frame_parse(const uint8_t *bytes, size_t size_bytes, size_t *offset, struct frame *frame);

/* Each returns the bytes written; the caller has made room. */
size_t frame_write_ack(uint8_t *out, const struct ack_frame *ack);
size_t frame_write_message(uint8_t *out, const struct message_frame *message);
size_t frame_write_credit(uint8_t *out, uint64_t credit_units);
size_t frame_write_close(uint8_t *out, uint16_t reason);

bool parameters_parse(const uint8_t *body, size_t size_bytes, struct parameters *parameters);
size_t parameters_write(uint8_t *out, const struct parameters *parameters);

#endif
