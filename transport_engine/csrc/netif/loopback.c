/* Packet I/O in memory: a netif whose datagrams come back to itself, or two joined back to back.
 *
 * Each end owns the bounded queue of what it will receive. A full queue takes nothing more, as a
 * full ring of a network card. Accepts datagrams for every port.
 */
#include "netif/netif.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ip/address.h"

enum loopback_limit { LOOPBACK_SLOTS = 256, LOOPBACK_MTU_BYTES_MIN = 576 };

struct loopback_slot {
    struct netif_datagram datagram;
    uint8_t bytes[NETIF_DATAGRAM_BYTES_MAX];
};

struct loopback {
    struct netif netif;
    struct loopback *peer; /* itself, the other end, or NULL when that is closed */
    uint64_t written;      /* positions only grow; a slot is position % LOOPBACK_SLOTS */
    uint64_t read;
    uint64_t released; /* the receiver may still look at slots between here and `read` */
    bool armed;
    struct loopback_slot slots[LOOPBACK_SLOTS];
};

static int loopback_rx_burst(struct netif *netif, uint64_t now_ns,
                             struct netif_datagram *datagrams, int count) {
    struct loopback *loopback = (struct loopback *)netif;
    int filled = 0;
    (void)now_ns;
    loopback->released = loopback->read;
    while (filled < count && loopback->read < loopback->written) {
        datagrams[filled++] = loopback->slots[loopback->read++ % LOOPBACK_SLOTS].datagram;
    }
    return filled;
}

static void wake(struct loopback *loopback) {
    if (loopback->armed) {
        loopback->armed = false;
        eventfd_write(loopback->netif.fd, 1);
    }
}

static void deliver(struct loopback *to, const struct loopback *from,
                    const struct netif_datagram *datagram) {
    struct loopback_slot *slot = &to->slots[to->written++ % LOOPBACK_SLOTS];
    slot->datagram = (struct netif_datagram){
        .local = datagram->remote,
        .remote = datagram->local,
        .bytes = slot->bytes,
        .size_bytes = datagram->size_bytes,
        .ecn = datagram->ecn,
    };
    if (address_is_any(datagram->local.address)) {
        memcpy(slot->datagram.remote.address, from->netif.local.address, ADDRESS_BYTES);
    }
    if (datagram->bytes != slot->bytes) {
        memcpy(slot->bytes, datagram->bytes, datagram->size_bytes);
    }
}

static uint8_t *loopback_room(struct netif *netif, int index) {
    struct loopback *peer = ((struct loopback *)netif)->peer;
    bool is_free = peer != NULL &&
                   peer->written - peer->released + (uint64_t)index < LOOPBACK_SLOTS;
    return is_free ? peer->slots[(peer->written + (uint64_t)index) % LOOPBACK_SLOTS].bytes : NULL;
}

static int loopback_tx_burst(struct netif *netif, uint64_t now_ns,
                             const struct netif_datagram *datagrams, int count) {
    struct loopback *loopback = (struct loopback *)netif;
    struct loopback *peer = loopback->peer;
    int taken = 0;
    (void)now_ns;
    if (peer == NULL) {
        return count; /* an unplugged cable */
    }
    while (taken < count && peer->written - peer->released < LOOPBACK_SLOTS) {
        if (datagrams[taken].size_bytes <= NETIF_DATAGRAM_BYTES_MAX) {
            deliver(peer, loopback, &datagrams[taken]);
        }
        taken++;
    }
    if (taken > 0) {
        wake(peer);
    }
    return taken;
}

static int loopback_listen(struct netif *netif, uint16_t port) {
    (void)netif;
    (void)port;
    return TE_OK;
}

static void loopback_unlisten(struct netif *netif, uint16_t port) {
    (void)netif;
    (void)port;
}

static bool loopback_arm(struct netif *netif) {
    struct loopback *loopback = (struct loopback *)netif;
    eventfd_t ignored;
    eventfd_read(netif->fd, &ignored);
    loopback->armed = loopback->read == loopback->written;
    return !loopback->armed;
}

static uint64_t loopback_next_ns(const struct netif *netif) {
    (void)netif;
    return UINT64_MAX;
}

static void loopback_close(struct netif *netif) {
    struct loopback *loopback = (struct loopback *)netif;
    if (loopback->peer != NULL) {
        loopback->peer->peer = NULL;
    }
    close(netif->fd);
    free(loopback);
}

static const struct netif_ops loopback_ops = {
    .name = "loopback",
    .rx_burst = loopback_rx_burst,
    .tx_burst = loopback_tx_burst,
    .room = loopback_room,
    .listen = loopback_listen,
    .unlisten = loopback_unlisten,
    .arm = loopback_arm,
    .next_ns = loopback_next_ns,
    .close = loopback_close,
};

int netif_loopback_open(const struct te_engine_config *config, struct netif **netif, char *why) {
    if (config->mtu_bytes < LOOPBACK_MTU_BYTES_MIN ||
        config->mtu_bytes > NETIF_DATAGRAM_BYTES_MAX) {
        snprintf(why, TE_WHY_BYTES, "mtu_bytes is %u; it may be %d to %d", config->mtu_bytes,
                 LOOPBACK_MTU_BYTES_MIN, NETIF_DATAGRAM_BYTES_MAX);
        return TE_E_INVALID;
    }
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    /* calloc, so that the pages of slots that no datagram reaches stay untouched */
    struct loopback *loopback = fd < 0 ? NULL : calloc(1, sizeof *loopback);
    if (loopback == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        snprintf(why, TE_WHY_BYTES, "no memory or no descriptor for a loopback netif");
        return TE_E_NO_MEMORY;
    }
    loopback->netif = (struct netif){
        .ops = &loopback_ops,
        .local = config->local,
        .mtu_bytes = config->mtu_bytes,
        .caps = NETIF_WAKES,
        .fd = fd,
    };
    if (loopback->netif.local.port == 0) {
        loopback->netif.local.port = TE_PORT_DEFAULT;
    }
    loopback->peer = loopback;
    *netif = &loopback->netif;
    return TE_OK;
}

int netif_loopback_pair(const struct te_engine_config *a, const struct te_engine_config *b,
                        struct netif *pair[2], char *why) {
    int error = netif_loopback_open(a, &pair[0], why);
    if (error != TE_OK) {
        return error;
    }
    error = netif_loopback_open(b, &pair[1], why);
    if (error != TE_OK) {
        loopback_close(pair[0]);
        return error;
    }
    ((struct loopback *)pair[0])->peer = (struct loopback *)pair[1];
    ((struct loopback *)pair[1])->peer = (struct loopback *)pair[0];
    return TE_OK;
}
