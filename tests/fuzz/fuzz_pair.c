/* Any content of a pair's memory, and any changes to it while this end works: whatever the other
 * application writes, this end gives records that keep the rules, or TE_E_CORRUPT for good.
 *
 * The input's first bit says which end is honest. The rest is a program: steps of the hostile
 * application, which may write anywhere in the memory, and steps of the honest one. Each input
 * begins from the same snapshot of the pair, whose rings stand shortly before their end.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "input.h"
#include "shm/layout.h"
#include "shm/record.h"
#include "snapshot.h"

enum {
    RING_BYTES = TE_RING_BYTES_MIN,
    TOTAL_BYTES = CHANNEL_HEADER_BYTES + 2 * RING_BYTES,
    ENDS = 2,
    NEAR_END_BYTES = 1024, /* from where an input begins to the end of each ring */
    FILLER_BYTES = RING_BYTES / 8 - NEAR_END_BYTES / 8 - (int)sizeof(struct te_record),
    HEADS = 8,
    STEPS_MAX = 256,
    WRITTEN_MAX = 512, /* bytes at a time */
    OPENED_SHARE = 64 /* of the inputs open the memory once more as well: system calls */
};

enum step {
    HOSTILE_RECORD_RAW,
    HOSTILE_RECORD,
    HOSTILE_PUBLISH,
    HOSTILE_TAIL_NEAR,
    HOSTILE_TAIL_RAW,
    HOSTILE_HEAD_NEAR,
    HOSTILE_HEAD_RAW,
    HOSTILE_TAKE,
    HOSTILE_HEADER,
    HOSTILE_RINGS,
    HOSTILE_HANGUP,
    RECEIVE,
    PEEK,
    POP,
    PUT,
    PUT_BAD,
    SEND,
    UNTAKEN,
    SLEEP,
    RING,
    NOTE,
    STARTS,
    ACKED,
    STEPS
};

struct side {
    struct te_channel *channel;
    uint8_t *in, *out; /* of the hostile view: what this end reads, and what it writes */
    _Atomic uint64_t *in_tail, *out_tail, *out_head;
};

/* What one input has done. */
struct game {
    struct side *side;
    uint64_t cursor; /* where the hostile application writes its next record */
    uint32_t next_bytes; /* of the message that it is in the middle of: the next offset */
    struct record_order order; /* of what this end was given */
    struct te_record peeked;
    bool has_peeked;
    bool is_corrupt; /* this end has said so */
    bool is_hung_up;
};

static struct side sides[ENDS];
static uint8_t *shared; /* the hostile application's view of everything */
static int memory_fd;
static struct game game;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

/* ---- doorbells without system calls ---- */

ssize_t send(int fd, const void *bytes, size_t size_bytes, int flags) {
    (void)fd, (void)bytes, (void)flags;
    return (ssize_t)size_bytes;
}

ssize_t recv(int fd, void *bytes, size_t size_bytes, int flags) {
    (void)fd, (void)flags;
    memset(bytes, 1, size_bytes);
    return game.is_hung_up ? 0 : (ssize_t)size_bytes;
}

/* ---- setting up, once ---- */

static void bring_rings_near_their_end(void) {
    static uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    const struct te_record filler = {.kind = TE_REQUEST, .flags = TE_FIRST | TE_LAST,
                                     .size_bytes = FILLER_BYTES, .total_bytes = FILLER_BYTES};
    struct te_record head;
    for (int i = 0; i < 8 * ENDS; i++) {
        must(te_channel_put(sides[i % ENDS].channel, &filler, payload) == 1);
        must(te_channel_receive(sides[1 - i % ENDS].channel, &head, 1, payload, sizeof payload)
             == 1);
    }
}

