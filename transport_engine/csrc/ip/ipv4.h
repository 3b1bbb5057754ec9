/* IPv4 headers without options on the way out, with any on the way in. */
#ifndef IP_IPV4_H
#define IP_IPV4_H

#include <stdbool.h>

#include "ip/ip_header.h"
#include "ip/verdict.h"

enum ipv4_layout { IPV4_HEADER_BYTES = 20 };

/* `checked`: the network card has verified the header's checksum. */
enum verdict ipv4_parse(uint8_t *bytes, size_t size_bytes, bool checked, struct ip_header *ip);
/* Writes the header of a packet that must not be fragmented; payload_bytes follow it.
 * `offload`: the network card will fill in the checksum. */
void ipv4_write(uint8_t out[IPV4_HEADER_BYTES], const struct ip_header *ip, bool offload);

#endif
