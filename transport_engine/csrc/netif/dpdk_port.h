/* One ethdev port with a receive and a transmit queue for each engine of the process, set up as far
 * as its driver goes. */
#ifndef NETIF_DPDK_PORT_H
#define NETIF_DPDK_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "netif/dpdk_answers.h"
#include "netif/dpdk_interface.h"
#include "transport_engine.h"

struct rte_mbuf;
struct rte_mempool;

/* As one queue sees it. */
struct dpdk_port {
    uint16_t id;
    uint16_t queue;
    uint16_t queues;
    uint8_t mac[6];
    uint32_t mtu_bytes;       /* largest IP packet */
    struct rte_mempool *pool; /* of this queue. Owner: the port's last user */
    bool offloads_udp;        /* completes the UDP checksum of what is sent */
    bool interrupts;          /* may signal arrivals */
    bool is_up;               /* had a link when dpdk_port_came_up was called last */
    struct dpdk_interface interface;
    uint64_t look_ns;         /* when to look at it again; UINT64_MAX: there is none */
    uint64_t retry_ns;        /* when to open it anew at the earliest, if that failed */
    uint32_t opening;         /* of the port; how often it had been opened before this one */
    bool is_cut;              /* the interface is not up */
    bool is_gone;             /* nor there: the port is of no use */
};

enum port_change { PORT_SAME, PORT_GONE, PORT_BACK };

/* TE_E_INVALID: no port could do with these addresses and sizes; `why` says what would do. */
int dpdk_port_check(const struct te_engine_config *config, char *why);

/* For queue 0 of config->queues: starts the EAL, and its first port for IP packets up to
 * config->mtu_bytes or what it can. For another queue: joins. A process has one port.
 * Errors: TE_E_INVALID (no port, too few queues, queue 0 is not open), TE_E_IN_USE,
 * TE_E_NO_MEMORY, TE_E_SYSTEM; `why` says what to do. */
int dpdk_port_open(struct dpdk_port *port, const struct te_engine_config *config, char *why);
/* The last of its queues closes the port, and the EAL. */
void dpdk_port_close(void);

/* Looks at the interface that the port stands on, when port->look_ns has come. PORT_GONE, once: the
 * caller lets go of all packets and calls dpdk_port_leave. PORT_BACK: the port was opened anew,
 * maybe at another Ethernet address. Both are logged. */
enum port_change dpdk_port_look(struct dpdk_port *port, uint64_t now_ns);
void dpdk_port_leave(void);

/* As rte_eth_rx_burst and rte_eth_tx_burst; nothing of a port that is gone. */
int dpdk_port_receive(const struct dpdk_port *port, struct rte_mbuf **mbufs, int count);
int dpdk_port_send(const struct dpdk_port *port, struct rte_mbuf **mbufs, int count);

/* The answers of neighbours that came to other queues. */
struct dpdk_answers *dpdk_port_answers(const struct dpdk_port *port);
/* Tells the other queues of a frame that came to this one. */
void dpdk_port_tell(const struct dpdk_port *port, const struct rte_mbuf *mbuf);

/* Logs that another card claims this port's address; NULL: none does. Queue 0 does so for all. */
void dpdk_port_tell_rival(const struct dpdk_port *port, const uint8_t *mac);

/* Whether the driver, or the interface that it stands on, says that there is no link. */
bool dpdk_port_is_down(struct dpdk_port *port);
/* Looks at the link; whether it has come since the last look, the first included. To be told to the
 * neighbours once: false of queues other than 0. */
bool dpdk_port_came_up(struct dpdk_port *port);
/* Has arrivals signal the epoll descriptor, as far as this driver can: not without a link, by
 * dpdk_port_came_up's last look. Returns whether they will. */
bool dpdk_port_watch(struct dpdk_port *port, int epoll_fd);

#endif
