/* UDP headers. Does not know which ports are open. */
#ifndef IP_UDP_H
#define IP_UDP_H

#include <stdbool.h>

#include "ip/ip_header.h"
#include "ip/verdict.h"

enum udp_layout { UDP_HEADER_BYTES = 8 };

struct udp_header {
    uint16_t source_port;
    uint16_t destination_port;
    uint8_t *payload; /* points into the bytes that were parsed */
    size_t payload_bytes;
    bool partial; /* the sender left the checksum to a network card that it never met */
};

/* Parses the payload of `ip`. `checked`: the network card has verified the checksum.
 *
 * A checksum that holds the pseudo-header's sum alone is accepted as `partial`: a kernel that
 * hands a packet to a virtual device leaves it so, and no wire was there to damage the packet. */
enum verdict udp_parse(const struct ip_header *ip, bool checked, struct udp_header *udp);

/* Writes the header; the payload stands behind it already, and ip->payload_bytes counts both.
 * `offload`: writes the pseudo-header's sum, which the network card completes. */
void udp_write(uint8_t *out, const struct ip_header *ip, const struct udp_header *udp,
               bool offload);

#endif
