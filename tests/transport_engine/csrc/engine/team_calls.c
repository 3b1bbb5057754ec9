/* Calls at engines of a team, each with a client and a server of its own in its thread, as fast as
 * they go: what a second thread adds.
 *
 * team_calls THREADS CALLS WINDOW SIZE [crossing]
 *
 * The netif is loopback. A client calls the server of its own engine, or with "crossing" that of
 * the next one, so that every packet is handed over. Nothing sleeps, and each thread's clock is the
 * time for which it ran: what others do on the machine does not count. Prints one JSON object.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shm/flag.h"
#include "transport_engine.h"

enum { SIZE_MAX_BYTES = 4096, HEADS = 64, PORT = 8000, RING_BYTES = 1 << 20 };

struct end {
    struct te_channel *channel;
    uint32_t index;
    uint32_t flow;
    bool has_flow;
};

struct seat {
    struct te_engine *engine;
    pthread_t thread;
    struct end client, server;
    uint32_t sent, answered;
    double cpu_seconds;
    struct flag done;
    struct te_record heads[HEADS];
    uint8_t payload[HEADS * SIZE_MAX_BYTES + TE_RECORD_PAYLOAD_MAX];
    uint8_t packed[HEADS * (sizeof(struct te_record) + SIZE_MAX_BYTES)];
};

static struct seat *seats;
static uint32_t seat_count, calls, window, size_bytes;

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static double cpu_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct te_completion ask(struct te_engine *engine, struct te_command command) {
    struct te_completion done;
    if (te_engine_command(engine, &command) != TE_OK) {
        fail("no room for a command");
    }
    while (te_engine_completion(engine, &done) != TE_OK) {
        te_engine_poll(engine);
    }
    if (done.error != TE_OK) {
        fail(te_error_name(done.error));
    }
    return done;
}

static void attach(struct seat *seat, struct end *end) {
    char why[TE_WHY_BYTES];
    struct te_completion done =
        ask(seat->engine, (struct te_command){.op = TE_ATTACH, .ring_bytes = RING_BYTES});
    end->index = done.value;
    if (te_channel_open(done.memory_fd, done.doorbell_fd, &end->channel, why) != TE_OK) {
        fail(why);
    }
}

static void open_all(struct te_team **team) {
    struct te_engine_config config;
    char why[TE_WHY_BYTES] = "";
    te_engine_config_init(&config);
    config.driver = "loopback";
    config.local.address[15] = 1;
    if (seat_count > 1) {
        if (te_team_open(seat_count, team, why) != TE_OK) {
            fail(why);
        }
        config.team = *team;
        config.queues = seat_count;
    }
    for (uint32_t i = 0; i < seat_count; i++) {
        config.queue = i;
        if (te_engine_open(&config, &seats[i].engine, why) != TE_OK) {
            fail(why);
        }
        attach(&seats[i], &seats[i].client);
        attach(&seats[i], &seats[i].server);
    }
}

static void join_all(uint32_t step) {
    for (uint32_t i = 0; i < seat_count; i++) {
        const struct te_endpoint here = {.port = (uint16_t)(PORT + i)};
        ask(seats[i].engine, (struct te_command){.op = TE_LISTEN, .endpoint = here,
                                                 .channel = seats[i].server.index});
        for (uint32_t each = 0; seat_count > 1 && each < seat_count; each++) {
            ask(seats[each].engine,
                (struct te_command){.op = TE_ROUTE, .endpoint = here, .queue = i});
        }
    }
    for (uint32_t i = 0; i < seat_count; i++) {
        struct te_endpoint there = {.port = (uint16_t)(PORT + (i + step) % seat_count)};
        there.address[15] = 1;
        ask(seats[i].engine, (struct te_command){.op = TE_CONNECT, .endpoint = there, .token = 1,
                                                 .channel = seats[i].client.index});
    }
}

static uint64_t pack(struct seat *seat, uint64_t at, const struct te_record *record) {
    memcpy(seat->packed + at, record, sizeof *record);
    memcpy(seat->packed + at + sizeof *record, seat->payload, record->size_bytes);
    return at + (sizeof *record + record->size_bytes + 7) / 8 * 8;
}

static void send_packed(struct seat *seat, struct end *end, uint64_t bytes) {
    if (bytes > 0 && te_channel_send(end->channel, seat->packed, bytes) != (int64_t)bytes) {
        fail("a ring is full: a smaller window, please");
    }
}

/* Takes what came; answers requests. Returns the replies. */
static uint32_t take(struct seat *seat, struct end *end) {
    uint32_t replies = 0;
    uint64_t packed = 0;
    int count = te_channel_receive(end->channel, seat->heads, HEADS, seat->payload,
                                   sizeof seat->payload);
    for (int i = 0; i < count; i++) {
        struct te_record record = seat->heads[i];
        if (record.kind == TE_FLOW_OPENED || record.kind == TE_FLOW_ACCEPTED) {
            end->flow = record.flow;
            end->has_flow = true;
        } else if (record.kind == TE_REQUEST) {
            record.kind = TE_REPLY;
            packed = pack(seat, packed, &record);
        } else if (record.kind == TE_REPLY) {
            replies++;
        } else {
            fail("a flow ended");
        }
    }
    send_packed(seat, end, packed);
    return replies;
}

