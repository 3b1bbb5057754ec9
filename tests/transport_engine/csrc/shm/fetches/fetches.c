/* The engine reads each byte that a tenant may change at most once, whatever the tenant writes.
 *
 * An engine over the loopback netif with one tenant, whose memory is watched on the engine's side
 * while it polls. Every poll meets one record: well formed and of many sizes, in pieces, or with
 * one field broken. A word of the header may be loaded once by each call that looks at it; a byte
 * of a ring once in the life of its record, and a byte of RX never.
 */
#include "trace.h"

#include <string.h>

#include "base/check.h"
#include "engine/command.h"
#include "engine/engine.h"
#include "engine/tenants.h"
#include "shm/end.h"

enum { RING_BYTES = TE_RING_BYTES_MIN, HEADER_PAGE_BYTES = 4096, SETTLE_POLLS = 1000, PORT = 7000 };
enum part { PART_HEADER, PART_TX, PART_RX };

static struct engine engine;
static struct te_channel *application;
static uint8_t *shared; /* all of the memory, unwatched */
static struct channel *channel;
static uint64_t now_ns = 1000000000;
static uint32_t flow = UINT32_MAX;
static uint64_t operations, quarantined;

void te_check_failed(const char *claim, const char *file, int line) {
    fprintf(stderr, "%s:%d: %s\n", file, line, claim);
    exit(2);
}

static uint64_t draw(void *context) {
    static uint64_t state = 1;
    (void)context;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state ^ state >> 33;
}

static uint64_t hash(void *context, const uint8_t *bytes, size_t size_bytes) {
    uint64_t sum = 14695981039346656037u;
    (void)context;
    for (size_t i = 0; i < size_bytes; i++) {
        sum = (sum ^ bytes[i]) * 1099511628211u;
    }
    return sum;
}

static void must_load_once(enum part part, const char *what) {
    const long twice = trace_loaded_twice(&watched[part]);
    if (twice >= 0) {
        printf("%s: byte %ld of part %d is loaded twice\n", what, twice, (int)part);
        exit(1);
    }
}

/* ---- calls of the channel: each word and each byte once ---- */

static void forget_all(void) {
    for (size_t i = 0; i < watched_count; i++) {
        trace_forget(&watched[i]);
    }
}

static void check_call(const char *what) {
    trace_stop();
    operations++;
    must_load_once(PART_HEADER, what);
    must_load_once(PART_TX, what);
    for (size_t i = 0; i < RING_BYTES; i++) {
        if (watched[PART_RX].loads[i] != 0) {
            printf("%s: byte %zu of RX is loaded\n", what, i);
            exit(1);
        }
    }
    trace_forget(&watched[PART_HEADER]);
}

/* Takes what is in TX as the engine does, call by call. Returns what the last peek said. */
static int take_all(void) {
    static uint8_t copy[TE_RECORD_PAYLOAD_MAX];
    for (;;) {
        struct te_record record;
        const uint8_t *payload;
        trace_start();
        const int found = channel_peek(channel, &record, &payload);
        check_call("channel_peek");
        if (found <= 0) {
            return found;
        }
        trace_start();
        channel_peek(channel, &record, &payload);
        check_call("channel_peek, again");
        trace_start();
        memcpy(copy, payload, record.size_bytes);
        channel_pop(channel);
        channel_flush(channel);
        check_call("copy, channel_pop, channel_flush");
        trace_forget(&watched[PART_TX]);
    }
}

static void reply(uint32_t size_bytes) {
    struct te_record record = {.kind = TE_REPLY, .flags = TE_FIRST | TE_LAST,
                               .size_bytes = size_bytes, .total_bytes = size_bytes};
    static uint8_t taken[TE_RECORD_PAYLOAD_MAX];
    struct te_record heads[1];
    int error = TE_OK;
    trace_start();
    struct te_record *room = channel_reserve(channel, size_bytes, &error);
    check_call("channel_reserve");
    te_check(room != NULL);
    trace_start();
    *room = record;
    memcpy(room + 1, taken, size_bytes);
    channel_commit(channel, size_bytes);
    channel_flush(channel);
    check_call("channel_commit, channel_flush");
    trace_start();
    channel_arm(channel);
    check_call("channel_arm");
    te_check(te_channel_receive(application, heads, 1, taken, sizeof taken) == 1);
}

/* ---- records ---- */

static uint8_t packed[sizeof(struct te_record) + TE_RECORD_PAYLOAD_MAX];

static struct te_record request(uint32_t size_bytes) {
    return (struct te_record){.kind = TE_REQUEST, .flow = flow, .flags = TE_FIRST | TE_LAST,
                              .size_bytes = size_bytes, .total_bytes = size_bytes};
}

static void send_record(struct te_record record) {
    memcpy(packed, &record, sizeof record);
    const uint64_t stride = (sizeof record + record.size_bytes + 7) / 8 * 8;
    te_check(te_channel_send(application, packed, stride) == (int64_t)stride);
}

/* As a hostile tenant: publishes a record whose byte `at` is something else. */
static void send_broken(size_t at, uint8_t value) {
    struct channel_header *header = (struct channel_header *)(void *)shared;
    const uint64_t tail = atomic_load(&header->tx_tail);
    struct te_record record = request(64);
    ((uint8_t *)&record)[at] = value;
    for (size_t i = 0; i < sizeof record; i++) {
        shared[CHANNEL_HEADER_BYTES + (tail + i) % RING_BYTES] = ((uint8_t *)&record)[i];
    }
    atomic_store(&header->tx_tail, tail + sizeof record + 64);
}

/* ---- tenants ---- */

