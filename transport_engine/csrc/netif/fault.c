/* Seeded loss, corruption, duplication and lateness of what another netif receives.
 *
 * The same seed over the same datagrams does the same. Late datagrams and second copies wait in a
 * bounded store, all for the same time, and therefore leave in the order in which they came; when
 * the store is full a datagram passes undisturbed.
 */
#include "netif/netif.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"

enum fault_limit { FAULT_HELD_MAX = 1024, FAULT_PPM_MAX = 1000000 };

struct held {
    uint64_t due_ns;
    struct netif_datagram datagram;
    uint8_t bytes[NETIF_DATAGRAM_BYTES_MAX];
};

struct fault {
    struct netif netif;
    struct netif *inner; /* Owner: this */
    struct te_fault rates;
    struct prng prng;
    uint64_t written; /* positions only grow; a place is position % FAULT_HELD_MAX */
    uint64_t read;
    uint64_t released; /* the receiver may still look at places between here and `read` */
    uint64_t lost;
    uint64_t duplicated;
    uint64_t corrupted;
    uint64_t reordered;
    struct held held[FAULT_HELD_MAX];
};

static bool hold(struct fault *fault, const struct netif_datagram *datagram, uint64_t now_ns) {
    if (fault->written - fault->released == FAULT_HELD_MAX ||
        datagram->size_bytes > NETIF_DATAGRAM_BYTES_MAX) {
        return false;
    }
    struct held *place = &fault->held[fault->written++ % FAULT_HELD_MAX];
    place->due_ns = now_ns + fault->rates.reorder_ns;
    place->datagram = *datagram;
    place->datagram.bytes = place->bytes;
    memcpy(place->bytes, datagram->bytes, datagram->size_bytes);
    return true;
}

static void flip_bit(struct fault *fault, struct netif_datagram *datagram) {
    uint32_t bit = prng_below(&fault->prng, datagram->size_bytes * 8);
    datagram->bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    fault->corrupted++;
}

/* Returns true if the datagram goes on now. */
static bool afflict(struct fault *fault, struct netif_datagram *datagram, uint64_t now_ns) {
    const struct te_fault *rates = &fault->rates;
    if (prng_chance(&fault->prng, rates->loss_ppm)) {
        fault->lost++;
        return false;
    }
    if (prng_chance(&fault->prng, rates->corrupt_ppm) && datagram->size_bytes > 0) {
        flip_bit(fault, datagram);
    }
    if (prng_chance(&fault->prng, rates->duplicate_ppm) && hold(fault, datagram, now_ns)) {
        fault->duplicated++;
    }
    if (prng_chance(&fault->prng, rates->reorder_ppm) && hold(fault, datagram, now_ns)) {
        fault->reordered++;
        return false;
    }
    return true;
}

static int fault_rx_burst(struct netif *netif, uint64_t now_ns, struct netif_datagram *datagrams,
                          int count) {
    struct fault *fault = (struct fault *)netif;
    int filled = 0;
    fault->released = fault->read;
    while (filled < count && fault->read < fault->written &&
           fault->held[fault->read % FAULT_HELD_MAX].due_ns <= now_ns) {
        datagrams[filled++] = fault->held[fault->read++ % FAULT_HELD_MAX].datagram;
    }
    struct netif_datagram *fresh = datagrams + filled;
    int received = fault->inner->ops->rx_burst(fault->inner, now_ns, fresh, count - filled);
    for (int i = 0; i < received; i++) {
        struct netif_datagram datagram = fresh[i];
        if (afflict(fault, &datagram, now_ns)) {
            datagrams[filled++] = datagram;
        }
    }
    return filled;
}

static int fault_tx_burst(struct netif *netif, uint64_t now_ns,
                          const struct netif_datagram *datagrams, int count) {
    struct netif *inner = ((struct fault *)netif)->inner;
    return inner->ops->tx_burst(inner, now_ns, datagrams, count);
}

static uint8_t *fault_room(struct netif *netif, int index) {
    struct netif *inner = ((struct fault *)netif)->inner;
    return inner->ops->room == NULL ? NULL : inner->ops->room(inner, index);
}

