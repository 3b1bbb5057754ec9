/* Integers in network byte order at any alignment. The caller has checked the size. */
#ifndef IP_BIG_ENDIAN_H
#define IP_BIG_ENDIAN_H

#include <stdint.h>

static inline uint16_t load_be16(const uint8_t *bytes) {
    return (uint16_t)((uint16_t)(bytes[0] << 8) | bytes[1]);
}

static inline void store_be16(uint8_t *bytes, uint16_t value) {
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static inline void store_be32(uint8_t *bytes, uint32_t value) {
    store_be16(bytes, (uint16_t)(value >> 16));
    store_be16(bytes + 2, (uint16_t)value);
}

#endif