static void call(struct seat *seat) {
    uint64_t packed = 0;
    struct end *client = &seat->client;
    for (int i = 0; client->has_flow && i < HEADS && seat->sent < calls &&
                    seat->sent - seat->answered < window; i++) {
        const struct te_record record = {.call_id = seat->sent++, .flow = client->flow,
                                         .kind = TE_REQUEST, .flags = TE_FIRST | TE_LAST,
                                         .size_bytes = size_bytes, .total_bytes = size_bytes};
        packed = pack(seat, packed, &record);
    }
    send_packed(seat, client, packed);
}

static bool all_are_done(void) {
    bool done = true;
    for (uint32_t i = 0; i < seat_count; i++) {
        done = done && flag_get(&seats[i].done);
    }
    return done;
}

static void *drive(void *argument) {
    struct seat *seat = argument;
    double begin = cpu_seconds();
    while (!all_are_done()) {
        call(seat);
        if (te_engine_poll(seat->engine) == 0) {
            sched_yield(); /* who waits for another thread lets it run */
        }
        take(seat, &seat->server);
        seat->answered += take(seat, &seat->client);
        if (seat->answered == calls && seat->cpu_seconds <= 0) {
            seat->cpu_seconds = cpu_seconds() - begin;
            flag_set(&seat->done);
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    struct te_team *team = NULL;
    if (argc != 5 && argc != 6) {
        fail("usage: see the head of team_calls.c");
    }
    seat_count = (uint32_t)strtoul(argv[1], NULL, 10);
    calls = (uint32_t)strtoul(argv[2], NULL, 10);
    window = (uint32_t)strtoul(argv[3], NULL, 10);
    size_bytes = (uint32_t)strtoul(argv[4], NULL, 10);
    if (seat_count < 1 || seat_count > TE_CORES_MAX || calls < 1 || window < 1 || window > 128 ||
        size_bytes > SIZE_MAX_BYTES) {
        fail("1 to 16 threads, a window of 1 to 128, a size of 0 to 4096 bytes");
    }
    seats = calloc(seat_count, sizeof *seats);
    open_all(&team);
    join_all(argc == 6 ? 1 : 0);
    for (uint32_t i = 0; i < seat_count; i++) {
        pthread_create(&seats[i].thread, NULL, drive, &seats[i]);
    }
    double rate = 0;
    struct te_stats stats = {0};
    for (uint32_t i = 0; i < seat_count; i++) {
        pthread_join(seats[i].thread, NULL);
        rate += calls / seats[i].cpu_seconds;
    }
    ask(seats[0].engine, (struct te_command){.op = TE_STATS, .stats = &stats});
    printf("{\"threads\": %u, \"calls_per_second\": %.0f, \"microseconds\": %.4f, "
           "\"handed_over\": %llu}\n", seat_count, rate, seat_count / rate * 1e6,
           (unsigned long long)stats.datagrams_handed_over);
    for (uint32_t i = 0; i < seat_count; i++) {
        te_channel_close(seats[i].client.channel);
        te_channel_close(seats[i].server.channel);
        te_engine_close(seats[i].engine);
    }
    if (team != NULL) {
        te_team_close(team);
    }
    free(seats);
    return 0;
}
