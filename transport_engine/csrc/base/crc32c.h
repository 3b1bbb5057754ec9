/* CRC-32C (Castagnoli), the integrity check of packets.
 *
 * Source: RFC 3720 §12.1 and appendix B.4 (test vectors).
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Chooses the processor's own instruction where there is one. Call once before threads start;
 * without the call the portable table serves. */
void crc32c_select(void);

uint32_t crc32c(const uint8_t *bytes, size_t size_bytes);

/* The portable table, for comparison in tests. */
uint32_t crc32c_table(const uint8_t *bytes, size_t size_bytes);

#endif
