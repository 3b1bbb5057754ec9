/* Two engines, back to back in memory or over sockets of this host, each behind a faulty netif, and
 * one application on each.
 *
 * Time is the caller's: steps of virtual time give the same run again, a real clock gives figures.
 * The client keeps a window of calls in flight, the server gives back what it gets. Content is a
 * function of the seed and the number of the call; both sides look at every byte, and count how
 * often each call came. The first thing that is wrong stands in `wrong`, as a sentence.
 */
#ifndef TESTS_ENGINE_PAIR_H
#define TESTS_ENGINE_PAIR_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/prng.h"
#include "engine/command.h"
#include "engine/engine.h"
#include "netif/netif.h"
#include "own_address.h"
#include "transport_engine.h"
#include "transport_fates.h"

enum pair_limit {
    PAIR_RING_BYTES = 1 << 20,
    PAIR_HEADS = 64,
    PAIR_SIZE_MAX = 2048,
    PAIR_WINDOW_MAX = PAIR_RING_BYTES / (PAIR_SIZE_MAX + sizeof(struct te_record)),
    PAIR_PAGE_BYTES = 1 << 16, /* random bytes, of which a call sends a piece */
    PAIR_PORT = 7000
};

/* An engine and its application. */
struct side {
    struct engine engine;
    struct te_channel *channel;
    uint32_t tenant;
    uint32_t flow;
    bool has_flow;
    uint8_t *times; /* that each call came here */
    uint32_t count;
    struct te_record heads[PAIR_HEADS];
    uint8_t payload[PAIR_HEADS * PAIR_SIZE_MAX + TE_RECORD_PAYLOAD_MAX];
};

struct engine_pair {
    struct side *client;
    struct side *server;
    uint32_t calls, window, size_bytes;
    uint32_t next;
    struct prng prng;
    uint8_t page[PAIR_PAGE_BYTES];
    uint8_t out[PAIR_HEADS * (PAIR_SIZE_MAX + sizeof(struct te_record))];
    char wrong[TE_WHY_BYTES]; /* empty: nothing */
};

struct pair_plan {
    /* Of both; its faults befall what either receives. With the driver "udp" they meet on
     * an address of their own, else back to back. */
    struct te_engine_config config;
    uint32_t calls, window, size_bytes;
    uint64_t seed;
    uint64_t now_ns; /* when it begins */
};

static uint64_t pair_random(void *context) {
    return prng_next(context);
}

static uint64_t pair_mac(void *context, const uint8_t *bytes, size_t size_bytes) {
    (void)context;
    return (uint64_t)crc32c(bytes, size_bytes) * UINT64_C(0x9E3779B97F4A7C15);
}

static bool pair_fail(struct engine_pair *pair, const char *what, uint64_t call) {
    if (pair->wrong[0] == '\0') {
        snprintf(pair->wrong, sizeof pair->wrong, "%s (%llu)", what, (unsigned long long)call);
    }
    return false;
}

static const uint8_t *pair_content(const struct engine_pair *pair, uint64_t call) {
    struct prng place = {call};
    return pair->page + prng_below(&place, PAIR_PAGE_BYTES - pair->size_bytes);
}

/* ---- opening ---- */

static bool side_command(struct engine_pair *pair, struct side *side, struct te_command command,
                         struct te_completion *done) {
    command.channel = side->tenant;
    command_execute(&side->engine, &command, done);
    return done->error == TE_OK || pair_fail(pair, te_error_name(done->error), command.op);
}

static bool side_open(struct engine_pair *pair, struct side *side, const struct pair_plan *plan,
                      struct netif *inner) {
    struct te_fault fault = plan->config.fault;
    struct engine_world world = {pair_random, pair_mac, NULL, &pair->prng};
    struct te_completion done;
    struct netif *netif;
    fault.seed = prng_next(&pair->prng);
    if (netif_fault_open(&fault, inner, &netif, pair->wrong) != TE_OK ||
        engine_init(&side->engine, &plan->config, &world, netif, plan->now_ns,
                    pair->wrong) != TE_OK) {
        return false;
    }
    side->times = calloc(plan->calls, 1);
    return side->times != NULL &&
           side_command(pair, side, (struct te_command){.op = TE_ATTACH,
                                                        .ring_bytes = PAIR_RING_BYTES}, &done) &&
           te_channel_open(done.memory_fd, done.doorbell_fd, &side->channel, pair->wrong) == TE_OK;
}

