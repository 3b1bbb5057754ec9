/* What the kernel keeps of datagrams that came back: the beginning of each that reached a host
 * where nobody is at its port, as that host's ICMP message quotes it.
 *
 * Everything else that the kernel has to say of a destination is taken and forgotten: a lost
 * datagram, which flows repair. Does not know what a datagram means.
 * Source: ip(7) IP_RECVERR; RFC 1122 §3.2.2.1, RFC 4443 §3.1 (codes)
 */
#ifndef NETIF_UDP_RETURNED_H
#define NETIF_UDP_RETURNED_H

#include <stdbool.h>

#include "netif/netif.h"

enum udp_returned_limit {
    UDP_RETURNED_MAX = 16,         /* kept at one time; who sent the others will send again */
    UDP_RETURNED_BYTES_MAX = 256,  /* of each; longer ones are forgotten */
    UDP_RETURNED_LOOKS_MAX = 256   /* at one socket, in one go */
};

struct udp_returned {
    struct netif_datagram datagrams[UDP_RETURNED_MAX];
    uint8_t bytes[UDP_RETURNED_MAX][UDP_RETURNED_BYTES_MAX];
    int count;
};

/* Has the kernel keep them for a socket. */
void udp_returned_ask(int fd, int family);
/* Takes what it keeps for a socket of ours, with that local endpoint. */
void udp_returned_take(struct udp_returned *returned, int fd, const struct te_endpoint *local);
/* Hands on at most `count`, and forgets the others. Returns how many. */
int udp_returned_deal(struct udp_returned *returned, struct netif_datagram *datagrams, int count);

#endif
