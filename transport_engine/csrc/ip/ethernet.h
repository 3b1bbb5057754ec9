/* Ethernet II frames. Does not know what they carry. */
#ifndef IP_ETHERNET_H
#define IP_ETHERNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ip/verdict.h"

enum ethernet_layout { ETHERNET_HEADER_BYTES = 14, MAC_BYTES = 6 };

enum ethernet_type { ETHERNET_IPV4 = 0x0800, ETHERNET_ARP = 0x0806, ETHERNET_IPV6 = 0x86dd };

struct ethernet {
    uint8_t destination[MAC_BYTES];
    uint8_t source[MAC_BYTES];
    uint16_t type;
    uint8_t *payload; /* points into the bytes that were parsed; padding may follow in it */
    size_t payload_bytes;
};

enum verdict ethernet_parse(uint8_t *bytes, size_t size_bytes, struct ethernet *frame);
void ethernet_write(uint8_t out[ETHERNET_HEADER_BYTES], const uint8_t destination[MAC_BYTES],
                    const uint8_t source[MAC_BYTES], uint16_t type);

/* Broadcast or multicast. */
bool mac_is_group(const uint8_t mac[MAC_BYTES]);

#endif
