/* Answers and questions. Source: RFC 826; RFC 5227 §2.1.1 (probes); RFC 4861 §7.2; RFC 1122
 * §3.2.2.6 and RFC 4443 §4.2 (echo). */
#include "ip/answer.h"

#include "ip/arp.h"
#include "ip/icmp.h"
#include "ip/ipv4.h"
#include "ip/ipv6.h"
#include "ip/ndp.h"

enum answer_limit { ECHO_BYTES_MAX = 1480 /* no larger ping is answered */ };

static const uint64_t rival_ns = UINT64_C(60000000000); /* between two times that it is told of */
static const uint8_t all_nodes[ADDRESS_BYTES] = {0xff, 0x02, [15] = 1};
static const uint8_t broadcast_mac[MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void note_rival(struct host *host, uint64_t now_ns, const uint8_t *mac) {
    if (memcmp(mac, host->config.mac, MAC_BYTES) != 0 && now_ns >= host->rival_next_ns) {
        memcpy(host->rival, mac, MAC_BYTES);
        host->has_rival = true;
        host->rival_next_ns = now_ns + rival_ns;
    }
}

/* What this host says of itself; `arp` has the operation and its target. */
static void leave_arp(struct host *host, struct arp *arp, const uint8_t *destination) {
    uint8_t *out = host_wait(host, ETHERNET_HEADER_BYTES + ARP_BYTES, NULL);
    if (out != NULL) {
        memcpy(arp->sender_mac, host->config.mac, MAC_BYTES);
        memcpy(arp->sender, host->config.address, ADDRESS_BYTES);
        ethernet_write(out, destination, host->config.mac, ETHERNET_ARP);
        arp_write(out + ETHERNET_HEADER_BYTES, arp);
    }
}

enum verdict answer_arp(struct host *host, uint64_t now_ns, const struct ethernet *ethernet) {
    struct arp arp;
    enum verdict verdict = arp_parse(ethernet->payload, ethernet->payload_bytes, &arp);
    if (verdict != VERDICT_OK) {
        return verdict;
    }
    if (address_equal(arp.sender, host->config.address)) {
        note_rival(host, now_ns, arp.sender_mac);
        return VERDICT_UNSUPPORTED;
    }
    bool probes = address_is_any(arp.sender); /* someone wants the target for an address */
    if (!address_equal(arp.target, host->config.address)) {
        neighbours_update(&host->neighbours, arp.sender, arp.sender_mac, now_ns);
        return VERDICT_UNSUPPORTED;
    }
    if (!probes) {
        neighbours_learn(&host->neighbours, arp.sender, arp.sender_mac, now_ns);
    }
    if (arp.operation == ARP_REQUEST) {
        struct arp reply = {.operation = ARP_REPLY};
        memcpy(reply.target_mac, arp.sender_mac, MAC_BYTES);
        memcpy(reply.target, arp.sender, ADDRESS_BYTES);
        leave_arp(host, &reply, arp.sender_mac);
    }
    return VERDICT_OK;
}

/* Makes room for an IP packet to that card, and writes its headers. Returns where the payload
 * goes; NULL: no room. */
static uint8_t *open_reply(struct host *host, const uint8_t *destination,
                           const struct ip_header *ip) {
    size_t header_bytes = host->ipv4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
    uint8_t *out =
        host_wait(host, ETHERNET_HEADER_BYTES + header_bytes + ip->payload_bytes, NULL);
    if (out == NULL) {
        return NULL;
    }
    ethernet_write(out, destination, host->config.mac,
                   host->ipv4 ? ETHERNET_IPV4 : ETHERNET_IPV6);
    if (host->ipv4) {
        ipv4_write(out + ETHERNET_HEADER_BYTES, ip);
    } else {
        ipv6_write(out + ETHERNET_HEADER_BYTES, ip);
    }
    return out + ETHERNET_HEADER_BYTES + header_bytes;
}

static struct ip_header header_to(const struct host *host, const uint8_t *destination,
                                  size_t payload_bytes, uint8_t hops) {
    struct ip_header ip = {
        .payload_bytes = payload_bytes,
        .protocol = host->ipv4 ? IP_ICMP : IP_ICMPV6,
        .hops = hops,
    };
    memcpy(ip.source, host->config.address, ADDRESS_BYTES);
    memcpy(ip.destination, destination, ADDRESS_BYTES);
    return ip;
}

static enum verdict answer_echo(struct host *host, const struct ethernet *ethernet,
                                const struct ip_header *ip) {
    if (mac_is_group(ethernet->destination) || mac_is_group(ethernet->source) ||
        !address_equal(ip->destination, host->config.address) || address_is_any(ip->source) ||
        ip->payload_bytes > ECHO_BYTES_MAX ||
        IPV6_HEADER_BYTES + ip->payload_bytes > host->config.mtu_bytes) {
        return VERDICT_UNSUPPORTED;
    }
    struct ip_header reply = header_to(host, ip->source, ip->payload_bytes, IP_HOPS);
    uint8_t *out = open_reply(host, ethernet->source, &reply);
    if (out != NULL) {
        icmp_write_echo_reply(out, ip, &reply);
    }
    return VERDICT_OK;
}

static void leave_advertisement(struct host *host, const uint8_t *mac, const uint8_t *destination,
                                bool is_solicited) {
    struct ip_header ip = header_to(host, destination, NDP_BYTES, IP_HOPS_ON_LINK);
    struct ndp advertisement = {.type = ICMPV6_NEIGHBOUR_ADVERTISEMENT,
                                .solicited = is_solicited};
    memcpy(advertisement.target, host->config.address, ADDRESS_BYTES);
    memcpy(advertisement.mac, host->config.mac, MAC_BYTES);
    uint8_t *out = open_reply(host, mac, &ip);
    if (out != NULL) {
        ndp_write(out, &advertisement, &ip);
    }
}

void answer_announce(struct host *host) {
    if (host->ipv4) {
        struct arp arp = {.operation = ARP_REQUEST};
        memcpy(arp.target, host->config.address, ADDRESS_BYTES);
        leave_arp(host, &arp, broadcast_mac);
    } else {
        uint8_t mac[MAC_BYTES];
        ndp_group_mac(all_nodes, mac);
        leave_advertisement(host, mac, all_nodes, false);
    }
}

static enum verdict answer_solicitation(struct host *host, uint64_t now_ns,
                                        const struct ethernet *ethernet,
                                        const struct ip_header *ip, const struct ndp *ndp) {
    if (!address_equal(ndp->target, host->config.address) || mac_is_group(ethernet->source)) {
        return VERDICT_UNSUPPORTED;
    }
    bool probes = address_is_any(ip->source); /* someone wants our address: tell everybody */
    if (!probes && ndp->has_mac) {
        neighbours_learn(&host->neighbours, ip->source, ndp->mac, now_ns);
    }
    leave_advertisement(host, ethernet->source, probes ? all_nodes : ip->source, !probes);
    return VERDICT_OK;
}

static enum verdict answer_ndp(struct host *host, uint64_t now_ns, const struct ethernet *ethernet,
                               const struct ip_header *ip) {
    struct ndp ndp;
    enum verdict verdict = ndp_parse(ip, &ndp);
    if (verdict != VERDICT_OK) {
        return verdict;
    }
    if (ndp.type == ICMPV6_NEIGHBOUR_SOLICITATION) {
        return answer_solicitation(host, now_ns, ethernet, ip, &ndp);
    }
    if (!ndp.has_mac) {
        return VERDICT_UNSUPPORTED;
    }
    if (address_equal(ndp.target, host->config.address)) {
        note_rival(host, now_ns, ndp.mac);
    } else if (address_equal(ip->destination, host->config.address)) {
        neighbours_learn(&host->neighbours, ndp.target, ndp.mac, now_ns);
    } else if (ndp.overrides) {
        neighbours_update(&host->neighbours, ndp.target, ndp.mac, now_ns);
    }
    return VERDICT_OK;
}

enum verdict answer_icmp(struct host *host, uint64_t now_ns, const struct ethernet *ethernet,
                         const struct ip_header *ip) {
    uint8_t type;
    enum verdict verdict = icmp_parse(ip, &type);
    if (verdict != VERDICT_OK) {
        return verdict;
    }
    if (type == (host->ipv4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST)) {
        return answer_echo(host, ethernet, ip);
    }
    if (!host->ipv4 && (type == ICMPV6_NEIGHBOUR_SOLICITATION ||
                        type == ICMPV6_NEIGHBOUR_ADVERTISEMENT)) {
        return answer_ndp(host, now_ns, ethernet, ip);
    }
    return VERDICT_UNSUPPORTED;
}

size_t answer_write_question(const struct host *host, const struct neighbour *asked,
                             uint8_t *out) {
    if (host->ipv4) {
        struct arp request = {.operation = ARP_REQUEST};
        memcpy(request.sender_mac, host->config.mac, MAC_BYTES);
        memcpy(request.sender, host->config.address, ADDRESS_BYTES);
        memcpy(request.target, asked->address, ADDRESS_BYTES);
        ethernet_write(out, broadcast_mac, host->config.mac, ETHERNET_ARP);
        arp_write(out + ETHERNET_HEADER_BYTES, &request);
        return ETHERNET_HEADER_BYTES + ARP_BYTES;
    }
    uint8_t group[ADDRESS_BYTES];
    uint8_t group_mac[MAC_BYTES];
    ndp_solicited_node(asked->address, group);
    ndp_group_mac(group, group_mac);
    struct ndp solicitation = {.type = ICMPV6_NEIGHBOUR_SOLICITATION};
    memcpy(solicitation.target, asked->address, ADDRESS_BYTES);
    memcpy(solicitation.mac, host->config.mac, MAC_BYTES);
    struct ip_header ip = header_to(host, group, NDP_BYTES, IP_HOPS_ON_LINK);
    ethernet_write(out, group_mac, host->config.mac, ETHERNET_IPV6);
    ipv6_write(out + ETHERNET_HEADER_BYTES, &ip);
    ndp_write(out + ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES, &solicitation, &ip);
    return ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + NDP_BYTES;
}
