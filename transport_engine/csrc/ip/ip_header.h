/* What IPv4 and IPv6 headers have in common, with both kinds of address in 16 bytes. */
#ifndef IP_IP_HEADER_H
#define IP_IP_HEADER_H

#include <stddef.h>
#include <stdint.h>

enum ip_protocol { IP_ICMP = 1, IP_UDP = 17, IP_FRAGMENT = 44, IP_ICMPV6 = 58 };

enum ip_hops { IP_HOPS = 64, IP_HOPS_ON_LINK = 255 };

struct ip_header {
    uint8_t source[16];
    uint8_t destination[16];
    uint8_t *payload; /* points into the bytes that were parsed */
    size_t payload_bytes;
    uint8_t protocol; /* enum ip_protocol, or any other */
    uint8_t hops;
    uint8_t ecn;
};

#endif
