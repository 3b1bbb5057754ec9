/* The host's ways in and out. Source: RFC 1122 §3.3.1 (local or gateway), §2.3.2.2 (what waits for
 * an address is kept). */
#include "ip/host.h"

#include "ip/answer.h"
#include "ip/ipv4.h"
#include "ip/ipv6.h"
#include "ip/udp.h"

void host_init(struct host *host, const struct host_config *config) {
    memset(host, 0, sizeof *host);
    host->config = *config;
    host->ipv4 = address_is_ipv4(config->address);
    neighbours_init(&host->neighbours);
}

/* ---- ports ---- */

static bool port_is_open(const struct host *host, uint16_t port) {
    return (host->ports[port / 8] >> (port % 8) & 1) != 0;
}

bool host_listen(struct host *host, uint16_t port) {
    if (port_is_open(host, port)) {
        return false;
    }
    host->ports[port / 8] |= (uint8_t)(1u << (port % 8));
    return true;
}

void host_unlisten(struct host *host, uint16_t port) {
    host->ports[port / 8] &= (uint8_t)~(1u << (port % 8));
}

/* ---- in ---- */

static void count(struct host *host, enum verdict verdict) {
    if (verdict == VERDICT_MALFORMED || verdict == VERDICT_CHECKSUM) {
        host->counts.bad++;
    } else if (verdict == VERDICT_FRAGMENT) {
        host->counts.fragments++;
    } else if (verdict == VERDICT_UNSUPPORTED) {
        host->counts.foreign++;
    }
}

/* Multicast, broadcast, nobody, or ourselves: nothing that one could answer. */
static bool source_is_bad(const struct host *host, const struct ip_header *ip) {
    const uint8_t *ipv4 = ip->source + ADDRESS_IPV4_OFFSET;
    bool group = host->ipv4 ? ipv4[0] >= 224 : ip->source[0] == 0xff;
    return group || address_is_any(ip->source) || address_equal(ip->source, host->config.address);
}

static enum verdict receive_udp(struct host *host, const struct ip_header *ip, bool checked,
                                struct netif_datagram *datagram) {
    struct udp_header udp;
    enum verdict verdict = udp_parse(ip, checked, &udp);
    if (verdict != VERDICT_OK) {
        return verdict;
    }
    if (source_is_bad(host, ip) || udp.source_port == 0 ||
        udp.payload_bytes > NETIF_DATAGRAM_BYTES_MAX) {
        return VERDICT_MALFORMED;
    }
    if (!port_is_open(host, udp.destination_port)) {
        return VERDICT_UNSUPPORTED;
    }
    host->counts.partial += udp.partial;
    *datagram = (struct netif_datagram){
        .local.port = udp.destination_port,
        .remote.port = udp.source_port,
        .bytes = udp.payload,
        .size_bytes = (uint32_t)udp.payload_bytes,
        .ecn = ip->ecn,
    };
    memcpy(datagram->local.address, ip->destination, ADDRESS_BYTES);
    memcpy(datagram->remote.address, ip->source, ADDRESS_BYTES);
    return VERDICT_OK;
}

/* Returns VERDICT_OK only with a datagram. */
static enum verdict receive_ip(struct host *host, uint64_t now_ns, const struct ethernet *ethernet,
                               bool checked, struct netif_datagram *datagram) {
    struct ip_header ip;
    bool ipv4 = ethernet->type == ETHERNET_IPV4;
    enum verdict verdict =
        ipv4 ? ipv4_parse(ethernet->payload, ethernet->payload_bytes, &ip)
             : ipv6_parse(ethernet->payload, ethernet->payload_bytes, &ip);
    if (verdict != VERDICT_OK) {
        return verdict;
    }
    if (ip.protocol == (ipv4 ? IP_ICMP : IP_ICMPV6)) {
        verdict = answer_icmp(host, now_ns, ethernet, &ip);
        count(host, verdict);
        return VERDICT_UNSUPPORTED;
    }
    if (ip.protocol != IP_UDP || mac_is_group(ethernet->destination) ||
        !address_equal(ip.destination, host->config.address)) {
        return VERDICT_UNSUPPORTED;
    }
    return receive_udp(host, &ip, checked, datagram);
}

