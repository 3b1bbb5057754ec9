/* Which ports the udp drivers of this process hold for several queues, so that one queue's socket
 * joins another's, and never a stranger's.
 *
 * Asked when a port is opened or closed, by any thread; not on the way of datagrams.
 */
#ifndef NETIF_UDP_PORTS_H
#define NETIF_UDP_PORTS_H

#include <stdbool.h>

#include "transport_engine.h"

/* Counts one more holder. Returns whether there was one before. */
bool udp_ports_hold(const struct te_endpoint *local);
void udp_ports_release(const struct te_endpoint *local);

#endif
