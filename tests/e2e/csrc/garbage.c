/* A hostile tenant: attaches, writes garbage over its channel at full speed, leaves, and again.
 *
 * garbage SOCKET SECONDS SEED [NAME]: each strategy for so long, or only the one of that name;
 * prints one line of JSON for each. `garbage list` prints their names. Status 1: no engine.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "siege.h"

enum {
    ROUND_NS = 10000000,  /* of strokes, between attaching and leaving */
    PATIENCE_NS = 500000000, /* with an engine that has not looked yet */
    PAUSE_NS = 1000000,   /* after a refusal */
    REFUSALS_MAX = 10000, /* in a row; then there is no engine any more */
    STROKES_BETWEEN = 16, /* looks at the clock */
    ROUNDS_MIN = 4        /* on a machine so busy that the engine is not always there in time */
};

static uint8_t *map_all(int memory_fd) {
    void *all = mmap(NULL, CHANNEL_HEADER_BYTES + 2 * (size_t)SIEGE_RING_BYTES,
                     PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
    return all == MAP_FAILED ? NULL : all;
}

static bool siege_begin(struct siege *siege, const char *socket_path, unsigned needs) {
    if (!guest_attach(&siege->guest, socket_path, SIEGE_RING_BYTES)) {
        return false;
    }
    uint8_t *all = map_all(siege->guest.memory_fd);
    if (all == NULL) {
        die("a fresh channel cannot be mapped");
    }
    siege->header = (struct channel_header *)(void *)all;
    siege->tx = all + CHANNEL_HEADER_BYTES;
    siege->rx = siege->tx + SIEGE_RING_BYTES;
    siege->memory_fd = fcntl(siege->guest.memory_fd, F_DUPFD_CLOEXEC, 0);
    siege->doorbell_fd = fcntl(siege->guest.doorbell_fd, F_DUPFD_CLOEXEC, 0);
    siege->channel = guest_open_channel(&siege->guest);
    siege->loop = (struct loop){0};
    if (needs == NEEDS_FLOW) {
        guest_loop(&siege->guest, siege->channel, &siege->loop); /* or none: it attacks anyway */
    }
    siege->tail = atomic_load(&siege->header->tx_tail);
    return true;
}

static void siege_end(struct siege *siege) {
    te_channel_close(siege->channel);
    munmap(siege->header, CHANNEL_HEADER_BYTES + 2 * (size_t)SIEGE_RING_BYTES);
    close(siege->memory_fd);
    if (siege->doorbell_fd >= 0) {
        close(siege->doorbell_fd);
    }
    guest_leave(&siege->guest);
}

/* The engine's last words wait to be read, or it has closed the connection. */
static bool is_cut_off(const struct siege *siege) {
    struct pollfd control = {.fd = siege->guest.control_fd, .events = POLLIN};
    return poll(&control, 1, 0) != 0;
}

static uint64_t strike(struct siege *siege, const struct strategy *strategy) {
    const bool is_offence =
        strcmp(strategy->expected, "none") != 0 && strcmp(strategy->expected, "any") != 0;
    const uint64_t begun_ns = now_ns();
    uint64_t took_ns = 0;
    uint64_t strokes = 0;
    while (took_ns < ROUND_NS || (is_offence && took_ns < PATIENCE_NS && !is_cut_off(siege))) {
        took_ns = now_ns() - begun_ns;
        for (int i = 0; i < STROKES_BETWEEN; i++, strokes++) {
            strategy->stroke(siege, strategy->argument);
        }
        /* The core's bell knows nothing of what was forged past it. */
        (void)!send(siege->doorbell_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return strokes;
}

static void besiege(const char *socket_path, const struct strategy *strategy, double seconds,
                    struct siege *siege) {
    const struct timespec pause = {0, PAUSE_NS};
    const uint64_t until_ns = now_ns() + (uint64_t)(seconds * 1e9);
    uint64_t rounds = 0;
    uint64_t strokes = 0;
    unsigned refusals = 0;
    while (now_ns() < until_ns || rounds < ROUNDS_MIN) {
        if (!siege_begin(siege, socket_path, strategy->needs)) {
            if (++refusals == REFUSALS_MAX) {
                fprintf(stderr, "no engine lets this application in, at \"%s\"\n", strategy->name);
                exit(1);
            }
            nanosleep(&pause, NULL);
            continue;
        }
        refusals = 0;
        strokes += strike(siege, strategy);
        rounds++;
        siege_end(siege);
    }
    printf("{\"strategy\": \"%s\", \"expected\": \"%s\", \"rounds\": %" PRIu64
           ", \"strokes\": %" PRIu64 "}\n",
           strategy->name, strategy->expected, rounds, strokes);
    fflush(stdout);
}

int main(int argc, char **argv) {
    static struct siege siege;
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (unsigned i = 0; i < STRATEGY_COUNT; i++) {
            puts(STRATEGIES[i].name);
        }
        return 0;
    }
    if (argc < 4) {
        fprintf(stderr, "usage: garbage SOCKET SECONDS SEED [NAME]\n");
        return 2;
    }
    siege.prng = strtoull(argv[3], NULL, 10);
    for (unsigned i = 0; i < STRATEGY_COUNT; i++) {
        if (argc == 4 || strcmp(argv[4], STRATEGIES[i].name) == 0) {
            besiege(argv[1], &STRATEGIES[i], atof(argv[2]), &siege);
        }
    }
    return 0;
}