static void set_up(void) {
    char why[TE_WHY_BYTES];
    int doorbells[ENDS];
    must(te_pair_make(RING_BYTES, &memory_fd, doorbells, why) == TE_OK);
    shared = mmap(NULL, TOTAL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
    must(shared != MAP_FAILED);
    struct channel_header *header = (struct channel_header *)(void *)shared;
    uint8_t *tx = shared + CHANNEL_HEADER_BYTES, *rx = tx + RING_BYTES;
    sides[0] = (struct side){NULL, rx, tx, &header->rx_tail, &header->tx_tail, &header->tx_head};
    sides[1] = (struct side){NULL, tx, rx, &header->tx_tail, &header->rx_tail, &header->rx_head};
    snapshot_begin();
    for (int end = 0; end < ENDS; end++) {
        const int copy = fcntl(memory_fd, F_DUPFD_CLOEXEC, 0);
        must(te_pair_open(copy, doorbells[end], end, &sides[end].channel, why) == TE_OK);
    }
    bring_rings_near_their_end();
    memset(shared + CHANNEL_HEADER_BYTES, 0, 2 * (size_t)RING_BYTES);
    snapshot_add(shared, TOTAL_BYTES);
    snapshot_end();
}

/* ---- the hostile application ---- */

static uint64_t take_u64(struct input *input) {
    uint64_t value = 0;
    for (int i = 0; i < 4; i++) {
        value = value << 16 | input_u16(input);
    }
    return value;
}

static void write_ring(uint8_t *ring, uint64_t position, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ring[(position + i) % RING_BYTES] = bytes[i];
    }
}

static void write_record(const struct te_record *record) {
    write_ring(game.side->in, game.cursor, (const uint8_t *)record, sizeof *record);
    game.cursor += record_stride_bytes(record->size_bytes % (TE_RECORD_PAYLOAD_MAX + 1));
}

static void write_raw(struct input *input) {
    struct te_record record = {0};
    input_copy(input, (uint8_t *)&record, sizeof record);
    write_record(&record);
}

/* One that is allowed, or nearly; of a long message the next piece. */
static void write_plausible(struct input *input) {
    const uint8_t how = input_u8(input);
    const bool is_long = (how & 1) != 0;
    const uint32_t total = is_long ? TE_RECORD_PAYLOAD_MAX + 100 : input_u8(input);
    const uint32_t at = is_long ? game.next_bytes : 0;
    const uint32_t left = total - at;
    const uint32_t size = left < TE_RECORD_PAYLOAD_MAX ? left : TE_RECORD_PAYLOAD_MAX;
    game.next_bytes = at + size < total && is_long ? at + size : 0;
    const unsigned flags = (at == 0 ? TE_FIRST : 0u) | (at + size == total ? TE_LAST : 0u);
    struct te_record record = {.kind = (uint8_t)(TE_REQUEST + (how >> 4) % 2),
                               .flags = (uint8_t)flags, .flow = how >> 1 & 1,
                               .offset_bytes = at, .size_bytes = size, .total_bytes = total};
    if ((how & 12) == 12) { /* one byte of it is wrong */
        ((uint8_t *)&record)[input_u8(input) % sizeof record] ^= (uint8_t)(input_u8(input) | 1);
    }
    write_record(&record);
}

static void write_anywhere(struct input *input, uint8_t *memory, size_t size_bytes, size_t near) {
    uint8_t bytes[WRITTEN_MAX];
    const size_t at = (near + input_u16(input)) % size_bytes;
    const size_t wanted = 1 + input_u8(input) * 2u % WRITTEN_MAX;
    const size_t count = input_copy(input, bytes, wanted);
    for (size_t i = 0; i < count; i++) {
        memory[(at + i) % size_bytes] = bytes[i];
    }
}

static void move(_Atomic uint64_t *position, uint64_t from, struct input *input) {
    const int64_t distance = (int64_t)(int16_t)input_u16(input) * 4;
    atomic_store(position, from + (uint64_t)distance);
}

