/* Any content of a tenant's shared memory, and any changes to it between two polls: the engine
 * lives, and the neighbour's messages arrive whole.
 *
 * The input is a program of steps that write records, positions, the armed words and the header,
 * with polls in between. Each begins from the same snapshot of a whole engine.
 */
#define _GNU_SOURCE
#include "two_tenants.h"

enum {
    POLLS_MAX = 64,      /* of one input */
    NEIGHBOUR_SHARE = 4, /* of the inputs ask whether the neighbour is served: half of their time */
    LONG_BEYOND_BYTES = 2 * (MESSAGE_BYTES_MAX - TE_RECORD_PAYLOAD_MAX) /* half are too long */
};

enum step {
    STEP_POLL,
    STEP_RECORD_RAW,
    STEP_RECORD,
    STEP_PUBLISH,
    STEP_TAIL_RAW,
    STEP_TAIL_NEAR,
    STEP_HEAD_RAW,
    STEP_HEAD_NEAR,
    STEP_DRAIN,
    STEP_BYTES,
    STEP_ARMED,
    STEP_HEADER,
    STEP_SLEEP,
    STEP_OVERWRITE,
    STEP_LONG,
    STEPS
};

/* Where the hostile tenant writes, and how far it did, to be wiped before the next input. */
struct pen {
    uint64_t cursor; /* where it puts the next record */
    uint64_t start;  /* of the input */
    uint64_t dirty_bytes;
    uint32_t offset_bytes; /* in the message of STEP_LONG */
};

struct input {
    const uint8_t *at;
    size_t left;
};

static struct pen pen;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

static uint64_t take(struct input *input, size_t bytes) {
    uint64_t value = 0;
    const size_t taken = bytes < input->left ? bytes : input->left;
    memcpy(&value, input->at, taken);
    input->at += taken;
    input->left -= taken;
    return value;
}

/* Nothing is written before the start of the input, so what is dirty is a stretch behind it. */
static void write_tx(uint64_t position, const uint8_t *bytes, uint64_t count) {
    const uint64_t at = position % RING_BYTES;
    const uint64_t first = count < RING_BYTES - at ? count : RING_BYTES - at;
    memcpy(hostile.shared + CHANNEL_HEADER_BYTES + at, bytes, first);
    memcpy(hostile.shared + CHANNEL_HEADER_BYTES, bytes + first, count - first);
    const uint64_t end = position + count - pen.start;
    if (end > pen.dirty_bytes) {
        pen.dirty_bytes = end < RING_BYTES ? end : RING_BYTES;
    }
}

static void wipe_tx(void) {
    static const uint8_t zeros[RING_BYTES];
    const uint64_t from = pen.start % RING_BYTES;
    uint8_t *tx = hostile.shared + CHANNEL_HEADER_BYTES;
    const uint64_t first =
        pen.dirty_bytes < RING_BYTES - from ? pen.dirty_bytes : RING_BYTES - from;
    memcpy(tx + from, zeros, first);
    memcpy(tx, zeros, pen.dirty_bytes - first);
}

static void write_record(const struct te_record *record) {
    write_tx(pen.cursor, (const uint8_t *)record, sizeof *record);
    pen.cursor += stride_of(record->size_bytes % (2 * RING_BYTES));
}

/* A header that passes most rules; the input chooses which one it may break. */
static void write_plausible(struct input *input) {
    static const uint8_t kinds[] = {TE_REQUEST, TE_REPLY, TE_ITEM, TE_APP_KIND_LAST, TE_FLOW_CLOSE,
                                    TE_FLOW_OPENED, TE_FLOW_CLOSED, 0};
    const uint64_t choice = take(input, 2);
    uint32_t size_bytes = (uint32_t)take(input, 1) << (choice >> 14);
    struct te_record record = record_of(kinds[(choice & 63) < 8 ? choice & 7 : choice & 3],
                                        hostile.opened, size_bytes);
    if (record.kind == TE_FLOW_CLOSE) {
        record.size_bytes = record.total_bytes = 0;
    }
    record.lane = (uint8_t)(choice >> 6 & 7);
    record.priority = (uint8_t)(choice >> 9 & 7);
    if ((choice >> 12 & 1) != 0) { /* one byte of it is something else */
        const size_t at = take(input, 1) % sizeof record;
        ((uint8_t *)&record)[at] = (uint8_t)take(input, 1);
    }
    write_record(&record);
}

