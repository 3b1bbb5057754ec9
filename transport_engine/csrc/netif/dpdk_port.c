/* Setting up an ethdev port. Every feature is a wish: the least common network card will do. */
#include "netif/dpdk_port.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_mbuf.h>

#include "ip/address.h"
#include "netif/dpdk_eal.h"
#include "netif/netif.h"
#include "netif/sockaddr.h"
#include "transport_engine.h"

/* What decides on a packet's queue, of what the card can: all of a flow come to one. */
static const uint64_t RSS_WISHES = RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP;

enum port_limit {
    PORT_MTU_BYTES_MIN = 576,
    PORT_DESCRIPTORS = 1024,
    PORT_MBUFS = 8191,
    PORT_MBUFS_CACHED = 256,
    PORT_HEADER_BYTES = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN,
    PORT_SPARE_BYTES = 64 /* in a buffer, for VLAN tags and virtio's header */
};

/* The process's port, and what its queues do not share. Opened and closed by one thread. */
static struct {
    struct dpdk_port port; /* as queue 0 sees it */
    struct rte_mempool *pools[TE_CORES_MAX];
    struct dpdk_answers answers[TE_CORES_MAX];
    int users;
} device;

static uint32_t smaller(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

int dpdk_port_check(const struct te_engine_config *config, char *why) {
    bool ipv4 = address_is_ipv4(config->local.address);
    if (address_is_any(config->local.address)) {
        snprintf(why, TE_WHY_BYTES, "dpdk needs the address that its port will have as local");
        return TE_E_INVALID;
    }
    if (config->mtu_bytes < PORT_MTU_BYTES_MIN || config->mtu_bytes > NETIF_DATAGRAM_BYTES_MAX) {
        snprintf(why, TE_WHY_BYTES, "mtu_bytes is %u; it may be %d to %d", config->mtu_bytes,
                 PORT_MTU_BYTES_MIN, NETIF_DATAGRAM_BYTES_MAX);
        return TE_E_INVALID;
    }
    if (!address_is_any(config->gateway) && address_is_ipv4(config->gateway) != ipv4) {
        snprintf(why, TE_WHY_BYTES, "the gateway of an %s address is an %s address, too",
                 ipv4 ? "IPv4" : "IPv6", ipv4 ? "IPv4" : "IPv6");
        return TE_E_INVALID;
    }
    if (config->prefix_bits > (ipv4 ? 32 : 128)) {
        snprintf(why, TE_WHY_BYTES, "prefix_bits is %u; it may be 0 to %d", config->prefix_bits,
                 ipv4 ? 32 : 128);
        return TE_E_INVALID;
    }
    return TE_OK;
}

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
        mtu_bytes = smaller(mtu_bytes, info->max_mtu);
    }
    if (info->max_rx_pktlen > PORT_HEADER_BYTES) { /* some drivers tell the truth only here */
        mtu_bytes = smaller(mtu_bytes, info->max_rx_pktlen - PORT_HEADER_BYTES);
    }
    if (info->if_index != 0 && if_indextoname(info->if_index, name) != NULL) {
        mtu_bytes = smaller(mtu_bytes, interface_mtu_bytes_by_name(name));
    }
    return mtu_bytes;
}

