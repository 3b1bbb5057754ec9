/* ARP messages to and from bytes. Source: RFC 826. */
#include "ip/arp.h"

#include <string.h>

#include "ip/big_endian.h"

enum arp_value { ARP_HARDWARE_ETHERNET = 1 };

enum verdict arp_parse(const uint8_t *bytes, size_t size_bytes, struct arp *arp) {
    if (size_bytes < ARP_BYTES) {
        return VERDICT_MALFORMED;
    }
    if (load_be16(bytes) != ARP_HARDWARE_ETHERNET || load_be16(bytes + 2) != ETHERNET_IPV4 ||
        bytes[4] != MAC_BYTES || bytes[5] != ADDRESS_IPV4_BYTES) {
        return VERDICT_UNSUPPORTED;
    }
    arp->operation = load_be16(bytes + 6);
    if (arp->operation != ARP_REQUEST && arp->operation != ARP_REPLY) {
        return VERDICT_UNSUPPORTED;
    }
    memcpy(arp->sender_mac, bytes + 8, MAC_BYTES);
    address_from_ipv4(arp->sender, bytes + 14);
    memcpy(arp->target_mac, bytes + 18, MAC_BYTES);
    address_from_ipv4(arp->target, bytes + 24);
    return mac_is_group(arp->sender_mac) ? VERDICT_MALFORMED : VERDICT_OK;
}

void arp_write(uint8_t out[ARP_BYTES], const struct arp *arp) {
    store_be16(out, ARP_HARDWARE_ETHERNET);
    store_be16(out + 2, ETHERNET_IPV4);
    out[4] = MAC_BYTES;
    out[5] = ADDRESS_IPV4_BYTES;
    store_be16(out + 6, arp->operation);
    memcpy(out + 8, arp->sender_mac, MAC_BYTES);
    memcpy(out + 14, arp->sender + ADDRESS_IPV4_OFFSET, ADDRESS_IPV4_BYTES);
    memcpy(out + 18, arp->target_mac, MAC_BYTES);
    memcpy(out + 24, arp->target + ADDRESS_IPV4_OFFSET, ADDRESS_IPV4_BYTES);
}
