/* Neighbour solicitation and advertisement: IPv6's ARP. */
#ifndef IP_NDP_H
#define IP_NDP_H

#include "ip/ethernet.h"
#include "ip/ip_header.h"
#include "ip/verdict.h"

enum ndp_layout { NDP_BYTES = 32 /* header, target, one link-layer address option */ };

struct ndp {
    uint8_t type; /* ICMPV6_NEIGHBOUR_SOLICITATION or ICMPV6_NEIGHBOUR_ADVERTISEMENT */
    bool has_mac;
    bool solicited;      /* an advertisement that answers a solicitation */
    bool overrides;      /* an advertisement that holds against what was known; always written */
    uint8_t target[16];
    uint8_t mac[MAC_BYTES]; /* of the sender of a solicitation, of the target of an advertisement */
};

/* Parses an ICMPv6 message that icmp_parse found good. */
enum verdict ndp_parse(const struct ip_header *ip, struct ndp *ndp);
/* Writes a message with its link-layer address option; `ip` is the header that will carry it. */
void ndp_write(uint8_t out[NDP_BYTES], const struct ndp *ndp, const struct ip_header *ip);

/* The multicast address on which a node is asked for `address`, and its Ethernet address. */
void ndp_solicited_node(const uint8_t address[16], uint8_t group[16]);
void ndp_group_mac(const uint8_t group[16], uint8_t mac[MAC_BYTES]);

#endif