static int create_pool(struct dpdk_port *port, uint32_t queue, char *why) {
    uint32_t room_bytes = port->mtu_bytes + PORT_HEADER_BYTES + PORT_SPARE_BYTES;
    if (room_bytes < RTE_MBUF_DEFAULT_DATAROOM) {
        room_bytes = RTE_MBUF_DEFAULT_DATAROOM;
    }
    char name[RTE_MEMPOOL_NAMESIZE];
    snprintf(name, sizeof name, "netif_%u_%u", port->id, queue);
    struct rte_mempool *pool = rte_pktmbuf_pool_create(name, PORT_MBUFS, PORT_MBUFS_CACHED, 0,
                                         (uint16_t)(room_bytes + RTE_PKTMBUF_HEADROOM),
                                         rte_eth_dev_socket_id(port->id));
    device.pools[queue] = pool;
    if (pool != NULL) {
        return TE_OK;
    }
    snprintf(why, TE_WHY_BYTES,
             "DPDK has no %u MB for packets (%s): sysctl -w vm.nr_hugepages=512 (as root)",
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

static int set_up_queues(struct dpdk_port *port) {
    uint16_t rx_descriptors = PORT_DESCRIPTORS;
    uint16_t tx_descriptors = PORT_DESCRIPTORS;
    unsigned node = (unsigned)rte_eth_dev_socket_id(port->id); /* -1, of any node, stays so */
    int result = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx_descriptors, &tx_descriptors);
    for (uint16_t i = 0; i < port->queues && result == 0; i++) {
        result = rte_eth_rx_queue_setup(port->id, i, rx_descriptors, node, NULL, device.pools[i]);
        if (result == 0) {
            result = rte_eth_tx_queue_setup(port->id, i, tx_descriptors, node, NULL);
        }
    }
    return result;
}

/* With receive interrupts if the driver has them, else without. What fails for another reason is
 * not tried again: drivers leave interrupts registered that a second configuration forgets. */
static int configure_and_start(struct dpdk_port *port, const struct rte_eth_dev_info *info) {
    port->interrupts = true;
    int result = configure(port, info);
    if (result == 0) {
        result = set_up_queues(port);
        if (result != 0) {
            return result;
        }
        result = rte_eth_dev_start(port->id);
    }
    if (result != 0) {
        port->interrupts = false;
        result = configure(port, info);
        result = result == 0 ? set_up_queues(port) : result;
        result = result == 0 ? rte_eth_dev_start(port->id) : result;
    }
    return result;
}

static int start(struct dpdk_port *port, const struct rte_eth_dev_info *info, char *why) {
    int result = configure_and_start(port, info);
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
    uint32_t most = smaller(info->max_rx_queues, info->max_tx_queues);
    if (queues <= most) {
        return TE_OK;
    }
    snprintf(why, TE_WHY_BYTES,
             "the port of the DPDK driver %s has %u queue%s, and each of %u cores needs one: give "
             "it fewer cores, or more queues (queues=%u, or qpairs=%u, for a --vdev)",
             info->driver_name, most, most == 1 ? "" : "s", queues, queues, queues);
    return TE_E_INVALID;
}

/* What each queue has for itself. */
static int open_queues(struct dpdk_port *port, char *why) {
    int error = TE_OK;
    for (uint32_t i = 0; i < port->queues && error == TE_OK; i++) {
        error = create_pool(port, i, why);
        if (error == TE_OK && port->queues > 1 &&
            dpdk_answers_open(&device.answers[i], i) != TE_OK) {
            snprintf(why, TE_WHY_BYTES, "no memory or no descriptor for queue %u of the port", i);
            error = TE_E_NO_MEMORY;
        }
    }
    port->pool = device.pools[0];
    return error;
}

int dpdk_port_open(struct dpdk_port *port, uint32_t mtu_bytes, uint32_t queues, char *why) {
    struct rte_eth_dev_info info;
    struct rte_ether_addr mac;
    *port = (struct dpdk_port){.queues = (uint16_t)queues};
    for (int i = 0; i < TE_CORES_MAX; i++) {
        device.answers[i].bell = -1;
    }
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
    device.users = 1;
    error = check_queues(&info, queues, why);
    if (error == TE_OK) {
        error = open_queues(port, why);
    }
    if (error == TE_OK) {
        error = start(port, &info, why);
    }
    if (error != TE_OK) {
        dpdk_port_close(port);
    }
    device.port = *port;
    return error;
}

int dpdk_port_join(struct dpdk_port *port, uint32_t queue, char *why) {
    if (device.users == 0 || queue >= device.port.queues) {
        snprintf(why, TE_WHY_BYTES, "queue %u of a DPDK port of which queue 0 is not open", queue);
        return TE_E_INVALID;
    }
    *port = device.port;
    port->queue = (uint16_t)queue;
    port->pool = device.pools[queue];
    device.users++;
    return TE_OK;
}

bool dpdk_port_close(struct dpdk_port *port) {
    if (--device.users > 0) {
        return false;
    }
    rte_eth_dev_stop(port->id);
    rte_eth_dev_close(port->id);
    for (int i = 0; i < TE_CORES_MAX; i++) {
        dpdk_answers_close(&device.answers[i]);
    }
    for (int i = 0; i < TE_CORES_MAX; i++) {
        rte_mempool_free(device.pools[i]);
        device.pools[i] = NULL;
    }
    return true;
}

struct dpdk_answers *dpdk_port_answers(const struct dpdk_port *port) {
    return &device.answers[port->queue];
}

void dpdk_port_tell(const struct dpdk_port *port, const struct rte_mbuf *mbuf) {
    for (uint16_t i = 0; i < port->queues; i++) {
        if (i != port->queue) {
            dpdk_answers_put(&device.answers[i], mbuf);
        }
    }
}

bool dpdk_port_is_down(const struct dpdk_port *port) {
    struct rte_eth_link link;
    return rte_eth_link_get_nowait(port->id, &link) == 0 &&
           link.link_status == RTE_ETH_LINK_DOWN;
}

bool dpdk_port_came_up(struct dpdk_port *port) {
    bool was_up = port->is_up;
    port->is_up = !dpdk_port_is_down(port);
    return port->is_up && !was_up && port->queue == 0;
}

/* Watches for edges: what the queue's descriptor is differs between drivers (an eventfd, or an
 * epoll set of one), and so does who empties it, but each interrupt is an event of its own. The
 * descriptor changes whenever a virtual device's peer comes anew; one that is closed leaves the
 * epoll set by itself. A driver that has none while its link is up will never have one. */
bool dpdk_port_watch(struct dpdk_port *port, int epoll_fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    if (!port->interrupts || !port->is_up ||
        rte_eth_dev_rx_intr_enable(port->id, port->queue) != 0) {
        return false;
    }
    int fd = rte_eth_dev_rx_intr_ctl_q_get_fd(port->id, port->queue);
    port->interrupts = fd >= 0;
    return fd >= 0 &&
           (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 || errno == EEXIST);
}
