/* Opens a netif and echoes datagrams, or sends numbered ones to an echoer and verifies each.
 *
 * netif_pingpong DRIVER ARGUMENTS LOCAL PREFIX_BITS MTU serve
 * netif_pingpong DRIVER ARGUMENTS LOCAL PREFIX_BITS MTU ping REMOTE COUNT SIZE SECONDS
 *
 * Endpoints are address,port. Datagrams may be lost on the way and are then sent again; a wrong
 * one ends the run. Sleeps when idle, on the netif's descriptor where it has NETIF_WAKES.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/bytes.h"
#include "base/prng.h"
#include "ip/address.h"
#include "netif/netif.h"

enum {
    WINDOW = 64,
    RESEND_MS = 50,
    IDLE_POLLS = 2000,
    SLEEP_MS = 100,
    NAP_US = 50,
    COUNT_MAX = 1 << 22
};

struct run {
    struct netif *netif;
    struct te_endpoint remote;
    uint32_t count;
    uint32_t size_bytes; /* the largest datagram; they vary */
    uint64_t end_ns;
    uint32_t verified;
    uint32_t resent;
    uint32_t slept;
    uint64_t sent_ns[WINDOW]; /* of number % WINDOW; 0: not under way */
    uint32_t number[WINDOW];
    uint32_t next;
};

static volatile sig_atomic_t stopped;