bool host_receive(struct host *host, uint64_t now_ns, const struct host_frame *frame,
                  struct netif_datagram *datagram) {
    struct ethernet ethernet;
    enum verdict verdict = ethernet_parse(frame->bytes, frame->size_bytes, &ethernet);
    bool ours = verdict == VERDICT_OK && (mac_is_group(ethernet.destination) ||
                                          memcmp(ethernet.destination, host->config.mac,
                                                 MAC_BYTES) == 0);
    if (!ours) {
        verdict = verdict == VERDICT_OK ? VERDICT_UNSUPPORTED : verdict;
    } else if (ethernet.type == ETHERNET_ARP && host->ipv4) {
        verdict = answer_arp(host, now_ns, &ethernet);
        count(host, verdict);
        return false;
    } else if (ethernet.type == (host->ipv4 ? ETHERNET_IPV4 : ETHERNET_IPV6)) {
        verdict = receive_ip(host, now_ns, &ethernet, frame->checked, datagram);
    } else {
        verdict = VERDICT_UNSUPPORTED;
    }
    count(host, verdict);
    return verdict == VERDICT_OK;
}

/* ---- out ---- */

static bool is_on_link(const struct host *host, const uint8_t *address) {
    int skip_bits = host->ipv4 ? ADDRESS_IPV4_OFFSET * 8 : 0;
    for (int bit = skip_bits; bit < skip_bits + host->config.prefix_bits; bit++) {
        uint8_t differs = address[bit / 8] ^ host->config.address[bit / 8];
        if ((differs >> (7 - bit % 8) & 1) != 0) {
            return false;
        }
    }
    return true;
}

static bool is_group(const struct host *host, const uint8_t *address) {
    return host->ipv4 ? address[ADDRESS_IPV4_OFFSET] >= 224 : address[0] == 0xff;
}

/* The neighbour through which `address` is reached; NULL: there is no way. */
static const uint8_t *route(const struct host *host, const uint8_t *address) {
    if (address_is_ipv4(address) != host->ipv4 || address_is_any(address) ||
        is_group(host, address)) {
        return NULL;
    }
    if (is_on_link(host, address)) {
        return address;
    }
    return address_is_any(host->config.gateway) ? NULL : host->config.gateway;
}

static size_t write_datagram(const struct host *host, const struct netif_datagram *datagram,
                             uint8_t *out, bool offload) {
    struct udp_header udp = {
        .source_port = datagram->local.port,
        .destination_port = datagram->remote.port,
        .payload_bytes = datagram->size_bytes,
    };
    struct ip_header ip = {
        .payload_bytes = UDP_HEADER_BYTES + datagram->size_bytes,
        .protocol = IP_UDP,
        .hops = IP_HOPS,
        .ecn = datagram->ecn & 3,
    };
    memcpy(ip.source, host->config.address, ADDRESS_BYTES);
    memcpy(ip.destination, datagram->remote.address, ADDRESS_BYTES);
    size_t at = ETHERNET_HEADER_BYTES;
    if (host->ipv4) {
        ipv4_write(out + at, &ip);
        at += IPV4_HEADER_BYTES;
    } else {
        ipv6_write(out + at, &ip);
        at += IPV6_HEADER_BYTES;
    }
    if (datagram->bytes != out + at + UDP_HEADER_BYTES) {
        memcpy(out + at + UDP_HEADER_BYTES, datagram->bytes, datagram->size_bytes);
    }
    udp_write(out + at, &ip, &udp, offload);
    return at + ip.payload_bytes;
}

size_t host_header_bytes(const struct host *host) {
    return ETHERNET_HEADER_BYTES + (host->ipv4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES) +
           UDP_HEADER_BYTES;
}

uint8_t *host_wait(struct host *host, size_t size_bytes, const uint8_t *next_hop) {
    if (host->waiting_count == HOST_WAITING_MAX || size_bytes > HOST_FRAME_BYTES_MAX) {
        return NULL;
    }
    struct host_waiting *waiting = host->waiting;
    while (waiting->order != 0) {
        waiting++;
    }
    waiting->order = ++host->order;
    waiting->awaits = next_hop != NULL;
    waiting->size_bytes = (uint16_t)size_bytes;
    if (next_hop != NULL) {
        memcpy(waiting->next_hop, next_hop, ADDRESS_BYTES);
    }
    host->waiting_count++;
    return waiting->bytes;
}

