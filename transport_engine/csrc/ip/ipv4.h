/* IPv4 headers without options on the way out, with any on the way in. */
#ifndef IP_IPV4_H
#define IP_IPV4_H

#include "ip/ip_header.h"
#include "ip/verdict.h"

enum ipv4_layout { IPV4_HEADER_BYTES = 20 };

enum verdict ipv4_parse(uint8_t *bytes, size_t size_bytes, struct ip_header *ip);
/* Writes the header of a packet that must not be fragmented; payload_bytes follow it. */
void ipv4_write(uint8_t out[IPV4_HEADER_BYTES], const struct ip_header *ip);

#endif