static void attack(struct input *input, enum step step) {
    struct side *side = game.side;
    switch (step) {
    case HOSTILE_RECORD_RAW: write_raw(input); break;
    case HOSTILE_RECORD: write_plausible(input); break;
    case HOSTILE_PUBLISH: atomic_store(side->in_tail, game.cursor); break;
    case HOSTILE_TAIL_NEAR: move(side->in_tail, game.cursor, input); break;
    case HOSTILE_TAIL_RAW: atomic_store(side->in_tail, take_u64(input)); break;
    case HOSTILE_HEAD_NEAR: move(side->out_head, atomic_load(side->out_head), input); break;
    case HOSTILE_HEAD_RAW: atomic_store(side->out_head, take_u64(input)); break;
    case HOSTILE_TAKE: atomic_store(side->out_head, atomic_load(side->out_tail)); break;
    case HOSTILE_HEADER: write_anywhere(input, shared, CHANNEL_HEADER_BYTES, 0); break;
    case HOSTILE_HANGUP: game.is_hung_up = true; break;
    default: write_anywhere(input, shared + CHANNEL_HEADER_BYTES, 2 * (size_t)RING_BYTES,
                            (size_t)input_u8(input) * 1024); break;
    }
}

/* ---- the honest one ---- */

/* Once it has said that the memory is corrupt, it says so for good. */
static void note_corrupt(int64_t result) {
    must(!game.is_corrupt || result == TE_E_CORRUPT);
    game.is_corrupt = game.is_corrupt || result == TE_E_CORRUPT;
}

static void check_record(const struct te_record *record) {
    must(record_valid(record, RECORD_BETWEEN_APPLICATIONS));
    must(record_follows(&game.order, record));
}

static void read_payload(const uint8_t *payload, uint32_t size_bytes) {
    static volatile uint8_t sink;
    for (uint32_t i = 0; i < size_bytes; i += 64) {
        sink = payload[i];
    }
    sink = size_bytes > 0 ? payload[size_bytes - 1] : 0;
    (void)sink;
}

static void receive(void) {
    static uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    struct te_record heads[HEADS];
    uint64_t filled = 0;
    const int count =
        te_channel_receive(game.side->channel, heads, HEADS, payload, sizeof payload);
    must((count >= 0 && count <= HEADS) || count == TE_E_CORRUPT);
    note_corrupt(count);
    game.has_peeked = false;
    for (int i = 0; i < count; i++) {
        check_record(&heads[i]);
        record_order_advance(&game.order, &heads[i]);
        filled += heads[i].size_bytes;
    }
    must(filled <= sizeof payload);
}

static void peek(void) {
    struct te_record record;
    const uint8_t *payload = NULL;
    const int found = te_channel_peek(game.side->channel, &record, &payload);
    must(found == 0 || found == 1 || found == TE_E_CORRUPT);
    note_corrupt(found);
    if (found == 1) {
        check_record(&record);
        read_payload(payload, record.size_bytes);
        must(!game.has_peeked || memcmp(&record, &game.peeked, sizeof record) == 0);
        game.peeked = record;
        game.has_peeked = true;
    }
}

static void pop(void) {
    te_channel_pop(game.side->channel);
    if (game.has_peeked) {
        record_order_advance(&game.order, &game.peeked);
        game.has_peeked = false;
    }
}

static void put(struct input *input, enum step step) {
    static uint8_t packed[sizeof(struct te_record) + TE_RECORD_PAYLOAD_MAX + TE_RECORD_ALIGN];
    struct te_record record = {.kind = TE_REQUEST, .flags = TE_FIRST | TE_LAST,
                               .flow = input_u8(input)};
    record.size_bytes = record.total_bytes =
        (uint32_t)input_u8(input) * (TE_RECORD_PAYLOAD_MAX / UINT8_MAX);
    if (step == SEND) {
        const uint64_t stride = record_stride_bytes(record.size_bytes);
        memcpy(packed, &record, sizeof record);
        const int64_t taken = te_channel_send(game.side->channel, packed, stride);
        must(taken == 0 || taken == (int64_t)stride || taken == TE_E_CORRUPT);
        note_corrupt(taken);
        return;
    }
    record.priority = step == PUT_BAD ? TE_PRIORITIES : 0;
    const int taken = te_channel_put(game.side->channel, &record, packed);
    must(taken == TE_E_CORRUPT || (step == PUT_BAD ? taken == TE_E_INVALID
                                                   : taken == 0 || taken == 1));
    note_corrupt(taken);
}

