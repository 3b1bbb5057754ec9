/* Any bytes and any positions in shared memory give valid records in order, or TE_E_CORRUPT.
 *
 * The input is what a hostile other side wrote, as the engine's end sees it, as the application's
 * does, and as an end of a pair does. The ring lies on the heap at its exact size, so that a read
 * past it is seen.
 * Input: how to read it (1 byte), two positions of the other side (2 bytes each), the ring.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shm/record.h"

enum {
    CAPACITY_BYTES = 2048,
    PREFIX_BYTES = 5,
    POSITION_UNIT = 4, /* so that some positions are unaligned */
    STEPS_MAX = 64
};

/* How the input is read. */
enum mode {
    MODE_PUBLISH = 1,   /* the reader gives room back after each record */
    MODE_PLAUSIBLE = 2, /* headers are mended halfway, so that more of them pass */
    MODE_LATE = 4       /* the second position comes in the middle */
};

struct reader {
    uint8_t *bytes;
    _Atomic uint64_t tail;
    _Atomic uint64_t head;
    struct ring ring;
    struct record_order order;
    enum record_direction direction;
};

static void must(int claim) {
    if (!claim) {
        abort();
    }
}

/* Random headers fail at the first rule; this lets some reach the last. */
static void mend(uint8_t *bytes) {
    struct te_record record;
    memcpy(&record, bytes, sizeof record);
    record.size_bytes %= CAPACITY_BYTES / 4;
    record.kind %= TE_FLOW_CLOSE + 2;
    record.zero = 0;
    record.priority &= 7;
    record.flags &= 15;
    if ((record.lane & 1) != 0) {
        record.flags |= TE_FIRST | TE_LAST;
        record.offset_bytes = 0;
        record.total_bytes = record.size_bytes;
    }
    memcpy(bytes, &record, sizeof record);
}

static void fill(struct reader *reader, const uint8_t *ring, size_t ring_bytes, unsigned mode) {
    memset(reader->bytes, 0, CAPACITY_BYTES);
    memcpy(reader->bytes, ring, ring_bytes < CAPACITY_BYTES ? ring_bytes : CAPACITY_BYTES);
    for (uint64_t at = 0; (mode & MODE_PLAUSIBLE) != 0 && at + 48 <= CAPACITY_BYTES;) {
        struct te_record record;
        mend(reader->bytes + at);
        memcpy(&record, reader->bytes + at, sizeof record);
        at += record_stride_bytes(record.size_bytes);
    }
    memcpy(reader->bytes + CAPACITY_BYTES, reader->bytes, CAPACITY_BYTES);
}

/* Reads one record as an end does; false where there is none. */
static int read_one(struct reader *reader, unsigned mode) {
    static volatile uint8_t sink;
    struct te_record record;
    const uint64_t before = reader->ring.position;
    const int found = record_next(&reader->ring, &reader->order, reader->direction, &record);
    must(found == 1 || found == 0 || found == TE_E_CORRUPT);
    must(reader->ring.position == before);
    if (found != 1) {
        return found;
    }
    must(record_valid(&record, reader->direction));
    must(record_follows(&reader->order, &record));
    must(record.size_bytes <= TE_RECORD_PAYLOAD_MAX);
    must(reader->ring.peer - reader->ring.position >= record_stride_bytes(record.size_bytes));
    const uint8_t *payload = ring_cursor(&reader->ring) + sizeof record;
    for (uint32_t i = 0; i < record.size_bytes; i++) {
        sink = payload[i];
    }
    (void)sink;
    record_order_advance(&reader->order, &record);
    ring_advance(&reader->ring, record_stride_bytes(record.size_bytes));
    if ((mode & MODE_PUBLISH) != 0) {
        ring_publish(&reader->ring);
    }
    return 1;
}

static void read_all(struct reader *reader, unsigned mode, uint64_t first, uint64_t second) {
    reader->order = (struct record_order){0};
    atomic_store(&reader->head, 0);
    atomic_store(&reader->tail, first);
    ring_init(&reader->ring, RING_CONSUMER, reader->bytes, CAPACITY_BYTES, &reader->head,
              &reader->tail);
    for (int step = 0; step < STEPS_MAX; step++) {
        if ((mode & MODE_LATE) != 0 && step == 2) {
            atomic_store(&reader->tail, second);
        }
        if (read_one(reader, mode) <= 0 && step > 2) {
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    static struct reader reader;
    uint16_t positions[2];
    if (size_bytes < PREFIX_BYTES) {
        return 0;
    }
    if (reader.bytes == NULL) {
        reader.bytes = malloc(2 * (size_t)CAPACITY_BYTES);
        must(reader.bytes != NULL);
    }
    memcpy(positions, bytes + 1, sizeof positions);
    const uint64_t first = (uint64_t)(positions[0] % 1024) * POSITION_UNIT;
    const uint64_t second = (uint64_t)positions[1] * POSITION_UNIT;
    fill(&reader, bytes + PREFIX_BYTES, size_bytes - PREFIX_BYTES, bytes[0]);
    reader.direction = RECORD_TO_ENGINE;
    read_all(&reader, bytes[0], first, second);
    reader.direction = RECORD_TO_APPLICATION;
    read_all(&reader, bytes[0], first, second);
    reader.direction = RECORD_BETWEEN_APPLICATIONS;
    read_all(&reader, bytes[0], first, second);
    return 0;
}
