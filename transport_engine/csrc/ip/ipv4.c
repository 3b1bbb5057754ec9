/* IPv4 headers to and from bytes. Source: RFC 791 §3.1; RFC 6864 §4.1 (the identification of a
 * packet that is never fragmented means nothing); RFC 3168 §5 (ECN). */
#include "ip/ipv4.h"

#include "base/bytes.h"
#include "ip/address.h"
#include "ip/big_endian.h"
#include "ip/checksum.h"

enum ipv4_flag { IPV4_DONT_FRAGMENT = 0x4000, IPV4_FRAGMENT_MASK = 0x3fff /* more, or offset */ };

enum verdict ipv4_parse(uint8_t *bytes, size_t size_bytes, struct ip_header *ip) {
    if (size_bytes < IPV4_HEADER_BYTES || bytes[0] >> 4 != 4) {
        return VERDICT_MALFORMED;
    }
    size_t header_bytes = (size_t)(bytes[0] & 15) * 4;
    size_t total_bytes = load_be16(bytes + 2);
    if (header_bytes < IPV4_HEADER_BYTES || total_bytes < header_bytes ||
        total_bytes > size_bytes) {
        return VERDICT_MALFORMED;
    }
    if (checksum_fold(checksum_add(0, bytes, header_bytes)) != CHECKSUM_RIGHT) {
        return VERDICT_CHECKSUM;
    }
    address_from_ipv4(ip->source, bytes + 12);
    address_from_ipv4(ip->destination, bytes + 16);
    ip->payload = bytes + header_bytes;
    ip->payload_bytes = total_bytes - header_bytes;
    ip->protocol = bytes[9];
    ip->hops = bytes[8];
    ip->ecn = bytes[1] & 3;
    return (load_be16(bytes + 6) & IPV4_FRAGMENT_MASK) != 0 ? VERDICT_FRAGMENT : VERDICT_OK;
}

void ipv4_write(uint8_t out[IPV4_HEADER_BYTES], const struct ip_header *ip) {
    memset(out, 0, IPV4_HEADER_BYTES);
    out[0] = 4 << 4 | IPV4_HEADER_BYTES / 4;
    out[1] = ip->ecn;
    store_be16(out + 2, (uint16_t)(IPV4_HEADER_BYTES + ip->payload_bytes));
    store_be16(out + 6, IPV4_DONT_FRAGMENT);
    out[8] = ip->hops;
    out[9] = ip->protocol;
    memcpy(out + 12, ip->source + ADDRESS_IPV4_OFFSET, ADDRESS_IPV4_BYTES);
    memcpy(out + 16, ip->destination + ADDRESS_IPV4_OFFSET, ADDRESS_IPV4_BYTES);
    store_u16(out + 10, (uint16_t)~checksum_fold(checksum_add(0, out, IPV4_HEADER_BYTES)));
}
