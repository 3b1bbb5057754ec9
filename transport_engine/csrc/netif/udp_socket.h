/* One bound UDP socket with the options that the udp driver wants. */
#ifndef NETIF_UDP_SOCKET_H
#define NETIF_UDP_SOCKET_H

#include "transport_engine.h"

/* Returns a non-blocking socket bound to `*local`, which becomes what it got (port 0: a free one);
 * -1 with errno. `*family` AF_INET6 becomes AF_INET for :: on a kernel without IPv6. */
int udp_socket_open(int *family, struct te_endpoint *local);

/* The enum te_error of an errno that udp_socket_open left. */
int udp_socket_error(int number);
/* Says in `why` (TE_WHY_BYTES) what failed and what to do. */
void udp_socket_explain(const struct te_endpoint *local, int number, char *why);

#endif
