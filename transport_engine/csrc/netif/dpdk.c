/* Packet I/O past the kernel, through any DPDK ethdev.
 *
 * An ip host between the frames of one queue each way and the engine's datagrams. The EAL and the
 * port are the process's, so a process has one such netif for each queue in its life.
 */
#include "netif/netif.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "ip/host.h"
#include "netif/dpdk_eal.h"
#include "netif/dpdk_port.h"
#include "netif/dpdk_rss.h"

enum dpdk_limit { DPDK_OWN_FRAMES_MAX = 64 /* in one go */, DPDK_EVENTS_MAX = 2 };

struct dpdk {
    struct netif netif;
    struct dpdk_port port;
    struct rte_mbuf *held[TE_BURST_MAX]; /* the engine may look at them until the next rx_burst */
    int held_count;
    struct rte_mbuf *early[TE_BURST_MAX]; /* came while we went to sleep */
    int early_count;
    struct rte_mbuf *out[TE_BURST_MAX]; /* for the next datagrams to be sent */
    int out_count;
    bool armed;
    uint64_t bad;
    struct rss rss; /* of the port; nothing, where it has one queue */
    struct host host;
};

/* ---- frames of the host's own ---- */

/* Sends questions, answers, and what waited for a neighbour; what does not fit now is lost, and
 * was lost on a wire as well. */
static void send_own_frames(struct dpdk *dpdk, uint64_t now_ns) {
    for (int i = 0; i < DPDK_OWN_FRAMES_MAX; i++) {
        if (dpdk->host.waiting_count == 0 && now_ns < host_next_ns(&dpdk->host)) {
            return;
        }
        struct rte_mbuf *mbuf = rte_pktmbuf_alloc(dpdk->port.pool);
        if (mbuf == NULL) {
            return;
        }
        size_t size_bytes = host_poll(&dpdk->host, now_ns, rte_pktmbuf_mtod(mbuf, uint8_t *));
        mbuf->data_len = (uint16_t)size_bytes;
        mbuf->pkt_len = (uint32_t)size_bytes;
        if (size_bytes == 0 || dpdk_port_send(&dpdk->port, &mbuf, 1) == 0) {
            rte_pktmbuf_free(mbuf);
        }
        if (size_bytes == 0) {
            return;
        }
    }
}

/* ---- receive ---- */

/* Has netif.fd wait for what comes from now on: a look before it sleeps finds what has come. */
static void clear_events(const struct dpdk *dpdk) {
    struct epoll_event ignored[DPDK_EVENTS_MAX];
    epoll_wait(dpdk->netif.fd, ignored, DPDK_EVENTS_MAX, 0);
}

static void disarm(struct dpdk *dpdk) {
    rte_eth_dev_rx_intr_disable(dpdk->port.id, dpdk->port.queue);
    clear_events(dpdk);
    dpdk->armed = false;
}

static int take_frames(struct dpdk *dpdk, struct rte_mbuf **mbufs, int count) {
    if (dpdk->early_count == 0) {
        return dpdk_port_receive(&dpdk->port, mbufs, count);
    }
    int taken = dpdk->early_count < count ? dpdk->early_count : count;
    dpdk->early_count -= taken;
    memcpy(mbufs, dpdk->early, (size_t)taken * sizeof *mbufs);
    memmove(dpdk->early, dpdk->early + taken, (size_t)dpdk->early_count * sizeof *mbufs);
    return taken;
}

/* NONE means: not verified, but from a virtual device that vouches for the bytes. */
static bool is_checked(const struct rte_mbuf *mbuf) {
    uint64_t l4 = mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
    return l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD || l4 == RTE_MBUF_F_RX_L4_CKSUM_NONE;
}

static bool receive_frame(struct dpdk *dpdk, uint64_t now_ns, struct rte_mbuf *mbuf,
                          struct netif_datagram *datagram) {
    if (mbuf->nb_segs > 1 && rte_pktmbuf_linearize(mbuf) != 0) {
        dpdk->bad++;
        return false;
    }
    struct host_frame frame = {rte_pktmbuf_mtod(mbuf, uint8_t *), mbuf->data_len,
                               is_checked(mbuf)};
    return host_receive(&dpdk->host, now_ns, &frame, datagram);
}

