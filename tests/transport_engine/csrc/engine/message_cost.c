/* Calls between two applications of one engine whose netif gives datagrams back, so that a profiler
 * can count what a message costs.
 *
 * message_cost WINDOW FLOWS SIZE CALLS
 *
 * All is in one thread, on virtual time that passes as fast as work is done, so two runs execute
 * the same instructions. What is counted stands in one function, `measured`. Prints one JSON
 * object; exits with 1 and a sentence if a call was not answered.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/crc32c.h"
#include "base/prng.h"
#include "engine/command.h"
#include "engine/engine.h"
#include "netif/netif.h"
#include "transport_engine.h"

enum cost_constant {
    RING_BYTES = 1 << 20,
    FLOWS_MAX = 16384,
    WINDOW_MAX = 256,
    SIZE_MAX_BYTES = 8192,
    HEADS = 64,
    PORT = 7000,
    POLL_NS = 200,   /* by which a poll moves the time ... */
    MOVED_NS = 250,  /* ... and each record or datagram in it */
    IDLE_POLLS_MAX = 10000000
};

struct application {
    struct te_channel *channel;
    uint32_t tenant;
    uint32_t flows[FLOWS_MAX]; /* client */
    uint32_t flow_count;
    struct te_record heads[HEADS];
    uint8_t payload[HEADS * SIZE_MAX_BYTES + TE_RECORD_PAYLOAD_MAX];
    uint8_t out[HEADS * (SIZE_MAX_BYTES + sizeof(struct te_record))];
};

static struct engine engine;
static struct application client, server;
static struct prng prng;
static uint64_t now_ns = UINT64_C(1) << 40;
static uint64_t polls, sent, answered;

static uint64_t random_u64(void *context) {
    (void)context;
    return prng_next(&prng);
}

static uint64_t mac(void *context, const uint8_t *bytes, size_t size_bytes) {
    (void)context;
    return (uint64_t)crc32c(bytes, size_bytes) * UINT64_C(0x9E3779B97F4A7C15);
}

static void need(bool is_so, const char *sentence) {
    if (!is_so) {
        fprintf(stderr, "%s\n", sentence);
        exit(1);
    }
}

static struct te_completion command(struct te_command command) {
    struct te_completion done;
    command_execute(&engine, &command, &done);
    need(done.error == TE_OK, te_error_name(done.error));
    return done;
}

static void attach(struct application *application) {
    char why[TE_WHY_BYTES];
    struct te_completion done =
        command((struct te_command){.op = TE_ATTACH, .ring_bytes = RING_BYTES});
    application->tenant = done.value;
    need(te_channel_open(done.memory_fd, done.doorbell_fd, &application->channel, why) == TE_OK,
         why);
}

static void poll_once(void) {
    int moved = engine_poll(&engine, now_ns);
    now_ns += POLL_NS + (uint64_t)moved * MOVED_NS;
    polls++;
}

static uint64_t pack(struct application *application, uint64_t at, struct te_record record,
                     const uint8_t *bytes, uint32_t size_bytes) {
    record.size_bytes = record.total_bytes = size_bytes;
    record.flags = TE_FIRST | TE_LAST;
    memcpy(application->out + at, &record, sizeof record);
    memcpy(application->out + at + sizeof record, bytes, size_bytes);
    return at + (sizeof record + size_bytes + 7) / 8 * 8;
}

static void send_all(struct application *application, uint64_t bytes) {
    need(bytes == 0 || te_channel_send(application->channel, application->out, bytes) ==
                           (int64_t)bytes, "a ring is full");
    te_channel_ring(application->channel);
}

static void serve(void) {
    int count = te_channel_receive(server.channel, server.heads, HEADS, server.payload,
                                   sizeof server.payload);
    const uint8_t *bytes = server.payload;
    uint64_t packed = 0;
    for (int i = 0; i < count; i++) {
        struct te_record record = server.heads[i];
        if (record.kind == TE_REQUEST) {
            record.kind = TE_REPLY;
            packed = pack(&server, packed, record, bytes, record.size_bytes);
        }
        bytes += record.size_bytes;
    }
    send_all(&server, packed);
}

static void take_replies(void) {
    int count = te_channel_receive(client.channel, client.heads, HEADS, client.payload,
                                   sizeof client.payload);
    for (int i = 0; i < count; i++) {
        answered += client.heads[i].kind == TE_REPLY;
        if (client.heads[i].kind == TE_FLOW_OPENED) {
            client.flows[client.flow_count++] = client.heads[i].flow;
        }
        need(client.heads[i].kind != TE_FLOW_CLOSED, "a flow was closed");
    }
}