/* The next piece of a long message, or its last. */
static void write_piece(struct input *input) {
    const uint32_t beyond_bytes = (uint32_t)take(input, 2) % LONG_BEYOND_BYTES;
    const uint32_t total_bytes = TE_RECORD_PAYLOAD_MAX + 1 + beyond_bytes;
    const uint32_t left_bytes = total_bytes - pen.offset_bytes;
    const bool is_last = left_bytes <= TE_RECORD_PAYLOAD_MAX;
    struct te_record record = record_of(TE_REQUEST, hostile.opened,
                                        is_last ? left_bytes : TE_RECORD_PAYLOAD_MAX);
    record.total_bytes = total_bytes;
    record.offset_bytes = pen.offset_bytes;
    record.flags = (uint8_t)((pen.offset_bytes == 0 ? TE_FIRST : 0) | (is_last ? TE_LAST : 0));
    pen.offset_bytes = is_last ? 0 : pen.offset_bytes + TE_RECORD_PAYLOAD_MAX;
    write_record(&record);
}

static void write_bytes(struct input *input) {
    const uint64_t position = pen.start + take(input, 2) % (RING_BYTES / 8) * 8;
    uint64_t count = take(input, 1);
    count = count < input->left ? count : input->left;
    write_tx(position, input->at, count);
    input->at += count;
    input->left -= count;
}

static void write_header(struct input *input) {
    const uint64_t at = take(input, 1) * 8 % sizeof(struct channel_header);
    const uint64_t value = take(input, 8);
    memcpy(hostile.shared + at, &value, sizeof value);
}

static uint64_t near(uint64_t position, uint64_t distance) {
    return position + (uint64_t)((int64_t)(int16_t)distance * 4);
}

static void move_positions(struct input *input, enum step step) {
    struct channel_header *header = header_of(&hostile);
    switch (step) {
    case STEP_PUBLISH:
        atomic_store(&header->tx_tail, pen.cursor);
        break;
    case STEP_TAIL_RAW:
        atomic_store(&header->tx_tail, take(input, 8));
        break;
    case STEP_TAIL_NEAR:
        atomic_store(&header->tx_tail, near(pen.cursor, take(input, 2)));
        break;
    case STEP_HEAD_RAW:
        atomic_store(&header->rx_head, take(input, 8));
        break;
    case STEP_HEAD_NEAR:
        atomic_store(&header->rx_head, near(atomic_load(&header->rx_head), take(input, 2)));
        break;
    default:
        atomic_store(&header->rx_head, atomic_load(&header->rx_tail));
        break;
    }
}

/* As te_engine_arm and what follows a wake do. */
static void sleep_and_wake(void) {
    for (uint32_t i = 0; i < TENANTS; i++) {
        const struct tenant *tenant = &engine.tenants[i];
        if (tenant->channel != NULL && tenant->reason == TE_R_NONE) {
            channel_arm(tenant->channel);
            channel_awake(tenant->channel);
        }
    }
}

static void take_step(struct input *input, enum step step) {
    struct te_record record;
    switch (step) {
    case STEP_RECORD_RAW:
        for (size_t i = 0; i < sizeof record; i += 8) {
            const uint64_t word = take(input, 8);
            memcpy((uint8_t *)&record + i, &word, sizeof word);
        }
        write_record(&record);
        break;
    case STEP_RECORD:
        write_plausible(input);
        break;
    case STEP_LONG:
        write_piece(input);
        break;
    case STEP_BYTES:
        write_bytes(input);
        break;
    case STEP_ARMED:
        atomic_store(&header_of(&hostile)->application_armed, (uint32_t)take(input, 1));
        atomic_store(&header_of(&hostile)->engine_armed, (uint32_t)take(input, 1));
        break;
    case STEP_HEADER:
        write_header(input);
        break;
    case STEP_SLEEP:
        sleep_and_wake();
        break;
    case STEP_OVERWRITE: /* what was published already */
        pen.cursor = pen.start;
        break;
    default:
        move_positions(input, step);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    static bool is_set_up;
    struct input input = {bytes, size_bytes};
    if (!is_set_up) {
        two_tenants_set_up();
        pen.cursor = pen.start = atomic_load(&header_of(&hostile)->tx_tail);
        snapshot_add(&pen, sizeof pen);
        snapshot_end();
        is_set_up = true;
    }
    for (int polls = 0; input.left > 0 && polls < POLLS_MAX;) {
        const uint64_t choice = take(&input, 1);
        const enum step step = choice % STEPS;
        if (step == STEP_POLL) {
            poll_for((uint64_t)POLL_NS << (choice / STEPS % 8)); /* up to 6.4 ms */
            polls++;
        } else {
            take_step(&input, step);
        }
    }
    poll_for(POLL_NS);
    te_check(engine.stats.channels_quarantined <= 1);
    if (size_bytes % NEIGHBOUR_SHARE == 0) {
        serve_the_neighbour();
    }
    wipe_tx();
    snapshot_restore();
    return 0;
}
