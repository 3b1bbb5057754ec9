/* Datagrams as the udp driver gives them to the kernel: a run to one peer, all of one size but the
 * last, goes as one message that the kernel or the card cuts (GSO).
 *
 * Where the kernel, the path or the card will not cut, the same datagrams go one by one, and so do
 * those after it for a while, as where such messages may get lost.
 * Source: udp(7) UDP_SEGMENT; W. de Bruijn and E. Dumazet, "Optimizing UDP for content delivery:
 * GSO, pacing and zerocopy", Linux Plumbers 2018
 */
#ifndef NETIF_UDP_SEND_H
#define NETIF_UDP_SEND_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* struct mmsghdr */
#endif

#include <stdbool.h>
#include <sys/socket.h>

#include "netif/netif.h"
#include "netif/udp_control.h"
#include "netif/udp_paths.h"

enum udp_message {
    UDP_SEGMENTED_BYTES_MAX = 65000 /* of one message: an IP packet, less headers and options */
};

struct udp_outbox {
    struct mmsghdr messages[TE_BURST_MAX];
    struct iovec vectors[TE_BURST_MAX];
    struct sockaddr_storage names[TE_BURST_MAX];
    int datagrams[TE_BURST_MAX]; /* in each message */
    _Alignas(struct cmsghdr) uint8_t control[TE_BURST_MAX][UDP_CONTROL_BYTES];
    int family;
    bool wildcard;
    bool has_segments; /* this kernel knows UDP_SEGMENT */
    bool has_failed;   /* the kernel may have something to say of what was sent earlier */
    uint64_t calls;    /* of the kernel */
    struct udp_paths paths;
};

void udp_outbox_init(struct udp_outbox *outbox, int family, bool wildcard);
/* Asks the kernel of a socket what it can. */
void udp_outbox_probe(struct udp_outbox *outbox, int fd);

/* Sends datagrams through one socket, at most TE_BURST_MAX. Returns how many of the first were
 * taken: sent, or lost to an error that belongs to the one datagram (no route, too large, forbidden
 * by a filter, a family that the socket has not). */
int udp_outbox_send(struct udp_outbox *outbox, int fd, const struct netif_datagram *datagrams,
                    int count);

#endif
