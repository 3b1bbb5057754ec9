/* Echo of ICMP and ICMPv6: what answers `ping`. */
#ifndef IP_ICMP_H
#define IP_ICMP_H

#include "ip/ip_header.h"
#include "ip/verdict.h"

enum icmp_layout { ICMP_HEADER_BYTES = 8 };

enum icmp_type {
    ICMP_ECHO_REPLY = 0,
    ICMP_ECHO_REQUEST = 8,
    ICMPV6_ECHO_REQUEST = 128,
    ICMPV6_ECHO_REPLY = 129,
    ICMPV6_NEIGHBOUR_SOLICITATION = 135,
    ICMPV6_NEIGHBOUR_ADVERTISEMENT = 136
};

/* Checks an ICMP or ICMPv6 message, whichever ip->protocol says, down to its checksum. */
enum verdict icmp_parse(const struct ip_header *ip, uint8_t *type);

/* Writes to `out` (ip->payload_bytes) the reply to an echo request that icmp_parse found good.
 * `reply` is the header of the IP packet that will carry it. */
void icmp_write_echo_reply(uint8_t *out, const struct ip_header *ip,
                           const struct ip_header *reply);

/* Fills in the checksum of the ICMP message at `bytes` in a packet with the header `ip`. */
void icmp_seal(uint8_t *bytes, const struct ip_header *ip);

#endif
