/* What the explorer walks: the ring alone, a channel whose ends sleep for records and for room, and
 * the engine's command ring. Prints the runs of each; stops at the first that goes wrong.
 *
 * Compiled, like the files of shm/ that it runs, with atomics.h put before it.
 */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "shm/channel.h"
#include "shm/command_ring.h"
#include "shm/end.h"
#include "shm/layout.h"
#include "shm/ring.h"

enum {
    RING_ITEMS = 2, /* that the ring alone holds */
    ITEMS = 6,
    RECORDS = 2,       /* a third takes minutes */
    FULL_RECORDS = 2,  /* of HALF_PAYLOAD; then there is no room for one more */
    COMMANDS = 5,
    CHANNEL_RING_BYTES = TE_RING_BYTES_MIN,
    HALF_PAYLOAD = CHANNEL_RING_BYTES / 2 - 48, /* two such records fill a ring */
    OVERWRITTEN_BYTES = 256, /* of TX, by the records that come after a full ring */
    PIECES_MAX = 8
};

enum region_name { REGION_HEADER, REGION_TX, REGION_RX, REGION_RING, REGION_COMMANDS };

/* Memory that every run begins with as it was. */
struct piece {
    void *memory, *copy;
    size_t bytes;
};

static struct piece pieces[PIECES_MAX];
static size_t piece_count;

void te_check_failed(const char *claim, const char *file, int line) {
    printf("%s:%d: %s\n", file, line, claim);
    exit(1);
}

static void keep(void *memory, size_t bytes) {
    struct piece piece = {memory, malloc(bytes), bytes};
    te_check(piece.copy != NULL && piece_count < PIECES_MAX);
    memmove(piece.copy, memory, bytes);
    pieces[piece_count++] = piece;
}

static void put_back(void) {
    for (size_t i = 0; i < piece_count; i++) {
        memmove(pieces[i].memory, pieces[i].copy, pieces[i].bytes);
    }
}

/* ---- the ring alone: items of eight bytes, more than it holds ---- */

static struct {
    _Atomic uint64_t tail, head;
    uint64_t bytes[2 * RING_ITEMS];
} memory;
static struct ring producer, consumer;
static uint64_t taken;

static void reset_ring(void) {
    uint8_t *bytes = (uint8_t *)memory.bytes;
    memset(&memory, 0, sizeof memory);
    ring_init(&producer, RING_PRODUCER, bytes, sizeof memory.bytes / 2, &memory.tail, &memory.head);
    ring_init(&consumer, RING_CONSUMER, bytes, sizeof memory.bytes / 2, &memory.head, &memory.tail);
    taken = 0;
}

static void produce(void) {
    for (uint64_t item = 1; item <= ITEMS; item++) {
        explore_assume(ring_available(&producer, sizeof item) >= (int64_t)sizeof item);
        memcpy(ring_cursor(&producer), &item, sizeof item);
        ring_advance(&producer, sizeof item);
        ring_publish(&producer);
    }
}

static void consume(void) {
    for (uint64_t expected = 1; expected <= ITEMS; expected++) {
        uint64_t item = 0;
        explore_assume(ring_available(&consumer, 1) >= (int64_t)sizeof item);
        memcpy(&item, ring_cursor(&consumer), sizeof item);
        explore_must(item == expected, "an item is not what was put in");
        ring_advance(&consumer, sizeof item);
        ring_publish(&consumer);
        taken++;
    }
}

static void check_ring(void) {
    explore_must(taken == ITEMS, "items are missing");
}

/* ---- a channel ---- */

static struct channel *engine;
static struct te_channel *application;
static uint32_t received;

static uint8_t *packed_record(uint64_t number, uint32_t size_bytes) {
    static uint8_t packed[sizeof(struct te_record) + TE_RECORD_PAYLOAD_MAX];
    const struct te_record record = {.call_id = number,
                                     .kind = TE_REQUEST,
                                     .flags = TE_FIRST | TE_LAST,
                                     .size_bytes = size_bytes,
                                     .total_bytes = size_bytes};
    memmove(packed, &record, sizeof record);
    memmove(packed + sizeof record, &number, sizeof number);
    return packed;
}

/* Both kinds of channel begin with their end. */
static void name_regions(const struct end *end) {
    const struct mapping *mapping = &end->mapping;
    explore_region(mapping->header, sizeof *mapping->header, REGION_HEADER);
    for (uint64_t half = 0; half < 2; half++) {
        explore_region(mapping->tx + half * mapping->ring_bytes, mapping->ring_bytes, REGION_TX);
        explore_region(mapping->rx + half * mapping->ring_bytes, mapping->ring_bytes, REGION_RX);
    }
}

static void open_channel(void) {
    char why[TE_WHY_BYTES];
    int memory_fd = -1;
    int doorbell_fd = -1;
    te_check(channel_create(CHANNEL_RING_BYTES, &engine, &memory_fd, &doorbell_fd, why) == TE_OK);
    te_check(te_channel_open(memory_fd, doorbell_fd, &application, why) == TE_OK);
    te_check(channel_seal(engine) == TE_OK);
    name_regions((const struct end *)(const void *)application);
    name_regions((const struct end *)(const void *)engine);
    explore_sockets(te_channel_fd(application), channel_fd(engine));
}

