/* Packet I/O through the kernel's UDP sockets: needs no privilege and no device.
 *
 * One socket for each port, gathered in an epoll descriptor that is the netif's own; bursts of
 * recvmmsg and sendmmsg. Does not know flows: whatever the kernel says of a destination is a lost
 * datagram, which flows repair.
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

#include "ip/address.h"
#include "netif/sockaddr.h"
#include "netif/udp_control.h"
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

/* What one recvmmsg or sendmmsg takes. */
struct udp_burst {
    struct mmsghdr messages[TE_BURST_MAX];
    struct iovec vectors[TE_BURST_MAX];
    struct sockaddr_storage names[TE_BURST_MAX];
    _Alignas(struct cmsghdr) uint8_t control[TE_BURST_MAX][UDP_CONTROL_BYTES];
};

struct udp {
    struct netif netif;
    struct udp_socket sockets[UDP_SOCKETS_MAX]; /* [0] is the main one */
    int sockets_used;                           /* those behind were never open */
    int sockets_open;
    uint64_t burst_ns; /* the kernel's clock at this rx_burst */
    int family;
    bool wildcard;
    bool blocked; /* the last tx_burst was cut short by a full socket */
    unsigned turn;
    uint64_t truncated;
    struct udp_burst rx;
    struct udp_burst tx;
    uint8_t memory[TE_BURST_MAX][NETIF_DATAGRAM_BYTES_MAX];
};

/* ---- receive ---- */

static void prepare_receive(struct udp *udp, int slot) {
    struct udp_burst *burst = &udp->rx;
    burst->vectors[slot] = (struct iovec){udp->memory[slot], NETIF_DATAGRAM_BYTES_MAX};
    burst->messages[slot].msg_hdr = (struct msghdr){
        .msg_name = &burst->names[slot],
        .msg_namelen = sizeof burst->names[slot],
        .msg_iov = &burst->vectors[slot],
        .msg_iovlen = 1,
        .msg_control = burst->control[slot],
        .msg_controllen = UDP_CONTROL_BYTES,
    };
}

/* Fills slots from `slot` on. Returns the slots used; `*filled` grows by the datagrams that came
 * whole. */
static int receive_from(struct udp *udp, const struct udp_socket *from, int slot, int slots,
                        struct netif_datagram *datagrams, int *filled) {
    struct mmsghdr *messages = &udp->rx.messages[slot];
    int received = recvmmsg(from->fd, messages, (unsigned)slots, MSG_DONTWAIT, NULL);
    udp->burst_ns = received > 0 ? udp_control_now_ns() : udp->burst_ns;
    for (int i = 0; i < received; i++) {
        struct msghdr *header = &messages[i].msg_hdr;
        if ((header->msg_flags & MSG_TRUNC) != 0) {
            udp->truncated++;
        } else {
            struct netif_datagram *datagram = &datagrams[(*filled)++];
            *datagram = (struct netif_datagram){
                .local = udp->netif.local,
                .bytes = udp->memory[slot + i],
                .size_bytes = messages[i].msg_len,
            };
            datagram->local.port = from->port;
            sockaddr_read(header->msg_name, &datagram->remote);
            udp_control_read(header, udp->burst_ns, datagram);
        }
        prepare_receive(udp, slot + i);
    }
    return received > 0 ? received : 0;
}

static int udp_rx_burst(struct netif *netif, uint64_t now_ns, struct netif_datagram *datagrams,
                        int count) {
    struct udp *udp = (struct udp *)netif;
    int filled = 0;
    (void)now_ns;
    if (udp->sockets_open == 1) {
        receive_from(udp, &udp->sockets[0], 0, count, datagrams, &filled);
        return filled;
    }
    struct epoll_event events[UDP_READY_MAX];
    int ready = epoll_wait(netif->fd, events, UDP_READY_MAX, 0);
    unsigned turn = udp->turn++; /* so that no busy socket starves the others */
    int used = 0;
    for (int i = 0; i < ready && used < count; i++) {
        uint32_t index = events[(turn + (unsigned)i) % (unsigned)ready].data.u32;
        used += receive_from(udp, &udp->sockets[index], used, count - used, datagrams, &filled);
    }
    return filled;
}

/* ---- transmit ---- */

/* Returns false if this socket's family cannot express the destination. */
static bool prepare_send(struct udp *udp, int slot, const struct netif_datagram *datagram) {
    struct udp_burst *burst = &udp->tx;
    socklen_t name_bytes = sockaddr_write(&datagram->remote, udp->family, &burst->names[slot]);
    burst->vectors[slot] = (struct iovec){datagram->bytes, datagram->size_bytes};
    struct msghdr *header = &burst->messages[slot].msg_hdr;
    *header = (struct msghdr){
        .msg_name = &burst->names[slot],
        .msg_namelen = name_bytes,
        .msg_iov = &burst->vectors[slot],
        .msg_iovlen = 1,
        .msg_control = burst->control[slot],
    };
    udp_control_write(header, udp->family, udp->wildcard, datagram);
    if (header->msg_controllen == 0) {
        header->msg_control = NULL;
    }
    return name_bytes != 0;
}

/* Sends what stands in slots [0, count). Returns how many were taken: sent, or lost to an error
 * that belongs to the one datagram (no route, too large, forbidden by a filter). */