static int pair_join(const struct te_engine_config *config, struct netif *ends[2],
                     struct te_endpoint *server, char *why) {
    struct te_engine_config configs[2] = {*config, *config};
    if (strcmp(config->driver, "udp") == 0) {
        own_address(configs[0].local.address);
        memset(&configs[0].fault, 0, sizeof configs[0].fault); /* they come in front of it */
        int error = netif_open(&configs[0], &ends[0], why);
        error = error == TE_OK ? netif_open(&configs[0], &ends[1], why) : error;
        *server = configs[0].local;
        return error;
    }
    configs[0].local.address[15] = 1;
    configs[1].local.address[15] = 2;
    *server = configs[1].local;
    return netif_loopback_pair(&configs[0], &configs[1], ends, why);
}

/* Shape: plan->size_bytes is at most PAIR_SIZE_MAX, plan->window at most PAIR_WINDOW_MAX. */
static struct engine_pair *engine_pair_open(const struct pair_plan *plan) {
    struct engine_pair *pair = calloc(1, sizeof *pair);
    struct netif *ends[2];
    struct te_completion done;
    struct te_endpoint remote;
    crc32c_select();
    pair->client = calloc(1, sizeof *pair->client);
    pair->server = calloc(1, sizeof *pair->server);
    pair->calls = plan->calls;
    pair->window = plan->window;
    pair->size_bytes = plan->size_bytes;
    prng_init(&pair->prng, plan->seed);
    for (uint32_t i = 0; i < PAIR_PAGE_BYTES; i++) {
        pair->page[i] = (uint8_t)prng_next(&pair->prng);
    }
    if (pair_join(&plan->config, ends, &remote, pair->wrong) == TE_OK &&
        side_open(pair, pair->client, plan, ends[0]) &&
        side_open(pair, pair->server, plan, ends[1]) &&
        side_command(pair, pair->server, (struct te_command){.op = TE_LISTEN,
                                                             .endpoint = {.port = PAIR_PORT}},
                     &done)) {
        remote.port = PAIR_PORT;
        side_command(pair, pair->client, (struct te_command){.op = TE_CONNECT, .endpoint = remote},
                     &done);
    }
    return pair;
}

static void side_close(struct side *side, uint64_t now_ns) {
    te_channel_close(side->channel);
    engine_fini(&side->engine, now_ns);
    free(side->times);
    free(side);
}

/* Shape: a pair that opened, which is one whose `wrong` was empty after it. */
static void engine_pair_close(struct engine_pair *pair, uint64_t now_ns) {
    side_close(pair->client, now_ns);
    side_close(pair->server, now_ns);
    free(pair);
}

/* ---- the applications ---- */

/* Adds one message to `out`. */
static uint64_t pair_pack(struct engine_pair *pair, uint64_t at, const struct te_record *record,
                          const uint8_t *bytes) {
    memcpy(pair->out + at, record, sizeof *record);
    memcpy(pair->out + at + sizeof *record, bytes, record->size_bytes);
    return at + (sizeof *record + record->size_bytes + 7) / 8 * 8;
}

static struct te_record pair_record(const struct engine_pair *pair, const struct side *side,
                                    uint8_t kind, uint64_t call) {
    return (struct te_record){.call_id = call + 1, .method_id = 1, .flow = side->flow, .kind = kind,
                              .size_bytes = pair->size_bytes, .total_bytes = pair->size_bytes,
                              .flags = TE_FIRST | TE_LAST};
}

