/* What a port stands on, a kernel's interface, or another process at the end of a socket: whether
 * it is there, and up.
 *
 * The drivers that read and write frames through the kernel (af_packet, af_xdp) are bound to one
 * interface for life, and do not say when it goes; virtio_user is to the process that it connected
 * to, and says when that goes. Does not know queues.
 * Source: netdevice(7).
 */
#ifndef NETIF_DPDK_INTERFACE_H
#define NETIF_DPDK_INTERFACE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "netif/dpdk_sockets.h"

enum interface_state {
    INTERFACE_UP,
    INTERFACE_DOWN,   /* or without a carrier */
    INTERFACE_GONE,   /* deleted, or in another namespace; the process ended */
    INTERFACE_REPLACED /* and another one of its name is up */
};

struct dpdk_interface {
    char name[DPDK_SOCKET_PATH_BYTES]; /* that it had at first, or the path; empty: there is none */
    unsigned index;                    /* 0: it is no kernel's */
    uint16_t port;                     /* of the process's ports */
};

struct rte_eth_dev_info;

/* Of a port that was opened just now; all zero for a card. */
void dpdk_interface_of(uint16_t port, const struct rte_eth_dev_info *info,
                       struct dpdk_interface *interface);
/* A few system calls; what the kernel does not say counts as up. */
enum interface_state dpdk_interface_look(const struct dpdk_interface *interface);
/* The same of one that is gone, whose port is of no use: whether there is another one. */
bool dpdk_interface_is_back(const struct dpdk_interface *interface);

#endif