static int fault_listen(struct netif *netif, uint16_t port) {
    struct netif *inner = ((struct fault *)netif)->inner;
    return inner->ops->listen(inner, port);
}

static void fault_unlisten(struct netif *netif, uint16_t port) {
    struct netif *inner = ((struct fault *)netif)->inner;
    inner->ops->unlisten(inner, port);
}

static uint16_t fault_port_for(const struct netif *netif, const struct te_endpoint *remote) {
    const struct netif *inner = ((const struct fault *)netif)->inner;
    return inner->ops->port_for == NULL ? netif->local.port
                                        : inner->ops->port_for(inner, remote);
}

static bool fault_arm(struct netif *netif) {
    struct netif *inner = ((struct fault *)netif)->inner;
    bool waits = inner->ops->arm(inner);
    netif->caps = inner->caps; /* a driver may lose and regain the power to wake */
    return waits;
}

static uint64_t fault_next_ns(const struct netif *netif) {
    const struct fault *fault = (const struct fault *)netif;
    uint64_t inner_ns = fault->inner->ops->next_ns(fault->inner);
    if (fault->read == fault->written) {
        return inner_ns;
    }
    uint64_t due_ns = fault->held[fault->read % FAULT_HELD_MAX].due_ns;
    return due_ns < inner_ns ? due_ns : inner_ns;
}

static void fault_lost(struct netif *netif, const struct te_endpoint *remote) {
    struct netif *inner = ((struct fault *)netif)->inner;
    if (inner->ops->lost != NULL) {
        inner->ops->lost(inner, remote);
    }
}

static void fault_unanswered(struct netif *netif, const struct te_endpoint *remote,
                             uint64_t now_ns) {
    struct netif *inner = ((struct fault *)netif)->inner;
    if (inner->ops->unanswered != NULL) {
        inner->ops->unanswered(inner, remote, now_ns);
    }
}

static void fault_add_stats(const struct netif *netif, struct te_stats *stats) {
    const struct fault *fault = (const struct fault *)netif;
    stats->faults_lost += fault->lost;
    stats->faults_duplicated += fault->duplicated;
    stats->faults_corrupted += fault->corrupted;
    stats->faults_reordered += fault->reordered;
    if (fault->inner->ops->add_stats != NULL) {
        fault->inner->ops->add_stats(fault->inner, stats);
    }
}

static void fault_close(struct netif *netif) {
    struct fault *fault = (struct fault *)netif;
    fault->inner->ops->close(fault->inner);
    free(fault);
}

static const struct netif_ops fault_ops = {
    .name = "fault",
    .rx_burst = fault_rx_burst,
    .tx_burst = fault_tx_burst,
    .room = fault_room,
    .listen = fault_listen,
    .unlisten = fault_unlisten,
    .port_for = fault_port_for,
    .arm = fault_arm,
    .next_ns = fault_next_ns,
    .lost = fault_lost,
    .unanswered = fault_unanswered,
    .add_stats = fault_add_stats,
    .close = fault_close,
};

static bool rates_are_valid(const struct te_fault *rates) {
    return rates->loss_ppm <= FAULT_PPM_MAX && rates->duplicate_ppm <= FAULT_PPM_MAX &&
           rates->corrupt_ppm <= FAULT_PPM_MAX && rates->reorder_ppm <= FAULT_PPM_MAX;
}

int netif_fault_open(const struct te_fault *rates, struct netif *inner, struct netif **netif,
                     char *why) {
    if (!rates_are_valid(rates)) {
        snprintf(why, TE_WHY_BYTES, "a fault rate may be 0 to %d parts per million",
                 FAULT_PPM_MAX);
        inner->ops->close(inner);
        return TE_E_INVALID;
    }
    struct fault *fault = calloc(1, sizeof *fault);
    if (fault == NULL) {
        snprintf(why, TE_WHY_BYTES, "no memory for the store of late datagrams");
        inner->ops->close(inner);
        return TE_E_NO_MEMORY;
    }
    fault->netif = *inner;
    fault->netif.ops = &fault_ops;
    fault->inner = inner;
    fault->rates = *rates;
    prng_init(&fault->prng, rates->seed);
    *netif = &fault->netif;
    return TE_OK;
}