static void ask(uint64_t window, uint64_t calls, uint32_t size_bytes) {
    static const uint8_t bytes[SIZE_MAX_BYTES];
    uint64_t packed = 0;
    for (int i = 0; i < HEADS && sent < calls && sent - answered < window; i++) {
        struct te_record record = {.call_id = sent + 1, .kind = TE_REQUEST,
                                   .flow = client.flows[sent % client.flow_count]};
        packed = pack(&client, packed, record, bytes, size_bytes);
        sent++;
    }
    send_all(&client, packed);
}

static void work(uint64_t window, uint64_t calls, uint32_t size_bytes) {
    uint64_t first_poll = polls;
    while (answered < calls) {
        ask(window, calls, size_bytes);
        poll_once();
        serve();
        poll_once();
        take_replies();
        need(polls - first_poll < IDLE_POLLS_MAX + 64 * calls, "calls are not answered");
    }
}

static void open_flows(uint32_t count) {
    struct te_engine_config config;
    const struct engine_world world = {random_u64, mac, NULL, NULL};
    struct netif *netif;
    char why[TE_WHY_BYTES];
    te_engine_config_init(&config);
    config.flows_max = 2 * FLOWS_MAX;
    config.local.address[15] = 1;
    crc32c_select();
    prng_init(&prng, 1);
    need(netif_loopback_open(&config, &netif, why) == TE_OK, why);
    need(engine_init(&engine, &config, &world, netif, now_ns, why) == TE_OK, why);
    attach(&client);
    attach(&server);
    struct te_command listen = {.op = TE_LISTEN, .channel = server.tenant, .endpoint.port = PORT};
    command(listen);
    struct te_command connect = {.op = TE_CONNECT, .channel = client.tenant,
                                 .endpoint = config.local};
    connect.endpoint.port = PORT;
    for (uint32_t i = 0; i < count; i++) {
        command(connect);
        for (int tries = 0; client.flow_count <= i && tries < 1000; tries++) {
            poll_once();
            serve();
            take_replies();
        }
        need(client.flow_count > i, "a flow did not open");
    }
}

/* So that windows have grown, and memory was touched. */
static void warm_up(uint64_t window, uint32_t size_bytes) {
    enum { WARM_CALLS = 20000 };
    work(window, WARM_CALLS, size_bytes);
    answered = sent = 0;
}

__attribute__((noinline)) void measured(uint64_t window, uint64_t calls, uint32_t size_bytes);
void measured(uint64_t window, uint64_t calls, uint32_t size_bytes) {
    work(window, calls, size_bytes);
}

/* Of processor time: what else the machine does is not in it. */
static uint64_t cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv) {
    need(argc == 5, "usage: message_cost WINDOW FLOWS SIZE CALLS");
    uint64_t window = strtoull(argv[1], NULL, 10);
    uint32_t flows = (uint32_t)strtoul(argv[2], NULL, 10);
    uint32_t size_bytes = (uint32_t)strtoul(argv[3], NULL, 10);
    uint64_t calls = strtoull(argv[4], NULL, 10);
    need(window >= 1 && window <= WINDOW_MAX && flows >= 1 && flows <= FLOWS_MAX &&
             size_bytes <= SIZE_MAX_BYTES && calls >= 1, "an argument is out of its range");
    struct te_stats before, after;
    open_flows(flows);
    warm_up(window, size_bytes);
    engine_fill_stats(&engine, &before);
    uint64_t begin_ns = cpu_ns();
    measured(window, calls, size_bytes);
    uint64_t took_ns = cpu_ns() - begin_ns;
    engine_fill_stats(&engine, &after);
    printf("{\"calls\": %llu, \"polls\": %llu, \"datagrams\": %llu, \"probes\": %llu, "
           "\"cpu_ns\": %llu}\n",
           (unsigned long long)calls, (unsigned long long)(after.polls - before.polls),
           (unsigned long long)(after.datagrams_sent - before.datagrams_sent),
           (unsigned long long)(after.probes - before.probes), (unsigned long long)took_ns);
    te_channel_close(client.channel);
    te_channel_close(server.channel);
    engine_fini(&engine, now_ns);
    return 0;
}
