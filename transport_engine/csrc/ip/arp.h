/* ARP for IPv4 over Ethernet. Does not know who asks, or what is remembered of the answers. */
#ifndef IP_ARP_H
#define IP_ARP_H

#include <stddef.h>
#include <stdint.h>

#include "ip/address.h"
#include "ip/ethernet.h"

enum arp_layout { ARP_BYTES = 28 };

enum arp_operation { ARP_REQUEST = 1, ARP_REPLY = 2 };

struct arp {
    uint16_t operation; /* enum arp_operation */
    uint8_t sender_mac[MAC_BYTES];
    uint8_t sender[ADDRESS_BYTES];
    uint8_t target_mac[MAC_BYTES]; /* of no meaning in a request */
    uint8_t target[ADDRESS_BYTES];
};

enum verdict arp_parse(const uint8_t *bytes, size_t size_bytes, struct arp *arp);
void arp_write(uint8_t out[ARP_BYTES], const struct arp *arp);

#endif
