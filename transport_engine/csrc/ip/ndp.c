/* Neighbour discovery. Source: RFC 4861 §4.3, §4.4, §4.6.1, §7.1; RFC 4291 §2.7.1 (solicited-node
 * address); RFC 2464 §7 (multicast on Ethernet). */
#include "ip/ndp.h"

#include <string.h>

#include "ip/address.h"
#include "ip/icmp.h"

enum ndp_offset { NDP_FLAGS = 4, NDP_TARGET = 8, NDP_OPTIONS = 24 };
enum ndp_option { NDP_SOURCE_LINK = 1, NDP_TARGET_LINK = 2 };
enum ndp_flag { NDP_SOLICITED = 0x40, NDP_OVERRIDE = 0x20 };

/* Options are type, length in units of 8 bytes, value; a length of 0 condemns the message. */
static enum verdict parse_options(const struct ip_header *ip, struct ndp *ndp) {
    uint8_t wanted =
        ndp->type == ICMPV6_NEIGHBOUR_SOLICITATION ? NDP_SOURCE_LINK : NDP_TARGET_LINK;
    size_t at = NDP_OPTIONS;
    while (ip->payload_bytes - at >= 8) {
        const uint8_t *option = ip->payload + at;
        size_t option_bytes = (size_t)option[1] * 8;
        if (option_bytes == 0 || option_bytes > ip->payload_bytes - at) {
            return VERDICT_MALFORMED;
        }
        if (option[0] == wanted && !mac_is_group(option + 2)) {
            memcpy(ndp->mac, option + 2, MAC_BYTES);
            ndp->has_mac = true;
        }
        at += option_bytes;
    }
    return at == ip->payload_bytes ? VERDICT_OK : VERDICT_MALFORMED;
}

enum verdict ndp_parse(const struct ip_header *ip, struct ndp *ndp) {
    /* A packet that a router forwarded has fewer hops left: so strangers cannot speak here. */
    if (ip->payload_bytes < NDP_OPTIONS || ip->hops != IP_HOPS_ON_LINK) {
        return VERDICT_MALFORMED;
    }
    memset(ndp, 0, sizeof *ndp);
    ndp->type = ip->payload[0];
    if (ndp->type != ICMPV6_NEIGHBOUR_SOLICITATION &&
        ndp->type != ICMPV6_NEIGHBOUR_ADVERTISEMENT) {
        return VERDICT_UNSUPPORTED;
    }
    ndp->solicited = (ip->payload[NDP_FLAGS] & NDP_SOLICITED) != 0;
    ndp->overrides = (ip->payload[NDP_FLAGS] & NDP_OVERRIDE) != 0;
    memcpy(ndp->target, ip->payload + NDP_TARGET, ADDRESS_BYTES);
    return parse_options(ip, ndp);
}

void ndp_write(uint8_t out[NDP_BYTES], const struct ndp *ndp, const struct ip_header *ip) {
    bool advertises = ndp->type == ICMPV6_NEIGHBOUR_ADVERTISEMENT;
    memset(out, 0, NDP_BYTES);
    out[0] = ndp->type;
    if (advertises) {
        out[NDP_FLAGS] = (uint8_t)(NDP_OVERRIDE | (ndp->solicited ? NDP_SOLICITED : 0));
    }
    memcpy(out + NDP_TARGET, ndp->target, ADDRESS_BYTES);
    out[NDP_OPTIONS] = advertises ? NDP_TARGET_LINK : NDP_SOURCE_LINK;
    out[NDP_OPTIONS + 1] = 1;
    memcpy(out + NDP_OPTIONS + 2, ndp->mac, MAC_BYTES);
    icmp_seal(out, ip);
}

void ndp_solicited_node(const uint8_t address[16], uint8_t group[16]) {
    static const uint8_t prefix[13] = {0xff, 0x02, [11] = 0x01, [12] = 0xff};
    memcpy(group, prefix, sizeof prefix);
    memcpy(group + 13, address + 13, 3);
}

void ndp_group_mac(const uint8_t group[16], uint8_t mac[MAC_BYTES]) {
    mac[0] = 0x33;
    mac[1] = 0x33;
    memcpy(mac + 2, group + 12, 4);
}
