/* One bound UDP socket with the options that the udp driver wants. */
#ifndef NETIF_UDP_SOCKET_H
#define NETIF_UDP_SOCKET_H

#include "transport_engine.h"

enum udp_sharing {
    UDP_ALONE, /* nobody else has the port */
    UDP_FIRST, /* nobody else has it yet, but sockets that join may */
    UDP_JOINS  /* beside a UDP_FIRST socket of this user: datagrams come to either */
};

/* Returns a non-blocking socket bound to `*local`, which becomes what it got (port 0: a free one);
 * -1 with errno. `*family` AF_INET6 becomes AF_INET for :: on a kernel without IPv6. */
int udp_socket_open(int *family, struct te_endpoint *local, enum udp_sharing sharing);

/* Asks the kernel that each datagram come to the socket of its home queue, where the sockets of a
 * port were opened in the order of their queues. A kernel that cannot goes by addresses. */
void udp_socket_steer(int fd);

/* The enum te_error of an errno that udp_socket_open left. */
int udp_socket_error(int number);
/* Says in `why` (TE_WHY_BYTES) what failed and what to do. */
void udp_socket_explain(const struct te_endpoint *local, int number, char *why);

#endif
