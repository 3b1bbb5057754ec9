/* The process's port and its queues: who has it, who tells whom, and how it comes back after the
 * kernel's interface under it went. */
#include "netif/dpdk_port.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include <rte_alarm.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_spinlock.h>

#include "ip/address.h"
#include "netif/dpdk_eal.h"
#include "netif/dpdk_setup.h"
#include "netif/netif.h"

enum port_limit {
    PORT_MTU_BYTES_MIN = 576,
    PORT_ARGUMENTS_BYTES = 256,
    PORT_ALARM_US = 1
};

static const uint64_t look_ns = 100000000;
static const uint64_t retry_ns = UINT64_C(60000000000);

/* The process's port, and what its queues do not share. Opened and closed by one thread; meanwhile
 * queues look at what the lock guards, while the interface is gone. */
static struct {
    struct dpdk_port port; /* as queue 0 sees it */
    struct rte_mempool *pools[TE_CORES_MAX];
    struct dpdk_answers answers[TE_CORES_MAX];
    char name[RTE_DEV_NAME_MAX_LEN]; /* of the virtual device, and what it was made with */
    char arguments[PORT_ARGUMENTS_BYTES];
    int users;
    bool is_missing; /* the port is closed, and could not be opened anew */
    rte_spinlock_t lock; /* of port, and of: */
    int left;            /* queues that have left the port */
    bool is_opening;     /* DPDK's own thread is about to, or at it */
} device;

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

static int open_answers(const struct dpdk_port *port, char *why) {
    for (uint32_t i = 0; i < port->queues && port->queues > 1; i++) {
        if (dpdk_answers_open(&device.answers[i], i) != TE_OK) {
            snprintf(why, TE_WHY_BYTES, "no memory or no descriptor for queue %u of the port", i);
            return TE_E_NO_MEMORY;
        }
    }
    return TE_OK;
}

/* What the device was made of, to make it once more. */
static void keep_making(struct dpdk_port *port) {
    struct rte_eth_dev_info info;
    if (port->interface.name[0] == '\0' || rte_eth_dev_info_get(port->id, &info) != 0) {
        return;
    }
    const struct rte_devargs *made = rte_dev_devargs(info.device);
    const char *arguments = made == NULL || made->args == NULL ? "" : made->args;
    if (strlen(arguments) < sizeof device.arguments) {
        strcpy(device.arguments, arguments);
        snprintf(device.name, sizeof device.name, "%s", rte_dev_name(info.device));
        port->look_ns = 0;
    }
}

static int open_first(struct dpdk_port *port, const struct te_engine_config *config, char *why) {
    uint32_t queues = config->queues > 1 ? config->queues : 1;
    *port = (struct dpdk_port){.queues = (uint16_t)queues, .look_ns = UINT64_MAX};
    for (int i = 0; i < TE_CORES_MAX; i++) {
        device.answers[i].bell = -1;
    }
    int error = dpdk_eal_start(config->netif, why);
    if (error != TE_OK) {
        return error;
    }
    error = dpdk_setup_open(port, config->mtu_bytes, device.pools, why);
    if (error != TE_OK) {
        dpdk_eal_stop();
        return error;
    }
    keep_making(port);
    device.port = *port;
    device.users = 1;
    error = open_answers(port, why);
    if (error != TE_OK) {
        dpdk_port_close();
    }
    return error;
}

static int join(struct dpdk_port *port, uint32_t queue, char *why) {
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

int dpdk_port_open(struct dpdk_port *port, const struct te_engine_config *config, char *why) {
    return config->queue == 0 ? open_first(port, config, why) : join(port, config->queue, why);
}

/* ---- an interface that goes and comes ---- */

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    rte_vlog(RTE_LOG_WARNING, RTE_LOGTYPE_USER1, format, arguments);
    va_end(arguments);
}

static const char *kind_of(const struct dpdk_interface *interface) {
    return interface->index != 0 ? "interface" : "the process at";
}

static int make_again(struct dpdk_port *port, char *why) {
    if (!device.is_missing) {
        dpdk_setup_close(port, device.pools);
        device.is_missing = true;
    }
    rte_eal_hotplug_remove("vdev", device.name);
    int result = rte_eal_hotplug_add("vdev", device.name, device.arguments);
    if (result != 0) {
        snprintf(why, TE_WHY_BYTES, "%s", rte_strerror(-result));
        return TE_E_SYSTEM;
    }
    int error = dpdk_setup_open(port, port->mtu_bytes, device.pools, why);
    if (error == TE_OK && port->mtu_bytes < device.port.mtu_bytes) {
        dpdk_setup_close(port, device.pools); /* flows go on with packets of the size they had */
        snprintf(why, TE_WHY_BYTES, "its MTU is %u, and packets have up to %u bytes",
                 port->mtu_bytes, device.port.mtu_bytes);
        error = TE_E_INVALID;
    }
    device.is_missing = error != TE_OK;
    return error;
}

