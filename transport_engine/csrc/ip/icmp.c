/* ICMP messages. Source: RFC 792 (echo), RFC 4443 §2.3 (checksum), §4 (echo). */
#include "ip/icmp.h"

#include "base/bytes.h"
#include "ip/checksum.h"

static uint64_t start_sum(const struct ip_header *ip) {
    return ip->protocol == IP_ICMPV6 ? checksum_pseudo(ip, ip->payload_bytes) : 0;
}

enum verdict icmp_parse(const struct ip_header *ip, uint8_t *type) {
    if (ip->payload_bytes < ICMP_HEADER_BYTES) {
        return VERDICT_MALFORMED;
    }
    uint64_t sum = checksum_add(start_sum(ip), ip->payload, ip->payload_bytes);
    if (checksum_fold(sum) != CHECKSUM_RIGHT) {
        return VERDICT_CHECKSUM;
    }
    *type = ip->payload[0];
    return ip->payload[1] == 0 ? VERDICT_OK : VERDICT_UNSUPPORTED; /* all we know have code 0 */
}

void icmp_seal(uint8_t *bytes, const struct ip_header *ip) {
    store_u16(bytes + 2, 0);
    uint64_t sum = checksum_add(start_sum(ip), bytes, ip->payload_bytes);
    store_u16(bytes + 2, (uint16_t)~checksum_fold(sum));
}

void icmp_write_echo_reply(uint8_t *out, const struct ip_header *ip,
                           const struct ip_header *reply) {
    memcpy(out, ip->payload, ip->payload_bytes);
    out[0] = ip->protocol == IP_ICMPV6 ? ICMPV6_ECHO_REPLY : ICMP_ECHO_REPLY;
    icmp_seal(out, reply);
}
