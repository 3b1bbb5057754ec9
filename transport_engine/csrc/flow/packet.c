/* Packets and frames to and from bytes, after docs/wire.md §2 and §3. */
#include "flow/packet.h"

#include "base/bytes.h"
#include "base/crc32c.h"

enum parameters_layout { PARAMETERS_BYTES = 16 };

bool packet_parse(const uint8_t *bytes, size_t size_bytes, struct packet *packet) {
    if (size_bytes < PACKET_BYTES_MIN || size_bytes > PACKET_BYTES_MAX) {
        return false;
    }
    size_t covered_bytes = size_bytes - PACKET_TRAILER_BYTES;
    if (load_u32(bytes + covered_bytes) != crc32c(bytes, covered_bytes)) {
        return false;
    }
    if (load_u16(bytes + 2) != 0 || bytes[1] < PACKET_INIT || bytes[1] > PACKET_VERSIONS) {
        return false;
    }
    *packet = (struct packet){
        .destination_id = load_u64(bytes + 4),
        .source_id = load_u64(bytes + 12),
        .number = load_u64(bytes + 20),
        .body = bytes + PACKET_HEADER_BYTES,
        .body_bytes = (uint32_t)(covered_bytes - PACKET_HEADER_BYTES),
        .version = bytes[0],
        .type = bytes[1],
    };
    return true;
}

void packet_write_header(uint8_t *out, const struct packet *packet) {
    out[0] = packet->version;
    out[1] = packet->type;
    store_u16(out + 2, 0);
    store_u64(out + 4, packet->destination_id);
    store_u64(out + 12, packet->source_id);
    store_u64(out + 20, packet->number);
}

size_t packet_seal(uint8_t *out, size_t size_bytes) {
    store_u32(out + size_bytes, crc32c(out, size_bytes));
    return size_bytes + PACKET_TRAILER_BYTES;
}

static bool parse_ack(const uint8_t *bytes, size_t left_bytes, size_t *used,
                      struct ack_frame *ack) {
    if (left_bytes < ACK_HEADER_BYTES) {
        return false;
    }
    ack->count = bytes[1];
    if (ack->count == 0 || ack->count > ACK_RANGES_MAX) {
        return false;
    }
    *used = ACK_HEADER_BYTES + (ack->count - 1) * (size_t)ACK_RANGE_BYTES;
    if (left_bytes < *used) {
        return false;
    }
    ack->marked_count = load_u16(bytes + 2);
    ack->delay_ns = load_u64(bytes + 4);
    uint64_t last = load_u64(bytes + 12);
    uint64_t length = load_u32(bytes + 20);
    for (uint32_t i = 0;; i++) {
        if (length > last) {
            return false;
        }
        ack->ranges[i] = (struct ack_range){last - length, last};
        if (i + 1 == ack->count) {
            return true;
        }
        const uint8_t *range = bytes + ACK_HEADER_BYTES + (size_t)i * ACK_RANGE_BYTES;
        uint64_t gap = (uint64_t)load_u32(range) + 2; /* at least one number is missing */
        if (gap > ack->ranges[i].first) {
            return false;
        }
        last = ack->ranges[i].first - gap;
        length = load_u32(range + 4);
    }
}

static bool parse_message(const uint8_t *bytes, size_t left_bytes, size_t *used,
                          struct message_frame *message) {
    if (left_bytes < MESSAGE_HEADER_BYTES) {
        return false;
    }
    *message = (struct message_frame){
        .id = load_u64(bytes + 4),
        .offset_bytes = load_u32(bytes + 12),
        .total_bytes = load_u32(bytes + 16),
        .size_bytes = load_u16(bytes + 20),
        .lane_sequence = load_u16(bytes + 22),
        .lane = bytes[1],
        .priority = bytes[2],
        .bytes = bytes + MESSAGE_HEADER_BYTES,
    };
    *used = MESSAGE_HEADER_BYTES + (size_t)message->size_bytes;
    return *used <= left_bytes && bytes[3] == 0 && message->lane < LANES &&
           message->priority < 8 && message->total_bytes > 0 && message->size_bytes > 0 &&
           message->offset_bytes < message->total_bytes &&
           message->size_bytes <= message->total_bytes - message->offset_bytes;
}