static int send_slots(struct udp *udp, const struct udp_socket *through, int count) {
    int taken = 0;
    while (taken < count) {
        int sent = sendmmsg(through->fd, udp->tx.messages + taken, (unsigned)(count - taken),
                            MSG_DONTWAIT);
        if (sent > 0) {
            taken += sent;
        } else if (errno == EAGAIN || errno == ENOBUFS) {
            break;
        } else {
            taken++;
        }
    }
    return taken;
}

static struct udp_socket *find_socket(struct udp *udp, uint16_t port) {
    for (int i = 0; i < udp->sockets_used; i++) {
        if (udp->sockets[i].fd >= 0 && udp->sockets[i].port == port) {
            return &udp->sockets[i];
        }
    }
    return NULL;
}

/* The datagrams from the front that leave by one socket, up to one that no socket can send. */
static int prepare_run(struct udp *udp, const struct netif_datagram *datagrams, int count) {
    int run = 0;
    while (run < count && datagrams[run].local.port == datagrams[0].local.port &&
           prepare_send(udp, run, &datagrams[run])) {
        run++;
    }
    return run;
}

static int udp_tx_burst(struct netif *netif, uint64_t now_ns,
                        const struct netif_datagram *datagrams, int count) {
    struct udp *udp = (struct udp *)netif;
    int taken = 0;
    (void)now_ns;
    udp->blocked = false;
    while (taken < count) {
        const struct udp_socket *through = find_socket(udp, datagrams[taken].local.port);
        int run = prepare_run(udp, datagrams + taken, count - taken);
        if (through == NULL || run == 0) {
            taken++; /* lost: its port was given up, or its family has no route from here */
            continue;
        }
        int sent = send_slots(udp, through, run);
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
static int add_socket(struct udp *udp, uint16_t port) {
    int index = find_free(udp);
    if (index < 0) {
        errno = ENOBUFS;
        return TE_E_NO_MEMORY;
    }
    struct te_endpoint local = udp->netif.local;
    local.port = port;
    int fd = udp_socket_open(&udp->family, &local);
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
    return add_socket(udp, port);
}

static void udp_unlisten(struct netif *netif, uint16_t port) {
    struct udp *udp = (struct udp *)netif;
    struct udp_socket *found = find_socket(udp, port);
    if (found != NULL && port != netif->local.port) {
        close(found->fd);
        found->fd = -1;
        udp->sockets_open--;
    }
}

/* ---- the rest of the interface ---- */

static bool udp_arm(struct netif *netif) {
    /* The epoll descriptor is level-triggered: it is readable for as long as a datagram waits. */
    return ((struct udp *)netif)->blocked;
}

static uint64_t udp_next_ns(const struct netif *netif) {
    (void)netif;
    return UINT64_MAX;
}

static void udp_add_stats(const struct netif *netif, struct te_stats *stats) {
    stats->datagrams_dropped_bad += ((const struct udp *)netif)->truncated;
}

static void udp_close(struct netif *netif) {
    struct udp *udp = (struct udp *)netif;
    for (int i = 0; i < udp->sockets_used; i++) {
        if (udp->sockets[i].fd >= 0) {
            close(udp->sockets[i].fd);
        }
    }
    if (netif->fd >= 0) {
        close(netif->fd);
    }
    free(udp);
}

static const struct netif_ops udp_ops = {
    .name = "udp",
    .rx_burst = udp_rx_burst,
    .tx_burst = udp_tx_burst,
    .listen = udp_listen,
    .unlisten = udp_unlisten,
    .arm = udp_arm,
    .next_ns = udp_next_ns,
    .add_stats = udp_add_stats,
    .close = udp_close,
};

static uint32_t smaller(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

int netif_udp_open(const struct te_engine_config *config, struct netif **netif, char *why) {
    if (config->mtu_bytes < UDP_MTU_BYTES_MIN || config->mtu_bytes > NETIF_DATAGRAM_BYTES_MAX) {
        snprintf(why, TE_WHY_BYTES, "mtu_bytes is %u; it may be %d to %d", config->mtu_bytes,
                 UDP_MTU_BYTES_MIN, NETIF_DATAGRAM_BYTES_MAX);
        return TE_E_INVALID;
    }
    struct udp *udp = calloc(1, sizeof *udp);
    if (udp == NULL) {
        snprintf(why, TE_WHY_BYTES, "no memory for the buffers of the udp driver");
        return TE_E_NO_MEMORY;
    }
    udp->netif = (struct netif){
        .ops = &udp_ops,
        .local = config->local,
        .mtu_bytes =
            smaller(config->mtu_bytes, interface_mtu_bytes(config->local.address)),
        .caps = NETIF_WAKES | NETIF_STAMPS,
        .fd = epoll_create1(EPOLL_CLOEXEC),
    };
    udp->family = address_is_ipv4(config->local.address) ? AF_INET : AF_INET6;
    udp->wildcard = address_is_any(config->local.address);
    for (int slot = 0; slot < TE_BURST_MAX; slot++) {
        prepare_receive(udp, slot);
    }
    int error = udp->netif.fd < 0 ? TE_E_SYSTEM : add_socket(udp, config->local.port);
    if (error != TE_OK) {
        udp_socket_explain(&config->local, errno, why);
        udp_close(&udp->netif);
        return error;
    }
    udp->netif.local.port = udp->sockets[0].port;
    *netif = &udp->netif;
    return TE_OK;
}