/* Answers that other queues were given. */
static void receive_answers(struct dpdk *dpdk, uint64_t now_ns) {
    struct rte_mbuf *mbufs[TE_BURST_MAX];
    struct netif_datagram none;
    int count = dpdk_answers_take(dpdk_port_answers(&dpdk->port), mbufs, TE_BURST_MAX);
    for (int i = 0; i < count; i++) {
        receive_frame(dpdk, now_ns, mbufs[i], &none);
        rte_pktmbuf_free(mbufs[i]);
    }
    if (count > 0) {
        clear_events(dpdk);
    }
}

static void free_mbufs(struct dpdk *dpdk) {
    rte_pktmbuf_free_bulk(dpdk->held, (unsigned)dpdk->held_count);
    rte_pktmbuf_free_bulk(dpdk->early, (unsigned)dpdk->early_count);
    rte_pktmbuf_free_bulk(dpdk->out, (unsigned)dpdk->out_count);
    dpdk->held_count = dpdk->early_count = dpdk->out_count = 0;
}

static void look_at_port(struct dpdk *dpdk, uint64_t now_ns) {
    enum port_change change = dpdk_port_look(&dpdk->port, now_ns);
    if (change == PORT_GONE) {
        free_mbufs(dpdk); /* what the engine has in them to send, tx_burst takes unread */
        dpdk_port_leave();
    } else if (change == PORT_BACK) {
        memcpy(dpdk->host.config.mac, dpdk->port.mac, sizeof dpdk->host.config.mac);
        dpdk->host.config.offload = dpdk->port.offloads_udp;
    }
}

static int dpdk_rx_burst(struct netif *netif, uint64_t now_ns, struct netif_datagram *datagrams,
                         int count) {
    struct dpdk *dpdk = (struct dpdk *)netif;
    int filled = 0;
    if (rte_lcore_id() == LCORE_ID_ANY) {
        dpdk_eal_enter();
    }
    if (dpdk->armed) {
        disarm(dpdk);
    }
    if (now_ns >= dpdk->port.look_ns) {
        look_at_port(dpdk, now_ns);
    }
    if (dpdk->port.is_gone) {
        return 0;
    }
    rte_pktmbuf_free_bulk(dpdk->held, (unsigned)dpdk->held_count);
    dpdk->held_count = take_frames(dpdk, dpdk->held, count);
    for (int i = 0; i < dpdk->held_count; i++) {
        if (i + 1 < dpdk->held_count) {
            rte_prefetch0(rte_pktmbuf_mtod(dpdk->held[i + 1], uint8_t *));
        }
        bool is_datagram = receive_frame(dpdk, now_ns, dpdk->held[i], &datagrams[filled]);
        filled += is_datagram;
        if (!is_datagram && dpdk->port.queues > 1) {
            dpdk_port_tell(&dpdk->port, dpdk->held[i]);
        }
    }
    receive_answers(dpdk, now_ns);
    dpdk_port_tell_rival(&dpdk->port, host_rival(&dpdk->host));
    send_own_frames(dpdk, now_ns);
    return filled;
}

/* ---- transmit ---- */

