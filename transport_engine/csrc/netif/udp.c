/* Packet I/O through the kernel's UDP sockets: needs no privilege and no device.
 *
 * One socket for each port, gathered in an epoll descriptor that is the netif's own; bursts in and
 * out are udp_receive's and udp_send's, what comes back is udp_returned's. Does not know flows.
 */
#define _GNU_SOURCE
#include "netif/netif.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "ip/address.h"
#include "netif/sockaddr.h"
#include "netif/udp_ports.h"
#include "netif/udp_receive.h"
#include "netif/udp_returned.h"
#include "netif/udp_send.h"
#include "netif/udp_socket.h"

enum udp_limit {
    UDP_SOCKETS_MAX = 256,
    UDP_READY_MAX = 16, /* sockets that one rx_burst reads */
    UDP_MTU_BYTES_MIN = 576 /* RFC 791 §3.1: what every host takes */
};

struct udp_socket {
    int fd; /* -1: free */
    uint16_t port;
};

struct udp {
    struct netif netif;
    struct udp_socket sockets[UDP_SOCKETS_MAX]; /* [0] is the main one */
    int sockets_used;                           /* those behind were never open */
    int sockets_open;
    int family;
    bool wildcard;
    bool is_shared; /* one of several queues */
    bool blocked; /* the last tx_burst was cut short by a full socket */
    unsigned turn;
    struct udp_inbox inbox;
    struct udp_outbox outbox;
    struct udp_returned returned;
};

/* ---- receive ---- */

static void receive_ready(struct udp *udp, int count) {
    struct udp_inbox *inbox = &udp->inbox;
    struct epoll_event events[UDP_READY_MAX];
    int ready = epoll_wait(udp->netif.fd, events, UDP_READY_MAX, 0);
    unsigned turn = udp->turn++; /* so that no busy socket starves the others */
    for (int i = 0; i < ready && inbox->filled < count; i++) {
        const struct epoll_event *event = &events[(turn + (unsigned)i) % (unsigned)ready];
        const struct udp_socket *from = &udp->sockets[event->data.u32];
        inbox->has_failed |= (event->events & EPOLLERR) != 0;
        udp_inbox_receive(inbox, from->fd, from->port, count - inbox->filled);
    }
}

/* Takes what the kernel has to say of datagrams that were sent. It is of one socket, or of several;
 * and it is rare. */
static void take_returned(struct udp *udp) {
    struct te_endpoint local = udp->netif.local;
    udp->inbox.has_failed = udp->outbox.has_failed = false;
    for (int i = 0; i < udp->sockets_used; i++) {
        if (udp->sockets[i].fd >= 0) {
            local.port = udp->sockets[i].port;
            udp_returned_take(&udp->returned, udp->sockets[i].fd, &local);
        }
    }
}

static int udp_rx_burst(struct netif *netif, uint64_t now_ns, struct netif_datagram *datagrams,
                        int count) {
    struct udp *udp = (struct udp *)netif;
    struct udp_inbox *inbox = &udp->inbox;
    (void)now_ns;
    if (udp_inbox_is_empty(inbox)) {
        udp_inbox_begin(inbox);
        if (udp->sockets_open == 1) {
            udp_inbox_receive(inbox, udp->sockets[0].fd, udp->sockets[0].port, count);
        } else {
            receive_ready(udp, count);
        }
    }
    int dealt = 0;
    if (inbox->has_failed || udp->outbox.has_failed) {
        take_returned(udp);
        dealt = udp_returned_deal(&udp->returned, datagrams, count);
    }
    return dealt + udp_inbox_deal(inbox, &netif->local, datagrams + dealt, count - dealt);
}

/* ---- transmit ---- */

static int find_index(const struct udp *udp, uint16_t port) {
    for (int i = 0; i < udp->sockets_used; i++) {
        if (udp->sockets[i].fd >= 0 && udp->sockets[i].port == port) {
            return i;
        }
    }
    return -1;
}

static struct udp_socket *find_socket(struct udp *udp, uint16_t port) {
    int index = find_index(udp, port);
    return index < 0 ? NULL : &udp->sockets[index];
}

