/* IPv6 headers. Extension headers are not followed: peers of ours send none. */
#ifndef IP_IPV6_H
#define IP_IPV6_H

#include "ip/ip_header.h"
#include "ip/verdict.h"

enum ipv6_layout { IPV6_HEADER_BYTES = 40 };

enum verdict ipv6_parse(uint8_t *bytes, size_t size_bytes, struct ip_header *ip);
void ipv6_write(uint8_t out[IPV6_HEADER_BYTES], const struct ip_header *ip);

#endif
