/* Addresses of 16 bytes: IPv6, or IPv4 as ::ffff:a.b.c.d. */
#ifndef IP_ADDRESS_H
#define IP_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum address_layout { ADDRESS_BYTES = 16, ADDRESS_IPV4_OFFSET = 12, ADDRESS_IPV4_BYTES = 4 };

static inline bool address_is_ipv4(const uint8_t address[ADDRESS_BYTES]) {
    static const uint8_t mapped[ADDRESS_IPV4_OFFSET] = {[10] = 0xff, [11] = 0xff};
    return memcmp(address, mapped, sizeof mapped) == 0;
}

static inline bool address_is_zero(const uint8_t *address, int size_bytes) {
    uint8_t bits = 0;
    for (int i = 0; i < size_bytes; i++) {
        bits |= address[i];
    }
    return bits == 0;
}

/* True for :: and for ::ffff:0.0.0.0. */
static inline bool address_is_any(const uint8_t address[ADDRESS_BYTES]) {
    int skip = address_is_ipv4(address) ? ADDRESS_IPV4_OFFSET : 0;
    return address_is_zero(address + skip, ADDRESS_BYTES - skip);
}

/* True for ::1 and for ::ffff:127.0.0.0/104. */
static inline bool address_is_loopback(const uint8_t address[ADDRESS_BYTES]) {
    return address_is_ipv4(address) ? address[ADDRESS_IPV4_OFFSET] == 127
                                    : address_is_zero(address, ADDRESS_BYTES - 1) &&
                                          address[ADDRESS_BYTES - 1] == 1;
}

static inline bool address_equal(const uint8_t *a, const uint8_t *b) {
    return memcmp(a, b, ADDRESS_BYTES) == 0;
}

static inline void address_from_ipv4(uint8_t address[ADDRESS_BYTES], const uint8_t *ipv4) {
    memset(address, 0, ADDRESS_BYTES);
    address[10] = 0xff;
    address[11] = 0xff;
    memcpy(address + ADDRESS_IPV4_OFFSET, ipv4, ADDRESS_IPV4_BYTES);
}

#endif
