/* How a port spreads what it receives over its queues, as far as its driver tells. */
#ifndef NETIF_DPDK_RSS_H
#define NETIF_DPDK_RSS_H

#include <stdbool.h>
#include <stdint.h>

#include "ip/rss.h"

/* Of UDP over IPv4, or IPv6. What a driver does not tell, or does by other things than addresses
 * and ports, leaves the table empty. */
void dpdk_rss_read(uint16_t port_id, bool ipv4, struct rss *rss);

#endif
