/* CRC-32C by table (eight bytes a step), by the SSE4.2 instruction, three at a time, or by
 * carry-less multiplication, 256 bytes at a time.
 *
 * The tables are computed from the polynomial when first needed.
 * Source: M. Kounavis, F. Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC
 * Generation", 2008 (slicing by eight); V. Gopal et al., "Fast CRC Computation for iSCSI Polynomial
 * Using CRC32 Instruction", Intel, 2011 (three streams, joined by carry-less multiplication);
 * V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction",
 * Intel, 2009 (folding).
 */
#include "base/crc32c.h"

#include <stdbool.h>

#include "base/bytes.h"

static const uint32_t polynomial_reflected = 0x82F63B78u;

static uint32_t table[8][256];
static bool table_ready;
static enum crc32c_way way;

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
#include <immintrin.h>

enum crc32c_limit {
    STREAM_WORDS_MIN = 4, /* below, joining costs more than it saves */
    STREAM_WORDS_MAX = 512, /* longer input is taken in several rounds */
    LANE_WORDS = 2,
    WIDE_WORDS = 8,
    WIDE_BYTES = 8 * WIDE_WORDS,
    ROUND_BYTES = 4 * WIDE_BYTES, /* what a step takes */
    WIDE_BYTES_MIN = 768,         /* below, three streams are as fast */
    ALIGNED_BYTES_MIN = 2048      /* from here it pays that no load crosses a cache line */
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

#define WIDE __attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.2")))

/* Each lane of `value` as it counts `words` later, with `next` added: its first half counts for a
 * word more than its second. */
WIDE static inline __m512i folded(__m512i value, int words, __m512i next) {
    const __m512i factors = _mm512_broadcast_i32x4(
        _mm_set_epi64x((int64_t)shift_by_words[words], (int64_t)shift_by_words[words + 1]));
    const __m512i first = _mm512_clmulepi64_epi128(value, factors, 0x00);
    const __m512i second = _mm512_clmulepi64_epi128(value, factors, 0x11);
    return _mm512_ternarylogic_epi64(first, second, next, 0x96); /* all three XORed */
}

WIDE static inline __m128i lane_folded(__m128i value, int words, __m128i next) {
    const __m128i factors =
        _mm_set_epi64x((int64_t)shift_by_words[words], (int64_t)shift_by_words[words + 1]);
    const __m128i first = _mm_clmulepi64_si128(value, factors, 0x00);
    const __m128i second = _mm_clmulepi64_si128(value, factors, 0x11);
    return _mm_xor_si128(_mm_xor_si128(first, second), next);
}

/* What four lanes come to: folded into the last of them, which the instruction then reduces. */
WIDE static uint64_t reduced(__m512i value) {
    __m128i last = _mm512_extracti32x4_epi32(value, 3);
    last = lane_folded(_mm512_castsi512_si128(value), 3 * LANE_WORDS, last);
    last = lane_folded(_mm512_extracti32x4_epi32(value, 1), 2 * LANE_WORDS, last);
    last = lane_folded(_mm512_extracti32x4_epi32(value, 2), LANE_WORDS, last);
    const uint64_t crc = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(last));
    return _mm_crc32_u64(crc, (uint64_t)_mm_extract_epi64(last, 1));
}

/* Takes all that fills registers, ROUND_BYTES or more; moves both on. */
WIDE static inline uint64_t add_wide(uint64_t crc, const uint8_t **bytes, size_t *size_bytes) {
    const uint8_t *at = *bytes;
    size_t left_bytes = *size_bytes;
    __m512i first = _mm512_xor_si512(
        _mm512_loadu_si512(at), _mm512_zextsi128_si512(_mm_cvtsi64_si128((int64_t)crc)));
    __m512i second = _mm512_loadu_si512(at + WIDE_BYTES);
    __m512i third = _mm512_loadu_si512(at + 2 * WIDE_BYTES);
    __m512i fourth = _mm512_loadu_si512(at + 3 * WIDE_BYTES);
    for (at += ROUND_BYTES, left_bytes -= ROUND_BYTES; left_bytes >= ROUND_BYTES;
         at += ROUND_BYTES, left_bytes -= ROUND_BYTES) {
        first = folded(first, 4 * WIDE_WORDS, _mm512_loadu_si512(at));
        second = folded(second, 4 * WIDE_WORDS, _mm512_loadu_si512(at + WIDE_BYTES));
        third = folded(third, 4 * WIDE_WORDS, _mm512_loadu_si512(at + 2 * WIDE_BYTES));
        fourth = folded(fourth, 4 * WIDE_WORDS, _mm512_loadu_si512(at + 3 * WIDE_BYTES));
    }
    __m512i sum = folded(first, 3 * WIDE_WORDS, fourth);
    sum = folded(second, 2 * WIDE_WORDS, sum);
    sum = folded(third, WIDE_WORDS, sum);
    for (; left_bytes >= WIDE_BYTES; at += WIDE_BYTES, left_bytes -= WIDE_BYTES) {
        sum = folded(sum, WIDE_WORDS, _mm512_loadu_si512(at));
    }
    *bytes = at;
    *size_bytes = left_bytes;
    return reduced(sum);
}