bool frame_parse(const uint8_t *bytes, size_t size_bytes, size_t *offset, struct frame *frame) {
    const uint8_t *at = bytes + *offset;
    size_t left_bytes = size_bytes - *offset;
    size_t used = PING_BYTES;
    bool whole = true;
    frame->type = at[0];
    switch (frame->type) {
    case FRAME_PADDING:
    case FRAME_PING:
        break;
    case FRAME_ACK:
        whole = parse_ack(at, left_bytes, &used, &frame->ack);
        break;
    case FRAME_MESSAGE:
        whole = parse_message(at, left_bytes, &used, &frame->message);
        break;
    case FRAME_CREDIT:
        used = CREDIT_BYTES;
        whole = left_bytes >= used;
        frame->credit_units = whole ? load_u64(at + 1) : 0;
        break;
    case FRAME_CLOSE:
        used = CLOSE_BYTES;
        whole = left_bytes >= used;
        frame->close_reason = whole ? load_u16(at + 1) : 0;
        break;
    default:
        return false;
    }
    *offset += used;
    return whole;
}

size_t frame_write_ack(uint8_t *out, const struct ack_frame *ack) {
    out[0] = FRAME_ACK;
    out[1] = (uint8_t)ack->count;
    store_u16(out + 2, ack->marked_count);
    store_u64(out + 4, ack->delay_ns);
    store_u64(out + 12, ack->ranges[0].last);
    store_u32(out + 20, (uint32_t)(ack->ranges[0].last - ack->ranges[0].first));
    uint8_t *range = out + ACK_HEADER_BYTES;
    for (uint32_t i = 1; i < ack->count; i++, range += ACK_RANGE_BYTES) {
        store_u32(range, (uint32_t)(ack->ranges[i - 1].first - ack->ranges[i].last - 2));
        store_u32(range + 4, (uint32_t)(ack->ranges[i].last - ack->ranges[i].first));
    }
    return (size_t)(range - out);
}

size_t frame_write_message(uint8_t *out, const struct message_frame *message) {
    out[0] = FRAME_MESSAGE;
    out[1] = message->lane;
    out[2] = message->priority;
    out[3] = 0;
    store_u64(out + 4, message->id);
    store_u32(out + 12, message->offset_bytes);
    store_u32(out + 16, message->total_bytes);
    store_u16(out + 20, message->size_bytes);
    store_u16(out + 22, message->lane_sequence);
    return MESSAGE_HEADER_BYTES; /* the bytes themselves are the caller's to copy */
}

size_t frame_write_credit(uint8_t *out, uint64_t credit_units) {
    out[0] = FRAME_CREDIT;
    store_u64(out + 1, credit_units);
    return CREDIT_BYTES;
}

size_t frame_write_close(uint8_t *out, uint16_t reason) {
    out[0] = FRAME_CLOSE;
    store_u16(out + 1, reason);
    return CLOSE_BYTES;
}

bool parameters_parse(const uint8_t *body, size_t size_bytes, struct parameters *parameters) {
    if (size_bytes < PARAMETERS_BYTES) {
        return false;
    }
    *parameters = (struct parameters){load_u32(body), load_u32(body + 4), load_u64(body + 8)};
    return parameters->segment_bytes >= SEGMENT_BYTES_MIN &&
           parameters->segment_bytes <= PACKET_BYTES_MAX &&
           parameters->message_bytes_max > TE_CALL_HEADER_BYTES;
}

size_t parameters_write(uint8_t *out, const struct parameters *parameters) {
    store_u32(out, parameters->segment_bytes);
    store_u32(out + 4, parameters->message_bytes_max);
    store_u64(out + 8, parameters->credit_units);
    return PARAMETERS_BYTES;
}
