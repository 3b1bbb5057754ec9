/* IPv6 headers to and from bytes. Source: RFC 8200 §3. */
#include "ip/ipv6.h"

#include "ip/address.h"
#include "ip/big_endian.h"

enum verdict ipv6_parse(uint8_t *bytes, size_t size_bytes, struct ip_header *ip) {
    if (size_bytes < IPV6_HEADER_BYTES || bytes[0] >> 4 != 6) {
        return VERDICT_MALFORMED;
    }
    size_t payload_bytes = load_be16(bytes + 4);
    if (payload_bytes > size_bytes - IPV6_HEADER_BYTES) {
        return VERDICT_MALFORMED;
    }
    memcpy(ip->source, bytes + 8, ADDRESS_BYTES);
    memcpy(ip->destination, bytes + 24, ADDRESS_BYTES);
    if (address_is_ipv4(ip->source) || address_is_ipv4(ip->destination)) {
        return VERDICT_MALFORMED; /* never on a wire: RFC 4291 §2.5.5.2 */
    }
    ip->payload = bytes + IPV6_HEADER_BYTES;
    ip->payload_bytes = payload_bytes;
    ip->protocol = bytes[6];
    ip->hops = bytes[7];
    ip->ecn = (bytes[1] >> 4) & 3;
    return ip->protocol == IP_FRAGMENT ? VERDICT_FRAGMENT : VERDICT_OK;
}

void ipv6_write(uint8_t out[IPV6_HEADER_BYTES], const struct ip_header *ip) {
    memset(out, 0, 4);
    out[0] = 6 << 4;
    out[1] = (uint8_t)(ip->ecn << 4);
    store_be16(out + 4, (uint16_t)ip->payload_bytes);
    out[6] = ip->protocol;
    out[7] = ip->hops;
    memcpy(out + 8, ip->source, ADDRESS_BYTES);
    memcpy(out + 24, ip->destination, ADDRESS_BYTES);
}