static void stop(int signal_number) {
    (void)signal_number;
    stopped = 1;
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static struct te_endpoint parse_endpoint(const char *text) {
    struct te_endpoint endpoint = {0};
    char address[64] = {0};
    uint8_t ipv4[4];
    unsigned port;
    bool valid = sscanf(text, "%63[^,],%u", address, &port) == 2;
    if (valid && inet_pton(AF_INET, address, ipv4) == 1) {
        address_from_ipv4(endpoint.address, ipv4);
    } else if (!valid || inet_pton(AF_INET6, address, endpoint.address) != 1) {
        fprintf(stderr, "bad endpoint %s\n", text);
        exit(2);
    }
    endpoint.port = (uint16_t)port;
    return endpoint;
}

/* The content of datagram `number` is a function of it. Returns its size. */
static uint32_t fill(uint32_t number, uint32_t size_max, uint8_t *bytes) {
    struct prng prng;
    prng_init(&prng, number);
    uint32_t size_bytes = 4 + prng_below(&prng, size_max - 3);
    for (uint32_t at = 4; at < size_bytes; at++) {
        bytes[at] = (uint8_t)prng_next(&prng);
    }
    store_u32(bytes, number);
    return size_bytes;
}

static void idle(struct run *run) {
    struct netif *netif = run->netif;
    if (netif->ops->arm(netif)) {
        return;
    }
    run->slept++;
    uint64_t next_ns = netif->ops->next_ns(netif);
    uint64_t now_ns = now();
    int wait_ms = SLEEP_MS;
    if (next_ns < now_ns + (uint64_t)SLEEP_MS * 1000000) {
        wait_ms = next_ns <= now_ns ? 0 : (int)((next_ns - now_ns) / 1000000);
    }
    if (netif->caps & NETIF_WAKES) {
        struct pollfd pollfd = {.fd = netif->fd, .events = POLLIN};
        poll(&pollfd, 1, wait_ms);
    } else {
        nanosleep(&(struct timespec){.tv_nsec = NAP_US * 1000}, NULL);
    }
}

static void send_all(struct run *run, struct netif_datagram *datagrams, int count) {
    int taken = 0;
    while (taken < count && now() < run->end_ns && !stopped) {
        taken += run->netif->ops->tx_burst(run->netif, now(), datagrams + taken, count - taken);
    }
}

static void serve(struct run *run) {
    struct netif_datagram datagrams[TE_BURST_MAX];
    int idle_polls = 0;
    while (!stopped) {
        int received = run->netif->ops->rx_burst(run->netif, now(), datagrams, TE_BURST_MAX);
        send_all(run, datagrams, received);
        idle_polls = received > 0 ? 0 : idle_polls + 1;
        if (idle_polls > IDLE_POLLS) {
            idle(run);
        }
    }
}

static void verify(struct run *run, const struct netif_datagram *datagram) {
    uint8_t expected[NETIF_DATAGRAM_BYTES_MAX];
    uint32_t number = datagram->size_bytes < 4 ? UINT32_MAX : load_u32(datagram->bytes);
    uint32_t size_bytes = number < run->count ? fill(number, run->size_bytes, expected) : 0;
    if (size_bytes == 0 || size_bytes != datagram->size_bytes ||
        memcmp(expected, datagram->bytes, size_bytes) != 0 ||
        memcmp(&datagram->remote, &run->remote, sizeof run->remote) != 0) {
        printf("wrong: datagram %u of %u bytes\n", number, datagram->size_bytes);
        exit(1);
    }
    uint32_t slot = number % WINDOW;
    if (run->sent_ns[slot] != 0 && run->number[slot] == number) {
        run->sent_ns[slot] = 0;
        run->verified++;
    }
}

static void send_due(struct run *run) {
    static uint8_t bytes[TE_BURST_MAX][NETIF_DATAGRAM_BYTES_MAX];
    struct netif_datagram datagrams[TE_BURST_MAX];
    uint64_t now_ns = now();
    int count = 0;
    for (uint32_t slot = 0; slot < WINDOW && count < TE_BURST_MAX; slot++) {
        bool late = run->sent_ns[slot] != 0 &&
                    now_ns - run->sent_ns[slot] > (uint64_t)RESEND_MS * 1000000;
        bool fresh = run->sent_ns[slot] == 0 && run->next < run->count &&
                     run->next % WINDOW == slot;
        if (!late && !fresh) {
            continue;
        }
        run->number[slot] = fresh ? run->next++ : run->number[slot];
        run->resent += late;
        run->sent_ns[slot] = now_ns;
        datagrams[count] = (struct netif_datagram){
            .local = run->netif->local,
            .remote = run->remote,
            .bytes = bytes[count],
            .size_bytes = fill(run->number[slot], run->size_bytes, bytes[count]),
        };
        count++;
    }
    send_all(run, datagrams, count);
}

static int ping(struct run *run) {
    struct netif_datagram datagrams[TE_BURST_MAX];
    int idle_polls = 0;
    while (run->verified < run->count && now() < run->end_ns && !stopped) {
        send_due(run);
        int received = run->netif->ops->rx_burst(run->netif, now(), datagrams, TE_BURST_MAX);
        for (int i = 0; i < received; i++) {
            verify(run, &datagrams[i]);
        }
        idle_polls = received > 0 ? 0 : idle_polls + 1;
        if (idle_polls > IDLE_POLLS) {
            idle(run);
        }
    }
    return run->verified == run->count ? 0 : 1;
}

static void report(const struct run *run, uint64_t begin_ns) {
    struct rusage usage;
    struct te_stats stats = {0};
    getrusage(RUSAGE_SELF, &usage);
    if (run->netif->ops->add_stats != NULL) {
        run->netif->ops->add_stats(run->netif, &stats);
    }
    double cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("verified=%u resent=%u bad=%llu unknown=%llu slept=%u wakes=%d mtu=%u wall_s=%.3f "
           "cpu_s=%.3f\n",
           run->verified, run->resent, (unsigned long long)stats.datagrams_dropped_bad,
           (unsigned long long)stats.datagrams_dropped_unknown, run->slept,
           (run->netif->caps & NETIF_WAKES) != 0, run->netif->mtu_bytes,
           (double)(now() - begin_ns) / 1e9, cpu_s);
}

static struct netif *open_netif(char **argv) {
    struct te_engine_config config;
    char why[TE_WHY_BYTES] = "";
    struct netif *netif;
    memset(&config, 0, sizeof config);
    config.driver = argv[1];
    config.netif = argv[2];
    config.local = parse_endpoint(argv[3]);
    config.prefix_bits = (uint8_t)atoi(argv[4]);
    config.mtu_bytes = (uint32_t)atoi(argv[5]);
    if (netif_open(&config, &netif, why) != TE_OK) {
        fprintf(stderr, "%s\n", why);
        exit(3);
    }
    return netif;
}

int main(int argc, char **argv) {
    bool pings = argc == 11 && strcmp(argv[6], "ping") == 0;
    if (!pings && !(argc == 7 && strcmp(argv[6], "serve") == 0)) {
        fprintf(stderr, "usage: see the head of netif_pingpong.c\n");
        return 2;
    }
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    struct run run = {.end_ns = UINT64_MAX, .netif = open_netif(argv)};
    uint64_t begin_ns = now();
    int result = 0;
    printf("ready\n");
    fflush(stdout);
    if (pings) {
        run.remote = parse_endpoint(argv[7]);
        run.count = (uint32_t)atoi(argv[8]) % COUNT_MAX;
        run.size_bytes = (uint32_t)atoi(argv[9]);
        run.end_ns = begin_ns + strtoull(argv[10], NULL, 10) * 1000000000;
        result = ping(&run);
    } else {
        serve(&run);
    }
    report(&run, begin_ns);
    run.netif->ops->close(run.netif);
    return result;
}
