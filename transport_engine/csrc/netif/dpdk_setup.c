/* Setting up an ethdev port. Every feature is a wish: the least common network card will do. */
#include "netif/dpdk_setup.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_mbuf.h>

#include "base/limits.h"
#include "netif/dpdk_eal.h"
#include "netif/sockaddr.h"

/* What decides on a packet's queue, of what the card can: all of a flow come to one. */
static const uint64_t RSS_WISHES = RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP;

enum setup_limit {
    PORT_DESCRIPTORS = 1024,
    PORT_MBUFS = 8191,
    PORT_MBUFS_CACHED = 256,
    PORT_HEADER_BYTES = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN,
    PORT_SPARE_BYTES = 64 /* in a buffer, for VLAN tags and virtio's header */
};

static int find_port(struct dpdk_port *port, char *why) {
    uint64_t id = rte_eth_find_next_owned_by(0, RTE_ETH_DEV_NO_OWNER);
    if (id < RTE_MAX_ETHPORTS) {
        port->id = (uint16_t)id;
        return TE_OK;
    }
    snprintf(why, TE_WHY_BYTES,
             "DPDK found no port (%.100s): name a --vdev=net_... that works, or -a <PCI address> "
             "of a card bound to vfio-pci (dpdk-devbind.py --status)",
             dpdk_eal_last_words());
    return TE_E_INVALID;
}

/* A port on top of a kernel interface keeps that interface's MTU: it is the machine's. */
static uint32_t usable_mtu_bytes(const struct rte_eth_dev_info *info, uint32_t wanted_bytes) {
    char name[IF_NAMESIZE];
    uint32_t mtu_bytes = wanted_bytes;
    if (info->max_mtu >= info->min_mtu && info->max_mtu > 0) {
        mtu_bytes = min_u32(mtu_bytes, info->max_mtu);
    }
    if (info->max_rx_pktlen > PORT_HEADER_BYTES) { /* some drivers tell the truth only here */
        mtu_bytes = min_u32(mtu_bytes, info->max_rx_pktlen - PORT_HEADER_BYTES);
    }
    if (info->if_index != 0 && if_indextoname(info->if_index, name) != NULL) {
        mtu_bytes = min_u32(mtu_bytes, interface_mtu_bytes_by_name(name));
    }
    return mtu_bytes;
}

static int create_pool(const struct dpdk_port *port, uint32_t queue, struct rte_mempool **pool,
                       char *why) {
    uint32_t room_bytes = port->mtu_bytes + PORT_HEADER_BYTES + PORT_SPARE_BYTES;
    if (room_bytes < RTE_MBUF_DEFAULT_DATAROOM) {
        room_bytes = RTE_MBUF_DEFAULT_DATAROOM;
    }
    char name[RTE_MEMPOOL_NAMESIZE];
    snprintf(name, sizeof name, "netif_%u_%u", port->id, queue);
    *pool = rte_pktmbuf_pool_create(name, PORT_MBUFS, PORT_MBUFS_CACHED, 0,
                                    (uint16_t)(room_bytes + RTE_PKTMBUF_HEADROOM),
                                    rte_eth_dev_socket_id(port->id));
    if (*pool != NULL) {
        return TE_OK;
    }
    snprintf(why, TE_WHY_BYTES,
             "DPDK has no %u MB for packets (%s): sysctl -w vm.nr_hugepages=512 (as root), or a "
             "larger -m or --socket-limit, if its arguments have one",
             (PORT_MBUFS * room_bytes >> 20) + 1, rte_strerror(rte_errno));
    return TE_E_NO_MEMORY;
}

static int configure(struct dpdk_port *port, const struct rte_eth_dev_info *info) {
    struct rte_eth_conf conf;
    memset(&conf, 0, sizeof conf);
    conf.rxmode.mtu = port->mtu_bytes;
    conf.rxmode.offloads = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
    conf.txmode.offloads = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
    conf.intr_conf.rxq = port->interrupts;
    port->offloads_udp = conf.txmode.offloads != 0;
    if (port->queues > 1 && info->flow_type_rss_offloads != 0) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = info->flow_type_rss_offloads & RSS_WISHES;
    }
    return rte_eth_dev_configure(port->id, port->queues, port->queues, &conf);
}

