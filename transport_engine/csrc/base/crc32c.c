/* CRC-32C by table (eight bytes a step) or by the SSE4.2 instruction, three at a time.
 *
 * The tables are computed from the polynomial when first needed.
 * Source: M. Kounavis, F. Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC
 * Generation", 2008 (slicing by eight); V. Gopal et al., "Fast CRC Computation for iSCSI Polynomial
 * Using CRC32 Instruction", Intel, 2011 (three streams, joined by carry-less multiplication).
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
#include <wmmintrin.h>

enum crc32c_limit {
    STREAM_WORDS_MIN = 4, /* below, joining costs more than it saves */
    STREAM_WORDS_MAX = 512 /* longer input is taken in several rounds */
};

/* x^(64 n - 33) modulo the polynomial, bits reflected; at 0 nothing. A register times this, through
 * one more step of the instruction, is the register after 8 n zero bytes. */
static uint32_t shift_by_words[2 * STREAM_WORDS_MAX + 1];

__attribute__((target("sse4.2"))) static void fill_shifts(void) {
    shift_by_words[1] = 1; /* x^31 */
    for (int n = 1; n < 2 * STREAM_WORDS_MAX; n++) {
        shift_by_words[n + 1] = (uint32_t)_mm_crc32_u64(shift_by_words[n], 0);
    }
}

__attribute__((target("sse4.2,pclmul"))) static uint64_t shifted(uint64_t crc, size_t words) {
    __m128i factor = _mm_cvtsi32_si128((int)shift_by_words[words]);
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc), factor, 0);
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/* Three streams of `words` each: a step waits for the one before it, but not for the others'. */
__attribute__((target("sse4.2,pclmul"))) static uint64_t add_streams(uint64_t crc,
                                                                     const uint8_t *bytes,
                                                                     size_t words) {
    const uint8_t *second = bytes + 8 * words;
    const uint8_t *third = second + 8 * words;
    uint64_t crc_second = 0;
    uint64_t crc_third = 0;
    for (size_t i = 0; i < 8 * words; i += 8) {
        crc = _mm_crc32_u64(crc, load_u64(bytes + i));
        crc_second = _mm_crc32_u64(crc_second, load_u64(second + i));
        crc_third = _mm_crc32_u64(crc_third, load_u64(third + i));
    }
    return shifted(crc, 2 * words) ^ shifted(crc_second, words) ^ crc_third;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(const uint8_t *bytes,
                                                               size_t size_bytes) {
    uint64_t crc = ~0u;
    while (size_bytes >= 24 * STREAM_WORDS_MIN) {
        size_t words = size_bytes / 24;
        words = words < STREAM_WORDS_MAX ? words : STREAM_WORDS_MAX;
        crc = add_streams(crc, bytes, words);
        bytes += 24 * words;
        size_bytes -= 24 * words;
    }
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
    const unsigned needed = bit_SSE4_2 | bit_PCLMUL;
    fill_table();
    has_instruction = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & needed) == needed;
    if (has_instruction) {
        fill_shifts();
    }
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