static void wait_for_neighbour(struct host *host, const struct netif_datagram *datagram,
                               size_t size_bytes, const uint8_t *next_hop) {
    uint8_t *bytes = host_wait(host, size_bytes, next_hop);
    if (bytes == NULL) {
        host->counts.unsent++;
        return;
    }
    write_datagram(host, datagram, bytes, false);
}

size_t host_send(struct host *host, uint64_t now_ns, const struct netif_datagram *datagram,
                 uint8_t *out) {
    size_t header_bytes = host->ipv4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
    size_t ip_bytes = header_bytes + UDP_HEADER_BYTES + datagram->size_bytes;
    const uint8_t *next_hop = route(host, datagram->remote.address);
    if (next_hop == NULL || ip_bytes > host->config.mtu_bytes) {
        host->counts.unsent++;
        return 0;
    }
    const uint8_t *mac = neighbours_want(&host->neighbours, next_hop, now_ns);
    if (mac == NULL) {
        wait_for_neighbour(host, datagram, ETHERNET_HEADER_BYTES + ip_bytes, next_hop);
        return 0;
    }
    ethernet_write(out, mac, host->config.mac, host->ipv4 ? ETHERNET_IPV4 : ETHERNET_IPV6);
    return write_datagram(host, datagram, out, host->config.offload);
}

void host_announce(struct host *host) {
    answer_announce(host);
}

const uint8_t *host_rival(struct host *host) {
    const uint8_t *rival = host->has_rival ? host->rival : NULL;
    host->has_rival = false;
    return rival;
}

void host_doubt(struct host *host, uint64_t now_ns, const uint8_t address[16]) {
    const uint8_t *next_hop = route(host, address);
    if (next_hop != NULL) {
        neighbours_doubt(&host->neighbours, next_hop, now_ns);
    }
}

/* Returns true if the frame may leave; a frame whose neighbour is gone is given up. */
static bool may_leave(struct host *host, struct host_waiting *waiting) {
    bool gone;
    if (!waiting->awaits) {
        return true;
    }
    const uint8_t *mac = neighbours_look(&host->neighbours, waiting->next_hop, &gone);
    if (mac != NULL) {
        ethernet_write(waiting->bytes, mac, host->config.mac,
                       host->ipv4 ? ETHERNET_IPV4 : ETHERNET_IPV6);
        return true;
    }
    if (gone) {
        waiting->order = 0;
        host->waiting_count--;
        host->counts.unsent++;
    }
    return false;
}

static size_t release_oldest(struct host *host, uint8_t *out) {
    struct host_waiting *oldest = NULL;
    for (int i = 0; i < HOST_WAITING_MAX; i++) {
        struct host_waiting *each = &host->waiting[i];
        bool older = each->order != 0 && (oldest == NULL || each->order < oldest->order);
        if (older && may_leave(host, each)) {
            oldest = each;
        }
    }
    if (oldest == NULL) {
        return 0;
    }
    memcpy(out, oldest->bytes, oldest->size_bytes);
    oldest->order = 0;
    host->waiting_count--;
    return oldest->size_bytes;
}

size_t host_poll(struct host *host, uint64_t now_ns, uint8_t *out) {
    const struct neighbour *asked = neighbours_ask(&host->neighbours, now_ns);
    if (asked != NULL) {
        return answer_write_question(host, asked, out);
    }
    return host->waiting_count == 0 ? 0 : release_oldest(host, out);
}

bool host_has_frame(const struct host *host) {
    for (int i = 0; i < HOST_WAITING_MAX && host->waiting_count > 0; i++) {
        const struct host_waiting *each = &host->waiting[i];
        bool gone = false;
        if (each->order != 0 &&
            (!each->awaits ||
             neighbours_look(&host->neighbours, each->next_hop, &gone) != NULL)) {
            return true;
        }
    }
    return false;
}

uint64_t host_next_ns(const struct host *host) {
    return host->neighbours.due_ns;
}
