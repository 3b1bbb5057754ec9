#include "shm/record.h"

#include <string.h>

enum record_rule {
    RECORD_FLAGS = TE_FIRST | TE_LAST | TE_ERROR | TE_METADATA,
    RECORD_PRIORITY_LAST = TE_PRIORITIES - 1
};

uint64_t record_stride_bytes(uint32_t size_bytes) {
    const uint64_t align = TE_RECORD_ALIGN;
    return (sizeof(struct te_record) + size_bytes + align - 1) / align * align;
}

static bool kind_valid(const struct te_record *record, enum record_direction direction) {
    const uint8_t kind = record->kind;
    if (kind >= TE_REQUEST && kind <= TE_APP_KIND_LAST) {
        return true;
    }
    if (direction != RECORD_TO_APPLICATION) {
        return direction == RECORD_TO_ENGINE && kind == TE_FLOW_CLOSE && record->total_bytes == 0;
    }
    switch (kind) {
    case TE_FLOW_OPENED:
    case TE_FLOW_ACCEPTED:
        return record->total_bytes == sizeof(struct te_flow_ends);
    case TE_FLOW_CLOSED:
        return record->total_bytes == 0;
    default:
        return false;
    }
}

/* The piece lies inside its message, is full unless it is the last, and its flags say so. */
static bool piece_valid(const struct te_record *record) {
    const uint64_t end_bytes = (uint64_t)record->offset_bytes + record->size_bytes;
    const bool first = (record->flags & TE_FIRST) != 0;
    const bool last = (record->flags & TE_LAST) != 0;

    return record->size_bytes <= TE_RECORD_PAYLOAD_MAX
           && record->total_bytes <= TE_MESSAGE_BYTES_MAX && end_bytes <= record->total_bytes
           && first == (record->offset_bytes == 0) && last == (end_bytes == record->total_bytes)
           && record->offset_bytes % TE_RECORD_PAYLOAD_MAX == 0
           && (last || record->size_bytes == TE_RECORD_PAYLOAD_MAX)
           && (first || record->size_bytes != 0);
}

/* The usual case, for which piece_valid says the same with more questions. */
static bool single_valid(const struct te_record *record) {
    return (record->flags & (TE_FIRST | TE_LAST)) == (TE_FIRST | TE_LAST)
           && record->offset_bytes == 0 && record->size_bytes == record->total_bytes
           && record->size_bytes <= TE_RECORD_PAYLOAD_MAX;
}

bool record_valid(const struct te_record *record, enum record_direction direction) {
    return kind_valid(record, direction) && (single_valid(record) || piece_valid(record))
           && (record->flags & ~(unsigned)RECORD_FLAGS) == 0
           && record->priority <= RECORD_PRIORITY_LAST && record->zero == 0;
}

/* The remaining time is left out: it may run on between two pieces. */
static bool same_message(const struct te_record *a, const struct te_record *b) {
    const unsigned own = RECORD_FLAGS & ~(unsigned)(TE_FIRST | TE_LAST);
    return a->call_id == b->call_id && a->method_id == b->method_id && a->flow == b->flow
           && a->total_bytes == b->total_bytes && a->kind == b->kind && a->lane == b->lane
           && a->priority == b->priority && a->status == b->status && a->progress == b->progress
           && (a->flags & own) == (b->flags & own);
}

bool record_follows(const struct record_order *order, const struct te_record *record) {
    if (!order->open) {
        return (record->flags & TE_FIRST) != 0;
    }
    return record->offset_bytes == order->last.offset_bytes + order->last.size_bytes
           && same_message(&order->last, record);
}

void record_order_advance(struct record_order *order, const struct te_record *record) {
    order->open = (record->flags & TE_LAST) == 0;
    if (order->open) {
        order->last = *record;
    }
}

/* The other end may change the bytes from now on. The fence keeps the compiler from reading them
 * again in place of the copy, after the copy was checked. */
static void copy_header(const uint8_t *header, struct te_record *record) {
    memcpy(record, header, sizeof *record);
    atomic_signal_fence(memory_order_seq_cst);
}

bool record_ahead(const struct ring *ring, uint64_t ahead_bytes, struct te_record *record) {
    if (ring_known(ring) < ahead_bytes + sizeof *record) {
        return false;
    }
    copy_header(ring_cursor(ring) + ahead_bytes, record);
    return true;
}

int record_check(struct ring *ring, const struct record_order *order,
                 enum record_direction direction, const struct te_record *record) {
    const uint64_t available = ring_known(ring);
    if (!record_valid(record, direction) || !record_follows(order, record)
        || record_stride_bytes(record->size_bytes) > (uint64_t)available) {
        return TE_E_CORRUPT;
    }
    return 1;
}

int record_next(struct ring *ring, const struct record_order *order,
                enum record_direction direction, struct te_record *record) {
    int64_t available = ring_available(ring, sizeof *record);
    if (available <= 0) {
        return (int)available;
    }
    if ((uint64_t)available < sizeof *record) {
        return TE_E_CORRUPT; /* whole records are published, never a part of one */
    }
    copy_header(ring_cursor(ring), record);
    return record_check(ring, order, direction, record);
}
