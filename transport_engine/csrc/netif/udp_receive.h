/* Datagrams as the udp driver takes them from the kernel: a message may hold several of one sender,
 * all of one size but the last, which came one behind another (GRO).
 *
 * What does not fit into one burst waits for the next. Does not know whose sockets these are.
 * Source: udp(7) UDP_GRO; recvmmsg(2)
 */
#ifndef NETIF_UDP_RECEIVE_H
#define NETIF_UDP_RECEIVE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* struct mmsghdr */
#endif

#include <stdbool.h>
#include <sys/socket.h>

#include "netif/netif.h"
#include "netif/udp_control.h"

enum udp_receive_limit {
    UDP_MESSAGE_BYTES_MAX = 65536, /* more than IP can carry, so that nothing is cut */
    UDP_MESSAGE_STRIDE_BYTES = UDP_MESSAGE_BYTES_MAX + 17 * 64 /* not all in the same cache sets */
};

struct udp_inbox {
    struct mmsghdr messages[TE_BURST_MAX];
    struct iovec vectors[TE_BURST_MAX];
    struct sockaddr_storage names[TE_BURST_MAX];
    uint16_t ports[TE_BURST_MAX]; /* ours, at which each message came */
    _Alignas(struct cmsghdr) uint8_t control[TE_BURST_MAX][UDP_CONTROL_BYTES];
    int filled;            /* messages from the kernel */
    int next;              /* of them, not all handed on */
    uint32_t offset_bytes; /* of what is next in it */
    uint64_t calls;        /* of the kernel */
    uint64_t unfit;        /* datagrams that are none of ours: too large */
    bool has_failed;       /* the kernel has something to say of what was sent earlier */
    uint8_t (*memory)[UDP_MESSAGE_STRIDE_BYTES];
};

/* Errors: TE_E_NO_MEMORY. */
int udp_inbox_init(struct udp_inbox *inbox);
void udp_inbox_fini(struct udp_inbox *inbox);

/* Whether everything was handed on. */
bool udp_inbox_is_empty(const struct udp_inbox *inbox);
/* Forgets what was handed on: its memory is written to again. */
void udp_inbox_begin(struct udp_inbox *inbox);
/* Takes up to `count` messages from a socket, as far as there is room. */
void udp_inbox_receive(struct udp_inbox *inbox, int fd, uint16_t port, int count);
/* Hands on at most `count` datagrams to an address of ours. Returns how many. */
int udp_inbox_deal(struct udp_inbox *inbox, const struct te_endpoint *local,
                   struct netif_datagram *datagrams, int count);

#endif
