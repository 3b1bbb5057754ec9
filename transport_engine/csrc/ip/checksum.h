/* The Internet checksum: one's complement sum of 16-bit words.
 *
 * Sums are kept in the byte order of memory, so they go into and come out of headers by
 * store_u16 and load_u16, without a swap.
 * Source: RFC 1071 §2 (byte order independence, parallel summation).
 */
#ifndef IP_CHECKSUM_H
#define IP_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#include "ip/ip_header.h"

enum checksum_value { CHECKSUM_RIGHT = 0xffff /* the fold over data that holds its checksum */ };

/* Adds `size_bytes` to a sum. Only the last piece of the data may be of an odd size. */
uint64_t checksum_add(uint64_t sum, const uint8_t *bytes, size_t size_bytes);
uint16_t checksum_fold(uint64_t sum);

/* The sum over the pseudo-header of UDP and ICMPv6 (RFC 768, RFC 8200 §8.1). */
uint64_t checksum_pseudo(const struct ip_header *ip, size_t payload_bytes);

#endif