static bool pair_is_right(struct engine_pair *pair, struct side *side,
                          const struct te_record *record, const uint8_t *bytes) {
    if (record->kind == TE_FLOW_CLOSED) {
        return pair_fail(pair, te_reason_name(record->status), side->count);
    }
    const uint64_t call = record->call_id - 1;
    if (call >= pair->next || record->total_bytes != pair->size_bytes) {
        return pair_fail(pair, "a message that nobody sent", call);
    }
    if (memcmp(bytes, pair_content(pair, call), pair->size_bytes) != 0) {
        return pair_fail(pair, "damaged bytes", call);
    }
    if (side->times[call]++ != 0) {
        return pair_fail(pair, "a message came twice", call);
    }
    side->count++;
    return true;
}

/* Takes what came for `side`, and answers the requests in it. Returns the records taken. */
static int side_step(struct engine_pair *pair, struct side *side) {
    int count = te_channel_receive(side->channel, side->heads, PAIR_HEADS, side->payload,
                                   sizeof side->payload);
    const uint8_t *bytes = side->payload;
    uint64_t packed = 0;
    for (int i = 0; i < count; i++) {
        const struct te_record *record = &side->heads[i];
        if (record->kind == TE_FLOW_OPENED || record->kind == TE_FLOW_ACCEPTED) {
            side->flow = record->flow;
            side->has_flow = true;
        } else if (pair_is_right(pair, side, record, bytes) && record->kind == TE_REQUEST) {
            struct te_record reply = pair_record(pair, side, TE_REPLY, record->call_id - 1);
            packed = pair_pack(pair, packed, &reply, bytes);
        }
        bytes += record->size_bytes;
    }
    if (count < 0 || (packed > 0 && te_channel_send(side->channel, pair->out, packed) !=
                                        (int64_t)packed)) {
        pair_fail(pair, "a channel failed", side->count);
    }
    te_channel_ring(side->channel);
    return count;
}

/* Starts calls, as far as the window goes. */
static void pair_start_calls(struct engine_pair *pair) {
    struct side *client = pair->client;
    uint64_t packed = 0;
    int count = 0;
    while (client->has_flow && count < PAIR_HEADS && pair->next < pair->calls &&
           pair->next - client->count < pair->window) {
        struct te_record request = pair_record(pair, client, TE_REQUEST, pair->next);
        packed = pair_pack(pair, packed, &request, pair_content(pair, pair->next));
        pair->next++;
        count++;
    }
    if (packed > 0 &&
        te_channel_send(client->channel, pair->out, packed) != (int64_t)packed) {
        pair_fail(pair, "the client's ring is full", pair->next);
    }
}

/* Everything that can happen at `now_ns`. Returns what moved: 0 is nothing, until a timer. */
static int engine_pair_step(struct engine_pair *pair, uint64_t now_ns) {
    pair_start_calls(pair);
    int moved = engine_poll(&pair->client->engine, now_ns);
    moved += engine_poll(&pair->server->engine, now_ns);
    moved += side_step(pair, pair->server);
    moved += side_step(pair, pair->client);
    return moved;
}

static bool engine_pair_is_done(const struct engine_pair *pair) {
    return pair->wrong[0] != '\0' || pair->client->count == pair->calls;
}

/* Counted by both engines. */
static struct te_stats engine_pair_stats(const struct engine_pair *pair) {
    struct te_stats client, sum;
    engine_fill_stats(&pair->client->engine, &client);
    engine_fill_stats(&pair->server->engine, &sum);
    sum.datagrams_received += client.datagrams_received;
    sum.datagrams_dropped_bad += client.datagrams_dropped_bad;
    sum.netif_receive_calls += client.netif_receive_calls;
    sum.netif_send_calls += client.netif_send_calls;
    sum.packets_retransmitted += client.packets_retransmitted;
    sum.packets_spurious += client.packets_spurious;
    sum.packets_lost += client.packets_lost;
    sum.probes += client.probes;
    sum.timeouts += client.timeouts;
    sum.faults_lost += client.faults_lost;
    sum.faults_duplicated += client.faults_duplicated;
    sum.faults_corrupted += client.faults_corrupted;
    return sum;
}

#endif