static int set_up_queues(const struct dpdk_port *port, struct rte_mempool *const *pools) {
    uint16_t rx_descriptors = PORT_DESCRIPTORS;
    uint16_t tx_descriptors = PORT_DESCRIPTORS;
    unsigned node = (unsigned)rte_eth_dev_socket_id(port->id); /* -1, of any node, stays so */
    int result = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx_descriptors, &tx_descriptors);
    for (uint16_t i = 0; i < port->queues && result == 0; i++) {
        result = rte_eth_rx_queue_setup(port->id, i, rx_descriptors, node, NULL, pools[i]);
        if (result == 0) {
            result = rte_eth_tx_queue_setup(port->id, i, tx_descriptors, node, NULL);
        }
    }
    return result;
}

/* With receive interrupts if the driver has them, else without. What fails for another reason is
 * not tried again: drivers leave interrupts registered that a second configuration forgets. */
static int configure_and_start(struct dpdk_port *port, const struct rte_eth_dev_info *info,
                               struct rte_mempool *const *pools) {
    port->interrupts = true;
    int result = configure(port, info);
    if (result == 0) {
        result = set_up_queues(port, pools);
        if (result != 0) {
            return result;
        }
        result = rte_eth_dev_start(port->id);
    }
    if (result != 0) {
        port->interrupts = false;
        result = configure(port, info);
        result = result == 0 ? set_up_queues(port, pools) : result;
        result = result == 0 ? rte_eth_dev_start(port->id) : result;
    }
    return result;
}

static int start(struct dpdk_port *port, const struct rte_eth_dev_info *info,
                 struct rte_mempool *const *pools, char *why) {
    int result = configure_and_start(port, info, pools);
    if (result != 0) {
        snprintf(why, TE_WHY_BYTES, "the DPDK driver %s does not start its port: %s",
                 info->driver_name, rte_strerror(-result));
        return TE_E_SYSTEM;
    }
    /* Neighbours are asked for by multicast. */
    rte_eth_allmulticast_enable(port->id);
    /* From here on an error is an answer: whether a driver has interrupts is asked by trying. */
    rte_log_set_level_pattern("lib.ethdev", RTE_LOG_CRIT);
    return TE_OK;
}

static int check_queues(const struct rte_eth_dev_info *info, uint32_t queues, char *why) {
    uint32_t most = min_u32(info->max_rx_queues, info->max_tx_queues);
    if (queues <= most) {
        return TE_OK;
    }
    snprintf(why, TE_WHY_BYTES,
             "the port of the DPDK driver %s has %u queue%s, and each of %u cores needs one: give "
             "it fewer cores, or more queues (queues=%u, or qpairs=%u, for a --vdev)",
             info->driver_name, most, most == 1 ? "" : "s", queues, queues, queues);
    return TE_E_INVALID;
}

int dpdk_setup_open(struct dpdk_port *port, uint32_t mtu_bytes, struct rte_mempool **pools,
                    char *why) {
    struct rte_eth_dev_info info;
    struct rte_ether_addr mac;
    int error = find_port(port, why);
    if (error != TE_OK) {
        return error;
    }
    if (rte_eth_dev_info_get(port->id, &info) != 0 || rte_eth_macaddr_get(port->id, &mac) != 0) {
        snprintf(why, TE_WHY_BYTES, "DPDK's port %u does not say what it can", port->id);
        return TE_E_SYSTEM;
    }
    memcpy(port->mac, mac.addr_bytes, sizeof port->mac);
    port->mtu_bytes = usable_mtu_bytes(&info, mtu_bytes);
    dpdk_interface_of(port->id, &info, &port->interface);
    error = check_queues(&info, port->queues, why);
    for (uint32_t i = 0; i < port->queues && error == TE_OK; i++) {
        error = create_pool(port, i, &pools[i], why);
    }
    port->pool = pools[0];
    if (error == TE_OK) {
        error = start(port, &info, pools, why);
    }
    if (error != TE_OK) {
        dpdk_setup_close(port, pools);
    }
    return error;
}

void dpdk_setup_close(const struct dpdk_port *port, struct rte_mempool **pools) {
    rte_eth_dev_stop(port->id);
    rte_eth_dev_close(port->id);
    for (int i = 0; i < port->queues; i++) {
        rte_mempool_free(pools[i]);
        pools[i] = NULL;
    }
}
