/* Records as a hostile application would write them. */
#include <string.h>

#include "siege.h"

static struct te_record honest(struct siege *siege, uint32_t size) {
    return (struct te_record){.call_id = siege_random(siege), .kind = TE_REQUEST,
                              .flags = TE_FIRST | TE_LAST, .flow = siege->loop.near,
                              .size_bytes = size, .total_bytes = size};
}

/* Writes a record where the next one belongs, and publishes `stride` bytes. */
static struct te_record *publish(struct siege *siege, const struct te_record *record,
                                 uint64_t stride) {
    const uint64_t at = siege->tail % SIEGE_RING_BYTES;
    const uint64_t left = SIEGE_RING_BYTES - at;
    const uint64_t first = left < sizeof *record ? left : sizeof *record;
    const uint64_t taken = atomic_load(&siege->header->tx_head);
    if (siege->tail + stride - taken > SIEGE_RING_BYTES) {
        return NULL;
    }
    memcpy(siege->tx + at, record, first);
    memcpy(siege->tx, (const uint8_t *)record + first, sizeof *record - first);
    siege->tail += stride;
    atomic_store_explicit(&siege->header->tx_tail, siege->tail, memory_order_release);
    return left < sizeof *record ? NULL : (struct te_record *)(void *)(siege->tx + at);
}

static void break_piece(struct siege *siege, struct te_record *record, bool is_changed) {
    *record = honest(siege, TE_RECORD_PAYLOAD_MAX);
    record->total_bytes = 3 * TE_RECORD_PAYLOAD_MAX;
    record->flags = TE_FIRST;
    publish(siege, record, sizeof *record + TE_RECORD_PAYLOAD_MAX);
    if (is_changed) {
        record->offset_bytes = TE_RECORD_PAYLOAD_MAX;
        record->method_id++;
        record->flags = 0;
    }
}

static void break_header(struct siege *siege, struct te_record *record, unsigned field) {
    const uint32_t random = (uint32_t)siege_random(siege);
    switch (field) {
    case SIZE_HUGE:
        record->size_bytes = TE_RECORD_PAYLOAD_MAX + 1 + random % 1000000;
        break;
    case SIZE_BEYOND:
        record->size_bytes = record->total_bytes = 512;
        break;
    case OFFSET_ODD:
        record->offset_bytes = random % 65535 + 1;
        break;
    case OFFSET_BEYOND:
        record->offset_bytes = 16 * TE_RECORD_PAYLOAD_MAX;
        record->flags = TE_LAST;
        break;
    case TOTAL_HUGE:
        record->total_bytes = TE_MESSAGE_BYTES_MAX + random % 65536 + 1;
        break;
    case KIND_UNKNOWN:
        record->kind = (uint8_t)(49 + random % 200);
        break;
    case KIND_OF_ENGINE:
        record->kind = (uint8_t)(TE_FLOW_OPENED + random % 3);
        break;
    case FLAGS_UNKNOWN:
        record->flags |= (uint8_t)(16u << random % 4);
        break;
    case NO_FIRST:
        record->flags = TE_LAST;
        break;
    case NO_LAST:
        record->flags = TE_FIRST;
        break;
    case PRIORITY:
        record->priority = (uint8_t)(8 + random % 248);
        break;
    case ZERO:
        record->zero = 1;
        break;
    case FLOW_FOREIGN:
        record->flow = random;
        break;
    case CLOSE_FOREIGN:
        record->kind = TE_FLOW_CLOSE;
        record->flow = random;
        record->size_bytes = record->total_bytes = 0;
        break;
    case CLOSE_WITH_PAYLOAD:
        record->kind = TE_FLOW_CLOSE;
        break;
    case PIECE_INTERLEAVED:
    case PIECE_CHANGED:
        break_piece(siege, record, field == PIECE_CHANGED);
        break;
    case LANE:
        record->lane = (uint8_t)random;
        break;
    case ALL_RANDOM:
        for (size_t i = 0; i < sizeof *record; i += 8) {
            const uint64_t word = siege_random(siege);
            memcpy((uint8_t *)record + i, &word, 8);
        }
        break;
    default:
        break;
    }
}

void forge(struct siege *siege, unsigned field) {
    if (field == SIZE_BEYOND && siege->tail != atomic_load(&siege->header->tx_head)) {
        return; /* what comes after it would publish what it lacks */
    }
    struct te_record record = honest(siege, 64);
    break_header(siege, &record, field);
    uint64_t stride = sizeof record + 64;
    if (field == TORN) {
        stride = 8 * (1 + siege_random(siege) % 5);
    } else if (field == CLOSE_FOREIGN) {
        stride = sizeof record;
    }
    struct te_record *placed = publish(siege, &record, stride);
    if (field == FLIPPED && placed != NULL) { /* between the engine's looks at it */
        for (int i = 0; i < 200; i++) {
            ((volatile struct te_record *)placed)->size_bytes = i % 2 ? 64 : UINT32_MAX;
            ((volatile struct te_record *)placed)->flow = i % 2 ? siege->loop.near : UINT32_MAX;
        }
    }
}