static struct te_completion command(struct te_command request) {
    struct te_completion completion;
    command_execute(&engine, &request, &completion);
    te_check(completion.error == TE_OK);
    return completion;
}

/* Both kinds of channel begin with their end. */
static uint32_t attach(void) {
    char why[TE_WHY_BYTES];
    struct te_completion made =
        command((struct te_command){.op = TE_ATTACH, .ring_bytes = RING_BYTES});
    shared = mmap(NULL, CHANNEL_HEADER_BYTES + 2 * RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
                  made.memory_fd, 0);
    te_check(shared != MAP_FAILED);
    te_check(te_channel_open(made.memory_fd, made.doorbell_fd, &application, why) == TE_OK);
    channel = engine.tenants[made.value].channel;
    te_check(channel_seal(channel) == TE_OK);
    const struct mapping *mapping = &((const struct end *)(const void *)channel)->mapping;
    watched_count = 0;
    trace_watch((uint8_t *)mapping->header, HEADER_PAGE_BYTES, HEADER_PAGE_BYTES, shared);
    uint8_t *tx = shared + CHANNEL_HEADER_BYTES;
    trace_watch(mapping->tx, 2 * RING_BYTES, RING_BYTES, tx);
    trace_watch(mapping->rx, 2 * RING_BYTES, RING_BYTES, tx + RING_BYTES);
    forget_all();
    return made.value;
}

static void detach(uint32_t tenant) {
    te_channel_close(application);
    munmap(shared, CHANNEL_HEADER_BYTES + 2 * RING_BYTES);
    te_check(tenant_detach(&engine, tenant) == TE_OK);
    watched_count = 0;
}

static void poll_traced(void) {
    now_ns += 50000;
    trace_start();
    engine_poll(&engine, now_ns);
    trace_stop();
    operations++;
}

static void receive_all(void) {
    static struct te_record heads[64];
    static uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    int count;
    while ((count = te_channel_receive(application, heads, 64, payload, sizeof payload)) > 0) {
        for (int i = 0; i < count; i++) {
            flow = heads[i].kind == TE_FLOW_OPENED ? heads[i].flow : flow;
        }
    }
    te_check(count == 0);
}

/* ---- what is tried ---- */

static const uint32_t sizes[] = {0, 1, 7, 8, 9, 63, 64, 65, 700, 1396, 4096, 4097, 65535, 65536};

static void try_calls(void) {
    const uint32_t tenant = attach();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        send_record(request(sizes[i]));
        te_check(take_all() == 0);
        reply(sizes[i]);
    }
    detach(tenant);
}

/* Each byte of the header with each of some values; a channel that is given up is made anew. */
static void try_broken(void) {
    static const uint8_t values[] = {0, 1, 48, 255};
    for (size_t at = 0; at < sizeof(struct te_record); at++) {
        for (size_t i = 0; i < sizeof values; i++) {
            const uint32_t tenant = attach();
            send_broken(at, values[i]);
            quarantined += take_all() == TE_E_CORRUPT;
            detach(tenant);
        }
    }
}

/* Positions of no honest tenant, in both rings. */
static void try_positions(void) {
    static const uint64_t positions[] = {8, 4, RING_BYTES, RING_BYTES + 8, 1ULL << 63, UINT64_MAX};
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        const uint32_t tenant = attach();
        struct channel_header *header = (struct channel_header *)(void *)shared;
        atomic_store(&header->tx_tail, positions[i]);
        quarantined += take_all() == TE_E_CORRUPT;
        atomic_store(&header->rx_head, positions[i]);
        atomic_store(&header->application_armed, UINT32_MAX);
        trace_start();
        channel_flush(channel);
        check_call("channel_flush");
        trace_start();
        channel_arm(channel);
        check_call("channel_arm");
        detach(tenant);
    }
}

/* Messages through a flow: what was read of a record by one poll is not read by a later one. */
static void try_polls(void) {
    const uint32_t tenant = attach();
    struct te_endpoint remote = engine.netif->local;
    remote.port = PORT;
    command((struct te_command){.op = TE_LISTEN, .channel = tenant, .endpoint = {.port = PORT}});
    command((struct te_command){.op = TE_CONNECT, .channel = tenant, .endpoint = remote});
    for (int i = 0; i < SETTLE_POLLS && flow == UINT32_MAX; i++) {
        now_ns += 50000;
        engine_poll(&engine, now_ns);
        receive_all();
    }
    te_check(flow != UINT32_MAX);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        forget_all();
        send_record(request(sizes[i]));
        for (int polls = 0; polls < 20; polls++) {
            poll_traced();
            receive_all();
            must_load_once(PART_TX, "engine_poll");
        }
    }
    te_check(engine.stats.messages_received == sizeof sizes / sizeof sizes[0]);
    detach(tenant);
}

int main(void) {
    static const struct engine_world world = {draw, hash, NULL, NULL};
    struct te_engine_config config;
    struct netif *netif = NULL;
    char why[TE_WHY_BYTES];
    te_engine_config_init(&config);
    config.pool_bytes = 4 << 20;
    config.message_bytes_max = 1 << 20;
    te_check(netif_loopback_open(&config, &netif, why) == TE_OK);
    te_check(engine_init(&engine, &config, &world, netif, now_ns, why) == TE_OK);
    trace_open();
    try_calls();
    try_broken();
    try_positions();
    try_polls();
    printf("%llu operations, %llu loads of %llu bytes, %llu quarantined\n",
           (unsigned long long)operations, (unsigned long long)loads_seen,
           (unsigned long long)bytes_seen, (unsigned long long)quarantined);
    return 0;
}