static int udp_tx_burst(struct netif *netif, uint64_t now_ns,
                        const struct netif_datagram *datagrams, int count) {
    struct udp *udp = (struct udp *)netif;
    int taken = 0;
    (void)now_ns;
    udp->blocked = false;
    while (taken < count) {
        const struct udp_socket *through = find_socket(udp, datagrams[taken].local.port);
        int run = 1;
        while (taken + run < count &&
               datagrams[taken + run].local.port == datagrams[taken].local.port) {
            run++;
        }
        if (through == NULL) {
            taken += run; /* lost: their port was given up */
            continue;
        }
        int sent = udp_outbox_send(&udp->outbox, through->fd, datagrams + taken, run);
        taken += sent;
        if (sent < run) {
            udp->blocked = true;
            break;
        }
    }
    return taken;
}

/* ---- sockets ---- */

static int find_free(const struct udp *udp) {
    for (int i = 0; i < udp->sockets_used; i++) {
        if (udp->sockets[i].fd < 0) {
            return i;
        }
    }
    return udp->sockets_used < UDP_SOCKETS_MAX ? udp->sockets_used : -1;
}

/* Opens the socket of `port` and adds it to the table. On failure errno tells more. */
static int add_socket(struct udp *udp, uint16_t port, enum udp_sharing sharing) {
    int index = find_free(udp);
    if (index < 0) {
        errno = ENOBUFS;
        return TE_E_NO_MEMORY;
    }
    struct te_endpoint local = udp->netif.local;
    local.port = port;
    int fd = udp_socket_open(&udp->family, &local, sharing);
    if (fd < 0) {
        return udp_socket_error(errno);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)index};
    if (epoll_ctl(udp->netif.fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return udp_socket_error(error);
    }
    udp->sockets[index] = (struct udp_socket){fd, local.port};
    udp->sockets_used += index == udp->sockets_used;
    udp->sockets_open++;
    return TE_OK;
}

static int udp_listen(struct netif *netif, uint16_t port) {
    struct udp *udp = (struct udp *)netif;
    if (port == netif->local.port) {
        return TE_OK;
    }
    if (find_socket(udp, port) != NULL) {
        return TE_E_IN_USE;
    }
    if (!udp->is_shared) {
        return add_socket(udp, port, UDP_ALONE);
    }
    struct te_endpoint local = netif->local;
    local.port = port;
    bool is_held = udp_ports_hold(&local);
    int error = add_socket(udp, port, is_held ? UDP_JOINS : UDP_FIRST);
    if (error != TE_OK) {
        udp_ports_release(&local);
    }
    return error;
}

static void close_socket(struct udp *udp, struct udp_socket *found) {
    struct te_endpoint local = udp->netif.local;
    local.port = found->port;
    /* Closing does not end the watch where a forked child has the socket, too. */
    epoll_ctl(udp->netif.fd, EPOLL_CTL_DEL, found->fd, NULL);
    close(found->fd);
    found->fd = -1;
    udp->sockets_open--;
    if (udp->is_shared && found != &udp->sockets[0]) {
        udp_ports_release(&local);
    }
}

static void udp_unlisten(struct netif *netif, uint16_t port) {
    struct udp *udp = (struct udp *)netif;
    struct udp_socket *found = find_socket(udp, port);
    if (found != NULL && port != netif->local.port) {
        close_socket(udp, found);
    }
}

/* ---- the rest of the interface ---- */

/* Not with several queues: a socket of the same port may be another queue's. */
static bool udp_is_own(const struct netif *netif, const struct te_endpoint *remote) {
    const struct udp *udp = (const struct udp *)netif;
    return !udp->is_shared && !udp->wildcard &&
           memcmp(remote->address, netif->local.address, TE_ADDRESS_BYTES) == 0 &&
           find_index(udp, remote->port) >= 0;
}

static bool udp_arm(struct netif *netif) {
    /* The epoll descriptor is level-triggered: it is readable for as long as a datagram waits. */
    const struct udp *udp = (const struct udp *)netif;
    return udp->blocked || !udp_inbox_is_empty(&udp->inbox);
}

static uint64_t udp_next_ns(const struct netif *netif) {
    (void)netif;
    return UINT64_MAX;
}

static void udp_add_stats(const struct netif *netif, struct te_stats *stats) {
    const struct udp *udp = (const struct udp *)netif;
    stats->datagrams_dropped_bad += udp->inbox.unfit;
    stats->netif_receive_calls += udp->inbox.calls;
    stats->netif_send_calls += udp->outbox.calls;
}

static void udp_close(struct netif *netif) {
    struct udp *udp = (struct udp *)netif;
    for (int i = 0; i < udp->sockets_used; i++) {
        if (udp->sockets[i].fd >= 0) {
            close_socket(udp, &udp->sockets[i]);
        }
    }
    if (netif->fd >= 0) {
        close(netif->fd);
    }
    udp_inbox_fini(&udp->inbox);
    free(udp);
}