static void look_at_untaken(void) {
    struct te_record heads[HEADS];
    const int count = te_channel_untaken(game.side->channel, heads, HEADS);
    must((count >= 0 && count <= HEADS) || count == TE_E_CORRUPT);
    must(!game.is_corrupt || count == TE_E_CORRUPT);
    for (int i = 0; i < count; i++) {
        must(record_valid(&heads[i], RECORD_BETWEEN_APPLICATIONS));
        must(heads[i].kind == TE_REQUEST && (heads[i].flags & TE_FIRST) != 0);
    }
}

static void look_at_starts(struct input *input) {
    struct te_starts starts;
    const uint8_t how = input_u8(input);
    const int found = te_channel_starts(game.side->channel, input_u16(input), how & 1, &starts);
    must(found == 0 || (found == 1 && starts.newest != UINT64_MAX));
}

static void sleep_and_wake(struct input *input) {
    const int both = TE_WAKE_READABLE | TE_WAKE_WRITABLE;
    must((te_channel_arm(game.side->channel, input_u8(input)) & ~both) == 0);
    const int error = te_channel_awake(game.side->channel);
    must(error == TE_OK || error == TE_E_CLOSED);
    must(!game.is_hung_up || error == TE_E_CLOSED);
}

static void work(struct input *input, enum step step) {
    struct te_channel *channel = game.side->channel;
    switch (step) {
    case RECEIVE: receive(); break;
    case PEEK: peek(); break;
    case POP: pop(); break;
    case PUT:
    case PUT_BAD:
    case SEND: put(input, step); break;
    case UNTAKEN: look_at_untaken(); break;
    case SLEEP: sleep_and_wake(input); break;
    case RING: te_channel_ring(channel); break;
    case NOTE:
        te_channel_begin_starts(channel, input_u8(input), input_u8(input));
        te_channel_note(channel, input_u8(input), take_u64(input), input_u8(input) & 3);
        break;
    case STARTS: look_at_starts(input); break;
    default: te_channel_has_acked(channel, input_u16(input), take_u64(input)); break;
    }
}

/* A third end over the same memory: the geometry there is the real one, or it is refused. */
static void open_again(void) {
    struct te_channel *opened = NULL;
    char why[TE_WHY_BYTES];
    const int copy = fcntl(memory_fd, F_DUPFD_CLOEXEC, 0);
    const int doorbell = fcntl(memory_fd, F_DUPFD_CLOEXEC, 0);
    const int error = te_pair_open(copy, doorbell, 0, &opened, why);
    const struct channel_header *header = (const struct channel_header *)(const void *)shared;
    must(error == TE_E_CORRUPT || (error == TE_OK && header->ring_bytes == RING_BYTES));
    te_channel_close(opened);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    struct input input = {bytes, size_bytes, 0};
    if (shared == NULL) {
        set_up();
    }
    game = (struct game){.side = &sides[input_u8(&input) % ENDS]};
    game.cursor = atomic_load(game.side->in_tail);
    for (int steps = 0; input_has_more(&input) && steps < STEPS_MAX; steps++) {
        const enum step step = input_u8(&input) % STEPS;
        if (step < RECEIVE) {
            attack(&input, step);
        } else {
            work(&input, step);
        }
    }
    if (size_bytes % OPENED_SHARE == 1) {
        open_again();
    }
    snapshot_restore();
    return 0;
}
