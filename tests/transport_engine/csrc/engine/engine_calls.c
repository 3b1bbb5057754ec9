/* Calls between two engines over a wire that loses packets, as fast as they go.
 *
 * engine_calls LOSS_PPM WINDOW SIZE CALLS SEED PROFILE CONGESTION [udp]
 *
 * PROFILE is 0 (rack) or 1 (cloud). The wire lies in memory, or with "udp" in the kernel. Both
 * engines and both applications share one thread that never sleeps, and their clock is the time
 * for which it ran: what others do on the machine does not count. Prints one JSON object; exits
 * with 1 and a sentence if anything but every call, once and whole, came of it.
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include "engine_pair.h"

#include <time.h>

enum { SECONDS_MAX = 120 };

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static int run(struct engine_pair *pair) {
    uint64_t begin_ns = now();
    uint64_t now_ns = begin_ns;
    while (!pair->client->has_flow && !engine_pair_is_done(pair)) {
        engine_pair_step(pair, now());
    }
    uint64_t open_ns = now();
    while (!engine_pair_is_done(pair)) {
        now_ns = now();
        engine_pair_step(pair, now_ns);
        if (now_ns - begin_ns > (uint64_t)SECONDS_MAX * 1000000000) {
            pair_fail(pair, "calls were not answered in time", pair->client->count);
        }
    }
    if (pair->wrong[0] != '\0' || pair->server->count != pair->calls) {
        fprintf(stderr, "%s\n", pair->wrong[0] ? pair->wrong : "calls were not served once each");
        return 1;
    }
    struct te_stats stats = engine_pair_stats(pair);
    printf("{\"calls\": %u, \"seconds\": %.6f, \"packets\": %llu, \"lost\": %llu, "
           "\"resent\": %llu, \"spurious\": %llu, \"probes\": %llu, \"timeouts\": %llu, "
           "\"receive_calls\": %llu, \"send_calls\": %llu}\n",
           pair->calls, (double)(now() - open_ns) / 1e9,
           (unsigned long long)stats.datagrams_received + stats.faults_lost,
           (unsigned long long)stats.faults_lost, (unsigned long long)stats.packets_retransmitted,
           (unsigned long long)stats.packets_spurious, (unsigned long long)stats.probes,
           (unsigned long long)stats.timeouts, (unsigned long long)stats.netif_receive_calls,
           (unsigned long long)stats.netif_send_calls);
    engine_pair_close(pair, now());
    return 0;
}

int main(int argc, char **argv) {
    struct pair_plan plan;
    if (argc != 8 && argc != 9) {
        fprintf(stderr, "usage: see the head of engine_calls.c\n");
        return 2;
    }
    te_engine_config_init(&plan.config);
    plan.config.driver = argc == 9 ? argv[8] : "loopback";
    plan.config.fault.loss_ppm = (uint32_t)strtoul(argv[1], NULL, 10);
    plan.window = (uint32_t)strtoul(argv[2], NULL, 10);
    plan.size_bytes = (uint32_t)strtoul(argv[3], NULL, 10);
    plan.calls = (uint32_t)strtoul(argv[4], NULL, 10);
    plan.seed = strtoull(argv[5], NULL, 10);
    plan.config.profile = (uint8_t)strtoul(argv[6], NULL, 10);
    plan.config.congestion = argv[7];
    plan.now_ns = now();
    if (plan.window == 0 || plan.window > PAIR_WINDOW_MAX || plan.size_bytes > PAIR_SIZE_MAX ||
        plan.calls == 0) {
        fprintf(stderr, "a window may be 1 to %zu, a size 0 to %d, calls 1 or more\n",
                (size_t)PAIR_WINDOW_MAX, PAIR_SIZE_MAX);
        return 2;
    }
    return run(engine_pair_open(&plan));
}
