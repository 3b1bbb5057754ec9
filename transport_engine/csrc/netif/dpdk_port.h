/* One ethdev port with a receive and a transmit queue for each engine of the process, set up as far
 * as its driver goes. */
#ifndef NETIF_DPDK_PORT_H
#define NETIF_DPDK_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "netif/dpdk_answers.h"
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
};

/* TE_E_INVALID: no port could do with these addresses and sizes; `why` says what would do. */
int dpdk_port_check(const struct te_engine_config *config, char *why);

/* Starts the first port that the EAL found, for IP packets up to `mtu_bytes` or what it can, and
 * gives queue 0 of `queues`; dpdk_port_join gives the others. A process has one port.
 * Errors: TE_E_INVALID (no port, too few queues), TE_E_NO_MEMORY, TE_E_SYSTEM; `why` says what to
 * do. */
int dpdk_port_open(struct dpdk_port *port, uint32_t mtu_bytes, uint32_t queues, char *why);
/* Errors: TE_E_INVALID, queue 0 is not open or has no such sibling. */
int dpdk_port_join(struct dpdk_port *port, uint32_t queue, char *why);
/* True: it was the last user, and the port is closed. */
bool dpdk_port_close(struct dpdk_port *port);

/* The answers of neighbours that came to other queues. */
struct dpdk_answers *dpdk_port_answers(const struct dpdk_port *port);
/* Tells the other queues of a frame that came to this one. */
void dpdk_port_tell(const struct dpdk_port *port, const struct rte_mbuf *mbuf);

/* Whether the driver says that there is no link. */
bool dpdk_port_is_down(const struct dpdk_port *port);
/* Looks at the link; whether it has come since the last look, the first included. To be told to the
 * neighbours once: false of queues other than 0. */
bool dpdk_port_came_up(struct dpdk_port *port);
/* Has arrivals signal the epoll descriptor, as far as this driver can: not without a link, by
 * dpdk_port_came_up's last look. Returns whether they will. */
bool dpdk_port_watch(struct dpdk_port *port, int epoll_fd);

#endif
