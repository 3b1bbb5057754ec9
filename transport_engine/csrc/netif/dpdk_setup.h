/* What opens an ethdev port for a number of queues, and closes it. Keeps nothing. */
#ifndef NETIF_DPDK_SETUP_H
#define NETIF_DPDK_SETUP_H

#include "netif/dpdk_port.h"

/* Starts the first port that the EAL found, for port->queues queues and IP packets up to
 * `mtu_bytes` or what it can; fills in `port` as queue 0 sees it, and a pool for each queue.
 * Errors: as dpdk_port_open. */
int dpdk_setup_open(struct dpdk_port *port, uint32_t mtu_bytes, struct rte_mempool **pools,
                    char *why);
/* No queue may be in use, nor have packets of the pools. */
void dpdk_setup_close(const struct dpdk_port *port, struct rte_mempool **pools);

#endif
