/* The kernel's interface that a port stands on: whether it is there, and up.
 *
 * The drivers that read and write frames through the kernel (af_packet, af_xdp) are bound to one
 * interface for life, and do not say when it goes. Does not know ports or queues.
 * Source: netdevice(7).
 */
#ifndef NETIF_DPDK_INTERFACE_H
#define NETIF_DPDK_INTERFACE_H

#include <net/if.h>
#include <stdbool.h>

enum interface_state {
    INTERFACE_UP,
    INTERFACE_DOWN,   /* or without a carrier */
    INTERFACE_GONE,   /* deleted, or in another namespace */
    INTERFACE_REPLACED /* and another one of its name is up */
};

struct dpdk_interface {
    char name[IF_NAMESIZE]; /* that it had at first */
    unsigned index;         /* 0: the port stands on none */
};

struct rte_eth_dev_info;

/* Of a port that was opened just now; all zero for a card. */
void dpdk_interface_of(const struct rte_eth_dev_info *info, struct dpdk_interface *interface);
/* A few system calls; what the kernel does not say counts as up. */
enum interface_state dpdk_interface_look(const struct dpdk_interface *interface);

#endif
