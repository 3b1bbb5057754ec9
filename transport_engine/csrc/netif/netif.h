/* Packet I/O over UDP datagrams: the one interface between the engine and any driver.
 *
 * Knows endpoints and datagram payloads. Does not know Ethernet, packets of the flow protocol,
 * flows or channels. Drivers compose: `fault` wraps any other.
 */
#ifndef NETIF_NETIF_H
#define NETIF_NETIF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport_engine.h"

enum netif_limit {
    NETIF_DATAGRAM_BYTES_MAX = 9216,
    /* The upper half of this byte of a datagram is the number of the queue at which it is at home,
     * if there is such a queue. A driver of several queues may go by it. */
    NETIF_HOME_OFFSET = 11,
    NETIF_HOME_SHIFT = 4
};

/* One UDP datagram. On transmit `bytes` points to the caller's memory, which the driver copies (or
 * hands to the kernel) before tx_burst returns. On receive it points to the driver's memory, which
 * stays valid until the next rx_burst. */
struct netif_datagram {
    struct te_endpoint local;
    struct te_endpoint remote;
    uint8_t *bytes;
    uint32_t size_bytes;
    uint8_t ecn; /* the two ECN bits of the IP header, where the driver can see or set them */
    /* Not a datagram that came, but the beginning of one that `local` had sent to `remote`, where
     * nobody is at the port: that host's word, unverified, where the driver hears of it. */
    bool is_returned;
    uint64_t waited_ns; /* received: in this host until rx_burst ended; 0: nobody can know */
};

enum netif_caps {
    NETIF_WAKES = 1,   /* netif->fd becomes readable when a datagram arrives */
    NETIF_NO_LOOP = 2, /* datagrams to local.address do not come back: the engine loops them */
    NETIF_STAMPS = 4   /* received datagrams say how long they waited */
};

struct netif;

struct netif_ops {
    const char *name;
    /* Returns the datagrams received, at most `count` <= TE_BURST_MAX; never blocks. */
    int (*rx_burst)(struct netif *netif, uint64_t now_ns, struct netif_datagram *datagrams,
                    int count);
    /* Returns how many of the first datagrams were taken; the rest could not be sent now. */
    int (*tx_burst)(struct netif *netif, uint64_t now_ns, const struct netif_datagram *datagrams,
                    int count);
    /* Memory, for a datagram as long as mtu_bytes admits, from which tx_burst need not copy if the
     * datagram that is the `index`-th of it lies there. It keeps its content as long as tx_burst
     * does not take the datagram; those behind then move up. NULL: there is none now. The operation
     * may be NULL, too. */
    uint8_t *(*room)(struct netif *netif, int index);
    /* Receives datagrams for this local port too. Errors: TE_E_IN_USE, TE_E_NO_MEMORY,
     * TE_E_SYSTEM. */
    int (*listen)(struct netif *netif, uint16_t port);
    void (*unlisten)(struct netif *netif, uint16_t port);
    /* Whether what is sent there would come back to this netif and no other, so that the engine may
     * loop it. May be NULL: it is not known. Not asked with NETIF_NO_LOOP. */
    bool (*is_own)(const struct netif *netif, const struct te_endpoint *remote);
    /* The local port from which to call a peer so that what it answers comes to this queue, as far
     * as that is known. May be NULL: local.port. */
    uint16_t (*port_for)(const struct netif *netif, const struct te_endpoint *remote);
    /* With NETIF_WAKES: makes the next arrival signal netif->fd. Returns true if datagrams may be
     * waiting already, so that the caller polls instead of sleeping. */
    bool (*arm)(struct netif *netif);
    /* When the driver itself wants to be polled again (delayed datagrams, ARP retries);
     * UINT64_MAX: no timer. */
    uint64_t (*next_ns)(const struct netif *netif);
    /* Says that something sent to this peer did not arrive, so that the driver tries what asks less
     * of the path. May be NULL. */
    void (*lost)(struct netif *netif, const struct te_endpoint *remote);
    /* Says that nothing of what is sent to this peer is answered, so that the driver looks whether
     * it still knows the way. May be NULL. */
    void (*unanswered)(struct netif *netif, const struct te_endpoint *remote, uint64_t now_ns);
    void (*add_stats)(const struct netif *netif, struct te_stats *stats); /* may be NULL */
    void (*close)(struct netif *netif);
};

/* Embedded as the first member of each driver's own struct. */
struct netif {
    const struct netif_ops *ops;
    struct te_endpoint local; /* local.port: from which the engine calls */
    uint32_t mtu_bytes;       /* largest IP packet that the path may carry */
    uint32_t burst_bytes;     /* that one flow had better send at once; 0: it does not matter */
    unsigned caps;            /* enum netif_caps */
    int fd;                   /* -1 where there is none */
};

/* Each returns TE_OK or an error, and then a sentence in `why` (TE_WHY_BYTES). */
int netif_open(const struct te_engine_config *config, struct netif **netif, char *why);

int netif_udp_open(const struct te_engine_config *config, struct netif **netif, char *why);
int netif_dpdk_open(const struct te_engine_config *config, struct netif **netif, char *why);
/* A netif whose datagrams come back to itself; for tests and engine benchmarks. */
int netif_loopback_open(const struct te_engine_config *config, struct netif **netif, char *why);
/* Two netifs in memory, joined back to back; both ends belong to one thread. */
int netif_loopback_pair(const struct te_engine_config *a, const struct te_engine_config *b,
                        struct netif *pair[2], char *why);
/* Owner: takes over `inner`, also when it fails. */
int netif_fault_open(const struct te_fault *fault, struct netif *inner, struct netif **netif,
                     char *why);

#endif
