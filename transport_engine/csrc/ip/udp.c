/* UDP headers to and from bytes. Source: RFC 768; RFC 8200 §8.1 (no zero checksum in IPv6). */
#include "ip/udp.h"

#include "base/bytes.h"
#include "ip/address.h"
#include "ip/big_endian.h"
#include "ip/checksum.h"

static enum verdict verify(const struct ip_header *ip, size_t length, bool *partial) {
    uint16_t checksum = load_u16(ip->payload + 6);
    if (checksum == 0) {
        return address_is_ipv4(ip->destination) ? VERDICT_OK : VERDICT_MALFORMED;
    }
    uint64_t pseudo = checksum_pseudo(ip, length);
    if (checksum_fold(checksum_add(pseudo, ip->payload, length)) == CHECKSUM_RIGHT) {
        return VERDICT_OK;
    }
    *partial = checksum == checksum_fold(pseudo);
    return *partial ? VERDICT_OK : VERDICT_CHECKSUM;
}

enum verdict udp_parse(const struct ip_header *ip, bool checked, struct udp_header *udp) {
    if (ip->payload_bytes < UDP_HEADER_BYTES) {
        return VERDICT_MALFORMED;
    }
    size_t length = load_be16(ip->payload + 4);
    if (length < UDP_HEADER_BYTES || length > ip->payload_bytes) {
        return VERDICT_MALFORMED;
    }
    *udp = (struct udp_header){
        .source_port = load_be16(ip->payload),
        .destination_port = load_be16(ip->payload + 2),
        .payload = ip->payload + UDP_HEADER_BYTES,
        .payload_bytes = length - UDP_HEADER_BYTES,
    };
    return checked ? VERDICT_OK : verify(ip, length, &udp->partial);
}

void udp_write(uint8_t *out, const struct ip_header *ip, const struct udp_header *udp,
               bool offload) {
    size_t length = UDP_HEADER_BYTES + udp->payload_bytes;
    store_be16(out, udp->source_port);
    store_be16(out + 2, udp->destination_port);
    store_be16(out + 4, (uint16_t)length);
    store_u16(out + 6, 0);
    uint64_t pseudo = checksum_pseudo(ip, length);
    if (offload) {
        store_u16(out + 6, checksum_fold(pseudo));
        return;
    }
    uint16_t checksum = (uint16_t)~checksum_fold(checksum_add(pseudo, out, length));
    store_u16(out + 6, checksum == 0 ? 0xffff : checksum); /* zero would mean: none */
}
