/* An engine with two tenants that makes no system call: for a fuzz target that plays one of them.
 *
 * The netif is unplugged and the engine loops its own datagrams, the doorbell's send and recv are
 * replaced, time is handed in. The hostile tenant has an open flow to its neighbour, the neighbour
 * one to itself, and the hostile tenant's rings stand shortly before their end.
 *
 * Included once; needs _GNU_SOURCE.
 */
#ifndef FUZZ_TWO_TENANTS_H
#define FUZZ_TWO_TENANTS_H

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "engine/command.h"
#include "engine/engine.h"
#include "flow/body.h"
#include "shm/layout.h"
#include "snapshot.h"

enum {
    RING_BYTES = TE_RING_BYTES_MIN,
    MESSAGE_BYTES_MAX = TE_RECORD_PAYLOAD_MAX + 4096,
    POOL_BLOCKS = 160, /* a quarter of it, less the record that goes beyond, takes a message */
    NEAR_END_BYTES = 1024, /* from where an input begins to the end of each ring */
    PORT = 7000,
    TENANTS = 2,
    HEADS = 64,
    OWN_BYTES = 700, /* of the neighbour's message to itself */
    PATIENCE_POLLS = 4000,
    SETTLE_POLLS = 2000,
    POLL_NS = 50000
};

struct application {
    struct te_channel *channel;
    uint8_t *shared; /* a mapping of all its memory, to write to and to put back */
    uint32_t tenant;
    uint32_t opened;   /* handle of the flow that it opened */
    uint32_t accepted; /* of the flow that it accepted last */
    uint64_t requests; /* received on that flow */
    uint64_t replies;  /* received */
};

static struct engine engine;
static struct application hostile, neighbour;
static uint64_t now_ns = 1000000000;
static uint64_t random_state = 1;

static inline struct channel_header *header_of(const struct application *application) {
    return (struct channel_header *)(void *)application->shared;
}

/* ---- the engine's world, without system calls ---- */

ssize_t send(int fd, const void *bytes, size_t size_bytes, int flags) {
    (void)fd, (void)bytes, (void)flags;
    return (ssize_t)size_bytes;
}

ssize_t recv(int fd, void *bytes, size_t size_bytes, int flags) {
    (void)fd, (void)flags, (void)size_bytes;
    *(uint8_t *)bytes = 1;
    return 1;
}

static uint64_t draw(void *context) {
    (void)context;
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return random_state ^ random_state >> 33;
}

static uint64_t hash(void *context, const uint8_t *bytes, size_t size_bytes) {
    uint64_t sum = 14695981039346656037u; /* FNV-1a: nobody here forges tokens */
    (void)context;
    for (size_t i = 0; i < size_bytes; i++) {
        sum = (sum ^ bytes[i]) * 1099511628211u;
    }
    return sum;
}

static int receive_nothing(struct netif *netif, uint64_t at_ns, struct netif_datagram *datagrams,
                           int count) {
    (void)netif, (void)at_ns, (void)datagrams, (void)count;
    return 0;
}

static int send_nowhere(struct netif *netif, uint64_t at_ns,
                        const struct netif_datagram *datagrams, int count) {
    (void)netif, (void)at_ns, (void)datagrams;
    return count;
}

static int listen_to_all(struct netif *netif, uint16_t port) {
    (void)netif, (void)port;
    return TE_OK;
}

static void unlisten(struct netif *netif, uint16_t port) {
    (void)netif, (void)port;
}

static void close_nothing(struct netif *netif) {
    (void)netif;
}

static const struct netif_ops unplugged_ops = {
    .name = "unplugged",
    .rx_burst = receive_nothing,
    .tx_burst = send_nowhere,
    .listen = listen_to_all,
    .unlisten = unlisten,
    .close = close_nothing,
};

static struct netif unplugged = {
    .ops = &unplugged_ops,
    .local = {.address = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 1}, .port = TE_PORT_DEFAULT},
    .mtu_bytes = 1500,
    .caps = NETIF_NO_LOOP,
    .fd = -1,
};

/* ---- two applications ---- */

static struct te_record record_of(uint8_t kind, uint32_t flow, uint32_t size_bytes) {
    return (struct te_record){.kind = kind,
                              .flow = flow,
                              .flags = TE_FIRST | TE_LAST,
                              .size_bytes = size_bytes,
                              .total_bytes = size_bytes};
}

static uint64_t stride_of(uint32_t size_bytes) {
    return (sizeof(struct te_record) + (uint64_t)size_bytes + 7) / 8 * 8;
}

static bool send_honestly(struct application *application, struct te_record record, uint8_t fill) {
    static uint8_t packed[sizeof record + 4096];
    const uint64_t stride = stride_of(record.size_bytes);
    te_check(stride <= sizeof packed);
    memcpy(packed, &record, sizeof record);
    memset(packed + sizeof record, fill, record.size_bytes);
    return te_channel_send(application->channel, packed, stride) > 0;
}

/* What the neighbour says to itself carries its call's number in every byte. */
static void check_own(const struct te_record *head, const uint8_t *payload) {
    uint8_t expected[OWN_BYTES];
    memset(expected, (uint8_t)head->call_id, sizeof expected);
    te_check(head->size_bytes == sizeof expected);
    te_check(memcmp(payload, expected, sizeof expected) == 0);
}

