/* CRC-32C (Castagnoli), the integrity check of packets.
 *
 * Source: RFC 3720 §12.1 and appendix B.4 (test vectors).
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

enum crc32c_way {
    CRC32C_TABLE,   /* portable */
    CRC32C_STREAMS, /* SSE4.2 and PCLMULQDQ */
    CRC32C_WIDE     /* for longer input AVX-512 and VPCLMULQDQ, too */
};

/* Chooses the fastest way that the processor has. Call once before threads start;
 * without the call the portable table serves. */
void crc32c_select(void);

uint32_t crc32c(const uint8_t *bytes, size_t size_bytes);

/* For tests: chooses none beyond `most`, and returns what it chose. */
enum crc32c_way crc32c_select_within(enum crc32c_way most);
/* The portable table, for comparison in tests. */
uint32_t crc32c_table(const uint8_t *bytes, size_t size_bytes);

#endif