/* One step after the other. */
__attribute__((target("sse4.2"))) static inline uint64_t add_few(uint64_t crc,
                                                                 const uint8_t *bytes,
                                                                 size_t size_bytes) {
    for (; size_bytes >= 8; size_bytes -= 8, bytes += 8) {
        crc = _mm_crc32_u64(crc, load_u64(bytes));
    }
    uint32_t tail = (uint32_t)crc;
    if (size_bytes >= 4) {
        tail = _mm_crc32_u32(tail, load_u32(bytes));
        bytes += 4;
        size_bytes -= 4;
    }
    for (; size_bytes > 0; size_bytes--, bytes++) {
        tail = _mm_crc32_u8(tail, *bytes);
    }
    return tail;
}

WIDE static uint32_t crc32c_wide(const uint8_t *bytes, size_t size_bytes) {
    uint64_t crc = ~0u;
    if (size_bytes >= ALIGNED_BYTES_MIN) {
        const size_t head_bytes = -(uintptr_t)bytes % WIDE_BYTES;
        crc = add_few(crc, bytes, head_bytes);
        bytes += head_bytes;
        size_bytes -= head_bytes;
    }
    crc = add_wide(crc, &bytes, &size_bytes);
    return ~(uint32_t)add_few(crc, bytes, size_bytes);
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
    return ~(uint32_t)add_few(crc, bytes, size_bytes);
}

/* Whether the system keeps the registers of AVX-512 for each thread. */
__attribute__((target("xsave"))) static bool keeps_wide_registers(void) {
    const uint64_t states = 0xE6; /* XMM, YMM, and all three of ZMM and their masks */
    return ((uint64_t)_xgetbv(0) & states) == states;
}

static enum crc32c_way widest(void) {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    const unsigned needed = bit_SSE4_2 | bit_PCLMUL;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || (ecx & needed) != needed) {
        return CRC32C_TABLE;
    }
    if (!(ecx & bit_OSXSAVE) || !keeps_wide_registers() ||
        !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        return CRC32C_STREAMS;
    }
    return (ebx & bit_AVX512F) && (ecx & bit_VPCLMULQDQ) ? CRC32C_WIDE : CRC32C_STREAMS;
}

enum crc32c_way crc32c_select_within(enum crc32c_way most) {
    const enum crc32c_way best = widest();
    fill_table();
    if (best != CRC32C_TABLE) {
        fill_shifts();
    }
    way = best < most ? best : most;
    return way;
}

uint32_t crc32c(const uint8_t *bytes, size_t size_bytes) {
    if (way == CRC32C_WIDE && size_bytes >= WIDE_BYTES_MIN) {
        return crc32c_wide(bytes, size_bytes);
    }
    return way == CRC32C_TABLE ? crc32c_table(bytes, size_bytes)
                               : crc32c_sse42(bytes, size_bytes);
}

#else

enum crc32c_way crc32c_select_within(enum crc32c_way most) {
    (void)most;
    fill_table();
    way = CRC32C_TABLE;
    return way;
}

uint32_t crc32c(const uint8_t *bytes, size_t size_bytes) {
    return crc32c_table(bytes, size_bytes);
}

#endif

void crc32c_select(void) {
    crc32c_select_within(CRC32C_WIDE);
}
