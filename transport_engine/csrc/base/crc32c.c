/* CRC-32C by table (eight bytes a step) or by the SSE4.2 instruction.
 *
 * The tables are computed from the polynomial, one bit at a time, when first needed.
 * Source: M. Kounavis, F. Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC
 * Generation", 2008 (slicing by eight).
 */
#include "base/crc32c.h"

#include <stdbool.h>

#include "base/bytes.h"

static const uint32_t polynomial_reflected = 0x82F63B78u;

static uint32_t table[8][256];
static bool table_ready;
static bool has_instruction;

static void fill_table(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) ? polynomial_reflected : 0);
        }
        table[0][byte] = crc;
    }
    for (int slice = 1; slice < 8; slice++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t below = table[slice - 1][byte];
            table[slice][byte] = (below >> 8) ^ table[0][below & 0xFF];
        }
    }
    table_ready = true;
}

uint32_t crc32c_table(const uint8_t *bytes, size_t size_bytes) {
    if (!table_ready) {
        fill_table();
    }
    uint32_t crc = ~0u;
    for (; size_bytes >= 8; size_bytes -= 8, bytes += 8) {
        uint32_t low = crc ^ load_u32(bytes);
        uint32_t high = load_u32(bytes + 4);
        crc = table[7][low & 0xFF] ^ table[6][(low >> 8) & 0xFF] ^ table[5][(low >> 16) & 0xFF] ^
              table[4][low >> 24] ^ table[3][high & 0xFF] ^ table[2][(high >> 8) & 0xFF] ^
              table[1][(high >> 16) & 0xFF] ^ table[0][high >> 24];
    }
    for (; size_bytes > 0; size_bytes--, bytes++) {
        crc = (crc >> 8) ^ table[0][(crc ^ *bytes) & 0xFF];
    }
    return ~crc;
}

#if defined(__x86_64__)

#include <cpuid.h>
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(const uint8_t *bytes,
                                                               size_t size_bytes) {
    uint64_t crc = ~0u;
    for (; size_bytes >= 8; size_bytes -= 8, bytes += 8) {
        crc = _mm_crc32_u64(crc, load_u64(bytes));
    }
    uint32_t tail = (uint32_t)crc;
    for (; size_bytes > 0; size_bytes--, bytes++) {
        tail = _mm_crc32_u8(tail, *bytes);
    }
    return ~tail;
}

void crc32c_select(void) {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    fill_table();
    has_instruction = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_SSE4_2);
}

uint32_t crc32c(const uint8_t *bytes, size_t size_bytes) {
    return has_instruction ? crc32c_sse42(bytes, size_bytes) : crc32c_table(bytes, size_bytes);
}

#else

void crc32c_select(void) {
    fill_table();
    has_instruction = false;
}

uint32_t crc32c(const uint8_t *bytes, size_t size_bytes) {
    return crc32c_table(bytes, size_bytes);
}

#endif