static void udp_lost(struct netif *netif, const struct te_endpoint *remote) {
    udp_path_failed(udp_paths_find(&((struct udp *)netif)->outbox.paths, remote));
}

static const struct netif_ops udp_ops = {
    .name = "udp",
    .rx_burst = udp_rx_burst,
    .tx_burst = udp_tx_burst,
    .listen = udp_listen,
    .unlisten = udp_unlisten,
    .is_own = udp_is_own,
    .arm = udp_arm,
    .next_ns = udp_next_ns,
    .lost = udp_lost,
    .add_stats = udp_add_stats,
    .close = udp_close,
};

/* The port from which the engine calls is that of all queues. */
static int open_main(struct udp *udp, const struct te_engine_config *config) {
    enum udp_sharing sharing = !udp->is_shared     ? UDP_ALONE
                               : config->queue == 0 ? UDP_FIRST
                                                    : UDP_JOINS;
    int error = add_socket(udp, config->local.port, sharing);
    if (error == TE_OK && sharing == UDP_JOINS) {
        udp_socket_steer(udp->sockets[0].fd);
    }
    return error;
}

/* What the driver's arguments ask for: nothing, or that nothing be sent as one message. */
static int read_arguments(const char *arguments, bool *is_uncut, char *why) {
    const char *line = arguments == NULL ? "" : arguments;
    *is_uncut = strcmp(line, "no-segments") == 0;
    if (*is_uncut || *line == '\0') {
        return TE_OK;
    }
    snprintf(why, TE_WHY_BYTES,
             "the udp driver has no argument \"%.32s\"; it has \"no-segments\", to send datagrams "
             "one by one", line);
    return TE_E_INVALID;
}

/* Over loopback there is no queue but the peer's own, and a message of the kernel's costs the same
 * for one datagram as for all that it takes. */
static uint32_t burst_bytes(const struct udp *udp) {
    bool is_cheap = udp->outbox.has_segments && address_is_loopback(udp->netif.local.address);
    return is_cheap ? UDP_SEGMENTED_BYTES_MAX : 0;
}

int netif_udp_open(const struct te_engine_config *config, struct netif **netif, char *why) {
    bool is_uncut;
    if (read_arguments(config->netif, &is_uncut, why) != TE_OK) {
        return TE_E_INVALID;
    }
    if (config->mtu_bytes < UDP_MTU_BYTES_MIN || config->mtu_bytes > NETIF_DATAGRAM_BYTES_MAX) {
        snprintf(why, TE_WHY_BYTES, "mtu_bytes is %u; it may be %d to %d", config->mtu_bytes,
                 UDP_MTU_BYTES_MIN, NETIF_DATAGRAM_BYTES_MAX);
        return TE_E_INVALID;
    }
    struct udp *udp = calloc(1, sizeof *udp);
    if (udp == NULL || udp_inbox_init(&udp->inbox) != TE_OK) {
        free(udp);
        snprintf(why, TE_WHY_BYTES, "no memory for the buffers of the udp driver");
        return TE_E_NO_MEMORY;
    }
    udp->netif = (struct netif){
        .ops = &udp_ops,
        .local = config->local,
        .mtu_bytes =
            min_u32(config->mtu_bytes, interface_mtu_bytes(config->local.address)),
        .caps = NETIF_WAKES | NETIF_STAMPS,
        .fd = epoll_create1(EPOLL_CLOEXEC),
    };
    udp->family = address_is_ipv4(config->local.address) ? AF_INET : AF_INET6;
    udp->wildcard = address_is_any(config->local.address);
    udp_outbox_init(&udp->outbox, udp->family, udp->wildcard);
    udp->is_shared = config->queues > 1;
    int error = udp->netif.fd < 0 ? TE_E_SYSTEM : open_main(udp, config);
    if (error != TE_OK) {
        udp_socket_explain(&config->local, errno, why);
        udp_close(&udp->netif);
        return error;
    }
    udp->outbox.family = udp->family; /* a kernel without IPv6 has made it AF_INET */
    if (!is_uncut) {
        udp_outbox_probe(&udp->outbox, udp->sockets[0].fd);
    }
    udp->netif.burst_bytes = burst_bytes(udp);
    udp->netif.local.port = udp->sockets[0].port;
    *netif = &udp->netif;
    return TE_OK;
}