static void receive(struct application *application) {
    static struct te_record heads[HEADS];
    static uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    int count;
    while ((count = te_channel_receive(application->channel, heads, HEADS, payload,
                                       sizeof payload)) > 0) {
        const uint8_t *at = payload;
        for (int i = 0; i < count; at += heads[i++].size_bytes) {
            const struct te_record *head = &heads[i];
            if (head->kind == TE_FLOW_OPENED) {
                application->opened = head->flow;
            } else if (head->kind == TE_FLOW_ACCEPTED) {
                application->accepted = head->flow;
            } else if (head->kind == TE_REPLY) {
                application->replies++;
            } else if (head->kind == TE_REQUEST && head->flow == application->accepted) {
                check_own(head, at);
                application->requests++;
            }
        }
    }
    te_check(count == 0);
    te_channel_ring(application->channel);
}

static inline void poll_for(uint64_t elapsed_ns) {
    now_ns += elapsed_ns;
    engine_poll(&engine, now_ns);
    receive(&neighbour);
}

/* ---- setting up, once ---- */

static struct te_completion command(struct te_command request) {
    struct te_completion completion;
    command_execute(&engine, &request, &completion);
    te_check(completion.error == TE_OK);
    return completion;
}

static void attach(struct application *application) {
    char why[TE_WHY_BYTES];
    struct te_completion made =
        command((struct te_command){.op = TE_ATTACH, .ring_bytes = RING_BYTES});
    application->tenant = made.value;
    application->shared = mmap(NULL, CHANNEL_HEADER_BYTES + 2 * RING_BYTES,
                               PROT_READ | PROT_WRITE, MAP_SHARED, made.memory_fd, 0);
    te_check(application->shared != MAP_FAILED);
    int error = te_channel_open(made.memory_fd, made.doorbell_fd, &application->channel, why);
    te_check(error == TE_OK);
}

static void connect_to_neighbour(struct application *application) {
    struct te_endpoint remote = unplugged.local;
    remote.port = PORT;
    command((struct te_command){.op = TE_CONNECT, .channel = application->tenant, .token = 1,
                                .endpoint = remote});
    application->opened = NO_ITEM;
    for (int i = 0; i < SETTLE_POLLS && application->opened == NO_ITEM; i++) {
        poll_for(POLL_NS);
        receive(&hostile);
    }
    te_check(application->opened != NO_ITEM && neighbour.accepted != NO_ITEM);
}

/* Fills TX with records for no flow, and RX with the neighbour's replies. */
static void bring_rings_near_their_end(uint32_t flow_to_hostile) {
    enum { PIECE = 976, REPLIES = RING_BYTES / (PIECE + 48) - 1 };
    while (atomic_load(&header_of(&hostile)->tx_tail) < RING_BYTES - NEAR_END_BYTES) {
        te_check(send_honestly(&hostile, record_of(TE_REQUEST, NO_ITEM, PIECE), 0));
        poll_for(POLL_NS);
    }
    for (uint64_t i = 0; i < REPLIES; i++) {
        te_check(send_honestly(&neighbour, record_of(TE_REPLY, flow_to_hostile, PIECE), 0));
        for (int polls = 0; polls < SETTLE_POLLS && hostile.replies <= i; polls++) {
            poll_for(POLL_NS);
            receive(&hostile);
        }
        te_check(hostile.replies == i + 1);
    }
}

/* Leaves the snapshot open: the caller adds its own state and ends it. */
static inline void two_tenants_set_up(void) {
    static const struct engine_world world = {draw, hash, NULL, NULL};
    struct te_engine_config config;
    char why[TE_WHY_BYTES];
    te_engine_config_init(&config);
    config.pool_bytes = POOL_BLOCKS * BLOCK_BYTES;
    config.flows_max = 8;
    config.channels_max = TENANTS;
    config.message_bytes_max = MESSAGE_BYTES_MAX;
    config.credit_bytes = MESSAGE_BYTES_MAX;
    crc32c_select();
    snapshot_begin();
    te_check(engine_init(&engine, &config, &world, &unplugged, now_ns, why) == TE_OK);
    attach(&hostile);
    attach(&neighbour);
    command((struct te_command){.op = TE_LISTEN, .channel = neighbour.tenant,
                                .endpoint = {.port = PORT}});
    neighbour.accepted = NO_ITEM;
    connect_to_neighbour(&hostile);
    bring_rings_near_their_end(neighbour.accepted);
    connect_to_neighbour(&neighbour);
    for (int i = 0; i < SETTLE_POLLS; i++) {
        poll_for(10 * POLL_NS);
    }
    snapshot_add(&engine, sizeof engine);
    const struct pool *blocks = &engine.store.blocks; /* those after `fresh` hold nothing yet */
    uint8_t *rest = blocks->memory + (size_t)POOL_BLOCKS * BLOCK_BYTES;
    snapshot_add(blocks->memory, (size_t)blocks->fresh * BLOCK_BYTES);
    snapshot_add(rest, engine.memory_bytes - (size_t)(rest - (uint8_t *)engine.memory));
    snapshot_add(hostile.shared, sizeof(struct channel_header));
    snapshot_add(neighbour.shared, sizeof(struct channel_header));
    snapshot_add(&neighbour, sizeof neighbour);
    snapshot_add(&now_ns, sizeof now_ns);
    snapshot_add(&random_state, sizeof random_state);
}

/* ---- the neighbour ---- */

/* Whatever its neighbour did, a message of its own arrives. */
static inline void serve_the_neighbour(void) {
    const uint64_t before = neighbour.requests;
    te_check(engine.tenants[neighbour.tenant].reason == TE_R_NONE);
    struct te_record record = record_of(TE_REQUEST, neighbour.opened, OWN_BYTES);
    record.call_id = before;
    te_check(send_honestly(&neighbour, record, (uint8_t)before));
    for (int i = 0; i < PATIENCE_POLLS && neighbour.requests == before; i++) {
        poll_for(POLL_NS);
    }
    te_check(neighbour.requests > before);
}

#endif