/* When all queues have left. On DPDK's own thread, which kept the rights that a driver needs to
 * open its sockets when the process gave them up. */
static void open_anew(void *ignored) {
    (void)ignored;
    char why[TE_WHY_BYTES];
    struct dpdk_port port = device.port;
    for (int i = 0; i < port.queues; i++) {
        dpdk_answers_drain(&device.answers[i]);
    }
    bool was_missing = device.is_missing;
    int error = make_again(&port, why);
    if (error == TE_OK) {
        say("dpdk: %s %s is back, and the port on it open again\n", kind_of(&port.interface),
            port.interface.name);
    } else if (!was_missing) {
        say("dpdk: %s %s is back, but the port on it does not open (%s): tried again each minute; "
            "a restart of the engine opens it\n", kind_of(&port.interface), port.interface.name,
            why);
    }
    rte_spinlock_lock(&device.lock);
    if (error == TE_OK) {
        port.opening++;
        device.port = port;
        device.left = 0;
    }
    device.is_opening = false;
    rte_spinlock_unlock(&device.lock);
}

/* Takes the port as it was opened anew, if it was; else has it opened once that can be. */
static enum port_change look_for_another(struct dpdk_port *port, uint64_t now_ns) {
    bool is_up = port->queue == 0 && now_ns >= port->retry_ns &&
                 dpdk_interface_is_back(&port->interface);
    rte_spinlock_lock(&device.lock);
    const struct dpdk_port opened = device.port;
    bool opens = is_up && device.left == opened.queues && !device.is_opening;
    device.is_opening |= opens;
    rte_spinlock_unlock(&device.lock);
    if (opened.opening != port->opening) {
        const uint16_t queue = port->queue;
        *port = opened;
        port->queue = queue;
        port->pool = device.pools[queue];
        port->look_ns = now_ns + look_ns;
        return PORT_BACK;
    }
    if (opens && rte_eal_alarm_set(PORT_ALARM_US, open_anew, NULL) == 0) {
        port->retry_ns = now_ns + retry_ns;
    } else if (opens) { /* no memory; at the next look there may be some */
        rte_spinlock_lock(&device.lock);
        device.is_opening = false;
        rte_spinlock_unlock(&device.lock);
    }
    return PORT_SAME;
}

enum port_change dpdk_port_look(struct dpdk_port *port, uint64_t now_ns) {
    port->look_ns = now_ns + look_ns;
    if (port->is_gone) {
        return look_for_another(port, now_ns);
    }
    enum interface_state state = dpdk_interface_look(&port->interface);
    port->is_cut = state != INTERFACE_UP;
    port->is_gone = state == INTERFACE_GONE || state == INTERFACE_REPLACED;
    if (port->is_gone && port->queue == 0) {
        say("dpdk: %s %s is gone; waiting for another one\n", kind_of(&port->interface),
            port->interface.name);
    }
    return port->is_gone ? PORT_GONE : PORT_SAME;
}

void dpdk_port_leave(void) {
    rte_spinlock_lock(&device.lock);
    device.left++;
    rte_spinlock_unlock(&device.lock);
}

int dpdk_port_receive(const struct dpdk_port *port, struct rte_mbuf **mbufs, int count) {
    return port->is_gone ? 0 : rte_eth_rx_burst(port->id, port->queue, mbufs, (uint16_t)count);
}

/* Of no frames, net_memif would look at the first one. */
int dpdk_port_send(const struct dpdk_port *port, struct rte_mbuf **mbufs, int count) {
    if (port->is_cut || count == 0) {
        return 0;
    }
    return rte_eth_tx_burst(port->id, port->queue, mbufs, (uint16_t)count);
}

void dpdk_port_close(void) {
    if (--device.users > 0) {
        return;
    }
    rte_eal_alarm_cancel(open_anew, NULL); /* waits, if it runs */
    for (int i = 0; i < TE_CORES_MAX; i++) {
        dpdk_answers_close(&device.answers[i]);
    }
    if (!device.is_missing) {
        dpdk_setup_close(&device.port, device.pools);
    }
    dpdk_eal_stop();
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

void dpdk_port_tell_rival(const struct dpdk_port *port, const uint8_t *mac) {
    if (mac != NULL && port->queue == 0) {
        say("dpdk: the card %02x:%02x:%02x:%02x:%02x:%02x says that it has this engine's address: "
            "give one of the two another\n", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    }
}

/* virtio_user says in the log, each time, that its link is down: it is asked no more. */
bool dpdk_port_is_down(struct dpdk_port *port) {
    struct rte_eth_link link;
    const bool is_down = port->is_cut || (rte_eth_link_get_nowait(port->id, &link) == 0 &&
                                          link.link_status == RTE_ETH_LINK_DOWN);
    port->is_cut = is_down && port->look_ns != UINT64_MAX;
    return is_down;
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
