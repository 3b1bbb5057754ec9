/* One's complement sums, 32 bytes at a time.
 *
 * Source: RFC 1071 §2: sums may be added up in any order, and in parallel.
 */
#include "ip/checksum.h"

#include "base/bytes.h"
#include "ip/address.h"
#include "ip/big_endian.h"

enum pseudo_layout { PSEUDO_IPV4_BYTES = 12, PSEUDO_IPV6_BYTES = 40 };
enum checksum_step { BLOCK_BYTES = 32 };

/* Two sums whose carries are counted apart, so that no addition waits for more than one other. */
static uint64_t add_blocks(uint64_t sum, const uint8_t *bytes, size_t count) {
    uint64_t other = 0;
    uint64_t carries = 0;
    uint64_t other_carries = 0;
    for (const uint8_t *end = bytes + count * BLOCK_BYTES; bytes < end; bytes += BLOCK_BYTES) {
        uint64_t words[4];
        memcpy(words, bytes, sizeof words);
        sum += words[0];
        carries += sum < words[0];
        other += words[1];
        other_carries += other < words[1];
        sum += words[2];
        carries += sum < words[2];
        other += words[3];
        other_carries += other < words[3];
    }
    sum += other;
    carries += other_carries + (sum < other);
    sum += carries;
    return sum + (sum < carries);
}

uint64_t checksum_add(uint64_t sum, const uint8_t *bytes, size_t size_bytes) {
    size_t at = size_bytes / BLOCK_BYTES * BLOCK_BYTES;
    sum = add_blocks(sum, bytes, size_bytes / BLOCK_BYTES);
    for (; size_bytes - at >= 8; at += 8) {
        uint64_t word = load_u64(bytes + at);
        sum += word;
        sum += sum < word; /* the carry comes around to the other end */
    }
    uint8_t rest[8] = {0};
    memcpy(rest, bytes + at, size_bytes - at);
    uint64_t word = load_u64(rest);
    sum += word;
    return sum + (sum < word);
}

uint16_t checksum_fold(uint64_t sum) {
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

uint64_t checksum_pseudo(const struct ip_header *ip, size_t payload_bytes) {
    uint8_t bytes[PSEUDO_IPV6_BYTES] = {0};
    if (address_is_ipv4(ip->destination)) {
        memcpy(bytes, ip->source + ADDRESS_IPV4_OFFSET, ADDRESS_IPV4_BYTES);
        memcpy(bytes + 4, ip->destination + ADDRESS_IPV4_OFFSET, ADDRESS_IPV4_BYTES);
        bytes[9] = ip->protocol;
        store_be16(bytes + 10, (uint16_t)payload_bytes);
        return checksum_add(0, bytes, PSEUDO_IPV4_BYTES);
    }
    memcpy(bytes, ip->source, ADDRESS_BYTES);
    memcpy(bytes + 16, ip->destination, ADDRESS_BYTES);
    store_be32(bytes + 32, (uint32_t)payload_bytes);
    bytes[39] = ip->protocol;
    return checksum_add(0, bytes, PSEUDO_IPV6_BYTES);
}