static void ask_offload(const struct dpdk *dpdk, struct rte_mbuf *mbuf) {
    if (!dpdk->port.offloads_udp) {
        return;
    }
    mbuf->l2_len = ETHERNET_HEADER_BYTES;
    mbuf->l3_len = dpdk->host.ipv4 ? 20 : 40;
    mbuf->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM |
                      (dpdk->host.ipv4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
}

/* Has mbufs for `count` datagrams, and as many as will do for a burst while it is at it. */
static bool fill_out(struct dpdk *dpdk, int count) {
    int missing = TE_BURST_MAX - dpdk->out_count;
    if (count <= dpdk->out_count) {
        return true;
    }
    bool has_more = !dpdk->port.is_gone &&
                    rte_pktmbuf_alloc_bulk(dpdk->port.pool, dpdk->out + dpdk->out_count,
                                           (unsigned)missing) == 0;
    dpdk->out_count += has_more ? missing : 0;
    return has_more;
}

static uint8_t *dpdk_room(struct netif *netif, int index) {
    struct dpdk *dpdk = (struct dpdk *)netif;
    return fill_out(dpdk, index + 1) ? rte_pktmbuf_mtod(dpdk->out[index], uint8_t *) +
                                           host_header_bytes(&dpdk->host)
                                     : NULL;
}

/* Writes the frames of datagrams into their mbufs; `origin` says which datagram each frame is of.
 * Returns the frames. */
static int write_frames(struct dpdk *dpdk, uint64_t now_ns, const struct netif_datagram *datagrams,
                        int count, struct rte_mbuf **mbufs, int *origin) {
    int frames = 0;
    for (int i = 0; i < count; i++) {
        struct rte_mbuf *mbuf = dpdk->out[i];
        size_t size_bytes = host_send(&dpdk->host, now_ns, &datagrams[i],
                                      rte_pktmbuf_mtod(mbuf, uint8_t *));
        if (size_bytes != 0) {
            mbuf->data_len = (uint16_t)size_bytes;
            mbuf->pkt_len = (uint32_t)size_bytes;
            ask_offload(dpdk, mbuf);
            mbufs[frames] = mbuf;
            origin[frames++] = i;
        }
    }
    return frames;
}

/* Lets go of the mbufs of the first `taken` datagrams: the port has those of the first `sent`
 * frames, the others are free. */
static void drop_out(struct dpdk *dpdk, const int *origin, int sent, int taken) {
    int frame = 0;
    for (int i = 0; i < taken; i++) {
        if (frame < sent && origin[frame] == i) {
            frame++;
        } else {
            rte_pktmbuf_free(dpdk->out[i]);
        }
    }
    dpdk->out_count -= taken;
    memmove(dpdk->out, dpdk->out + taken, (size_t)dpdk->out_count * sizeof dpdk->out[0]);
}

static int dpdk_tx_burst(struct netif *netif, uint64_t now_ns,
                         const struct netif_datagram *datagrams, int count) {
    struct dpdk *dpdk = (struct dpdk *)netif;
    struct rte_mbuf *mbufs[TE_BURST_MAX];
    int origin[TE_BURST_MAX];
    if (dpdk->port.is_gone) {
        return count; /* as into a port without a link, below */
    }
    if (!fill_out(dpdk, count)) {
        return 0;
    }
    int frames = write_frames(dpdk, now_ns, datagrams, count, mbufs, origin);
    int sent = dpdk_port_send(&dpdk->port, mbufs, frames);
    /* Into a port without a link everything goes and nothing arrives, as with any cable. */
    int taken = sent == frames || dpdk_port_is_down(&dpdk->port) ? count : origin[sent];
    drop_out(dpdk, origin, sent, taken);
    send_own_frames(dpdk, now_ns);
    return taken;
}

/* ---- the rest of the interface ---- */

/* With several queues all ports are open: who listens on which is known to the engines. */
static int dpdk_listen(struct netif *netif, uint16_t port) {
    struct dpdk *dpdk = (struct dpdk *)netif;
    if (port == netif->local.port || dpdk->port.queues > 1) {
        return TE_OK;
    }
    return host_listen(&dpdk->host, port) ? TE_OK : TE_E_IN_USE;
}

static void dpdk_unlisten(struct netif *netif, uint16_t port) {
    struct dpdk *dpdk = (struct dpdk *)netif;
    if (port != netif->local.port && dpdk->port.queues == 1) {
        host_unlisten(&dpdk->host, port);
    }
}

static uint16_t dpdk_port_for(const struct netif *netif, const struct te_endpoint *remote) {
    const struct dpdk *dpdk = (const struct dpdk *)netif;
    return rss_port(&dpdk->rss, &netif->local, remote, dpdk->port.queue);
}

/* Without interrupts, or before a peer is there to give them, there is no NETIF_WAKES. */
static bool dpdk_arm(struct netif *netif) {
    struct dpdk *dpdk = (struct dpdk *)netif;
    if (dpdk->port.is_gone) {
        return false;
    }
    if (dpdk_port_came_up(&dpdk->port)) {
        host_announce(&dpdk->host);
    }
    dpdk->armed = dpdk_port_watch(&dpdk->port, netif->fd);
    netif->caps = dpdk->armed ? NETIF_NO_LOOP | NETIF_WAKES : NETIF_NO_LOOP;
    if (dpdk->early_count == 0) {
        dpdk->early_count = dpdk_port_receive(&dpdk->port, dpdk->early, TE_BURST_MAX);
    }
    return dpdk->early_count > 0 || host_has_frame(&dpdk->host) ||
           dpdk_answers_wait(dpdk_port_answers(&dpdk->port));
}

static uint64_t dpdk_next_ns(const struct netif *netif) {
    const struct dpdk *dpdk = (const struct dpdk *)netif;
    return dpdk->port.is_gone ? dpdk->port.look_ns : host_next_ns(&dpdk->host);
}

static void dpdk_unanswered(struct netif *netif, const struct te_endpoint *remote,
                            uint64_t now_ns) {
    host_doubt(&((struct dpdk *)netif)->host, now_ns, remote->address);
}

static void dpdk_add_stats(const struct netif *netif, struct te_stats *stats) {
    const struct dpdk *dpdk = (const struct dpdk *)netif;
    const struct host_counts *counts = &dpdk->host.counts;
    stats->datagrams_dropped_bad += dpdk->bad + counts->bad + counts->fragments;
    stats->datagrams_dropped_unknown += counts->foreign;
}

static void dpdk_close(struct netif *netif) {
    struct dpdk *dpdk = (struct dpdk *)netif;
    free_mbufs(dpdk);
    dpdk_port_close();
    close(netif->fd);
    free(dpdk);
}

static const struct netif_ops dpdk_ops = {
    .name = "dpdk",
    .rx_burst = dpdk_rx_burst,
    .tx_burst = dpdk_tx_burst,
    .room = dpdk_room,
    .listen = dpdk_listen,
    .unlisten = dpdk_unlisten,
    .port_for = dpdk_port_for,
    .arm = dpdk_arm,
    .next_ns = dpdk_next_ns,
    .unanswered = dpdk_unanswered,
    .add_stats = dpdk_add_stats,
    .close = dpdk_close,
};

static void init_host(struct dpdk *dpdk, const struct te_engine_config *config) {
    struct host_config host = {
        .prefix_bits = config->prefix_bits,
        .mtu_bytes = dpdk->netif.mtu_bytes,
        .offload = dpdk->port.offloads_udp,
    };
    memcpy(host.mac, dpdk->port.mac, sizeof host.mac);
    memcpy(host.address, config->local.address, sizeof host.address);
    memcpy(host.gateway, config->gateway, sizeof host.gateway);
    host_init(&dpdk->host, &host);
    uint32_t last = dpdk->port.queues > 1 ? HOST_PORTS - 1 : dpdk->netif.local.port;
    for (uint32_t each = dpdk->port.queues > 1 ? 1 : last; each <= last; each++) {
        host_listen(&dpdk->host, (uint16_t)each);
    }
}

/* Returns the netif with what no device is needed for; NULL with a sentence. */
static struct dpdk *allocate(const struct te_engine_config *config, char *why) {
    struct dpdk *dpdk = calloc(1, sizeof *dpdk);
    int fd = dpdk == NULL ? -1 : epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) {
        snprintf(why, TE_WHY_BYTES, "no memory or no descriptor for the dpdk driver");
        free(dpdk);
        return NULL;
    }
    dpdk->netif = (struct netif){
        .ops = &dpdk_ops, .local = config->local, .caps = NETIF_NO_LOOP, .fd = fd};
    if (dpdk->netif.local.port == 0) {
        dpdk->netif.local.port = TE_PORT_DEFAULT;
    }
    return dpdk;
}

int netif_dpdk_open(const struct te_engine_config *config, struct netif **netif, char *why) {
    int error = dpdk_port_check(config, why);
    if (error != TE_OK) {
        return error;
    }
    struct dpdk *dpdk = allocate(config, why);
    if (dpdk == NULL) {
        return TE_E_NO_MEMORY;
    }
    error = dpdk_port_open(&dpdk->port, config, why);
    if (error != TE_OK) {
        close(dpdk->netif.fd);
        free(dpdk);
        return error;
    }
    dpdk->netif.mtu_bytes = dpdk->port.mtu_bytes;
    init_host(dpdk, config);
    if (dpdk->port.queues > 1) {
        dpdk_rss_read(dpdk->port.id, dpdk->host.ipv4, &dpdk->rss);
    }
    dpdk_answers_watch(dpdk_port_answers(&dpdk->port), dpdk->netif.fd);
    *netif = &dpdk->netif;
    return TE_OK;
}