static void keep_channel(void) {
    piece_count = 0;
    keep(engine, malloc_usable_size(engine));
    keep(application, malloc_usable_size(application));
    keep(((const struct end *)(const void *)application)->mapping.tx, OVERWRITTEN_BYTES);
}

/* Sends as an application does: sleeps for room where there is none. */
static void send_number(uint64_t number) {
    const uint64_t stride = sizeof(struct te_record) + sizeof number;
    while (te_channel_send(application, packed_record(number, sizeof number), stride) == 0) {
        if (te_channel_arm(application, TE_WAKE_WRITABLE) == 0) {
            explore_sleep(te_channel_fd(application));
            te_channel_awake(application);
        }
    }
    te_channel_ring(application);
}

static void send_records(void) {
    for (uint64_t number = 0; number < RECORDS; number++) {
        send_number(number);
    }
}

static void send_into_full_ring(void) {
    send_number(FULL_RECORDS);
}

/* Takes as an engine does: all that is there, then sleeps. */
static void receive_records(uint32_t count) {
    while (received < count) {
        struct te_record record;
        const uint8_t *payload;
        const int found = channel_peek(engine, &record, &payload);
        explore_must(found >= 0, "an honest application is taken for a broken one");
        if (found == 1) {
            uint64_t number = 0;
            memcpy(&number, payload, sizeof number);
            explore_must(record.call_id == received && number == received, "not what was sent");
            channel_pop(engine);
            received++;
            channel_flush(engine);
        } else if (channel_arm(engine) == 0) {
            explore_sleep(channel_fd(engine));
            channel_awake(engine);
        }
    }
}

static void receive_all(void) {
    receive_records(RECORDS);
}

static void receive_full_ring_and_one(void) {
    receive_records(FULL_RECORDS + 1);
}

/* The other direction: the engine replies, the application sleeps. */
static void send_replies(void) {
    for (uint64_t number = 0; number < RECORDS; number++) {
        const struct te_record record = {.call_id = number,
                                         .kind = TE_REPLY,
                                         .flags = TE_FIRST | TE_LAST,
                                         .size_bytes = sizeof number,
                                         .total_bytes = sizeof number};
        int error = TE_OK;
        struct te_record *room = channel_reserve(engine, sizeof number, &error);
        explore_must(room != NULL, "no room in an empty ring");
        *room = record;
        memcpy(room + 1, &number, sizeof number);
        channel_commit(engine, sizeof number);
        channel_flush(engine);
    }
}

static void receive_replies(void) {
    static uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    while (received < RECORDS) {
        struct te_record heads[RECORDS];
        const int count = te_channel_receive(application, heads, RECORDS, payload, sizeof payload);
        explore_must(count >= 0, "an honest engine is taken for a broken one");
        for (int i = 0; i < count; i++) {
            uint64_t number = 0;
            memcpy(&number, payload + (size_t)i * sizeof number, sizeof number);
            explore_must(heads[i].call_id == received && number == received, "not what was sent");
            received++;
        }
        te_channel_ring(application);
        if (count == 0 && te_channel_arm(application, TE_WAKE_READABLE) == 0) {
            explore_sleep(te_channel_fd(application));
            te_channel_awake(application);
        }
    }
}

static void reset_channel(void) {
    put_back();
    received = 0;
}

static void check_nothing(void) {
}

/* ---- the command ring ---- */

static struct spsc *commands;

static void push_commands(void) {
    for (uint64_t command = 1; command <= COMMANDS; command++) {
        explore_assume(spsc_push(commands, &command));
    }
}

static void pop_commands(void) {
    for (uint64_t expected = 1; expected <= COMMANDS; expected++) {
        uint64_t command = 0;
        explore_assume(spsc_pop(commands, &command));
        explore_must(command == expected, "a command is not what was pushed");
    }
}

static void reset_commands(void) {
    put_back();
}

/* ---- */

static void walk(const struct scenario *scenario) {
    printf("%s: %llu runs\n", scenario->name, (unsigned long long)explore(scenario));
    fflush(stdout);
}

static void walk_channel(void) {
    static const struct scenario records = {
        "records", reset_channel, {send_records, receive_all}, check_nothing};
    static const struct scenario room = {
        "room", reset_channel, {send_into_full_ring, receive_full_ring_and_one}, check_nothing};
    static const struct scenario replies = {
        "replies", reset_channel, {receive_replies, send_replies}, check_nothing};
    open_channel();
    keep_channel();
    walk(&records);
    walk(&replies);
    put_back();
    for (uint64_t number = 0; number < FULL_RECORDS; number++) {
        const uint64_t half = CHANNEL_RING_BYTES / 2;
        te_check(te_channel_send(application, packed_record(number, HALF_PAYLOAD), half) > 0);
    }
    keep_channel();
    walk(&room);
}

int main(void) {
    static const struct scenario ring = {"ring", reset_ring, {produce, consume}, check_ring};
    static const struct scenario command_ring = {
        "commands", reset_commands, {push_commands, pop_commands}, check_nothing};
    explore_region(&memory, sizeof memory, REGION_RING);
    walk(&ring);
    te_check(spsc_open(&commands, sizeof(uint64_t), 2) == TE_OK);
    explore_region(commands, malloc_usable_size(commands), REGION_COMMANDS);
    piece_count = 0;
    keep(commands, malloc_usable_size(commands));
    walk(&command_ring);
    walk_channel();
    return 0;
}
