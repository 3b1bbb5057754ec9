/* One ethdev port with one receive and one transmit queue, set up as far as its driver goes. */
#ifndef NETIF_DPDK_PORT_H
#define NETIF_DPDK_PORT_H

#include <stdbool.h>
#include <stdint.h>

struct rte_mempool;

struct dpdk_port {
    uint16_t id;
    uint8_t mac[6];
    uint32_t mtu_bytes;       /* largest IP packet */
    struct rte_mempool *pool; /* Owner: this */
    bool offloads_udp;        /* completes the UDP checksum of what is sent */
    bool interrupts;          /* may signal arrivals */
};

/* Starts the first port that the EAL found, for IP packets up to `mtu_bytes` or what it can.
 * Errors: TE_E_INVALID (no port), TE_E_NO_MEMORY, TE_E_SYSTEM; `why` says what to do. */
int dpdk_port_open(struct dpdk_port *port, uint32_t mtu_bytes, char *why);
void dpdk_port_close(struct dpdk_port *port);

#endif
