#include "shm/far_copy.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <emmintrin.h>
#include <stdatomic.h>
#include <stdbool.h>

enum {
    LINE_BYTES = 64,
    FAR_BYTES_MIN = 16384, /* less is read soon after, and stays near */
    ZEN_5_FAMILY = 0x1A
};

static unsigned family_of_amd(void) {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx) || ebx != signature_AMD_ebx ||
        ecx != signature_AMD_ecx || edx != signature_AMD_edx) {
        return 0;
    }
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
        return 0;
    }
    const unsigned base = eax >> 8 & 0xF;
    return base == 0xF ? base + (eax >> 20 & 0xFF) : base;
}

/* Asked once: on a virtual machine the question takes longer than a short copy. */
static bool dirty_lines_are_slow(void) {
    enum { UNKNOWN, SLOW, FAST };
    static _Atomic int known = UNKNOWN;
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == UNKNOWN) {
        answer = family_of_amd() >= ZEN_5_FAMILY ? FAST : SLOW;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == SLOW;
}

void far_copy(uint8_t *to, const uint8_t *from, size_t size_bytes) {
    if (size_bytes < FAR_BYTES_MIN || !dirty_lines_are_slow()) {
        memcpy(to, from, size_bytes);
        return;
    }
    far_copy_past_caches(to, from, size_bytes);
}

void far_copy_past_caches(uint8_t *to, const uint8_t *from, size_t size_bytes) {
    size_t head = (LINE_BYTES - (uintptr_t)to % LINE_BYTES) % LINE_BYTES;
    head = head < size_bytes ? head : size_bytes;
    memcpy(to, from, head);
    size_t at = head;
    for (; size_bytes - at >= LINE_BYTES; at += LINE_BYTES) {
        const __m128i *line = (const __m128i *)(const void *)(from + at);
        __m128i *into = (__m128i *)(void *)(to + at);
        const __m128i first = _mm_loadu_si128(line);
        const __m128i second = _mm_loadu_si128(line + 1);
        const __m128i third = _mm_loadu_si128(line + 2);
        const __m128i fourth = _mm_loadu_si128(line + 3);
        _mm_stream_si128(into, first);
        _mm_stream_si128(into + 1, second);
        _mm_stream_si128(into + 2, third);
        _mm_stream_si128(into + 3, fourth);
    }
    memcpy(to + at, from + at, size_bytes - at);
    _mm_sfence(); /* such stores are not ordered by a release alone */
}

#else

void far_copy(uint8_t *to, const uint8_t *from, size_t size_bytes) {
    memcpy(to, from, size_bytes);
}

void far_copy_past_caches(uint8_t *to, const uint8_t *from, size_t size_bytes) {
    memcpy(to, from, size_bytes);
}

#endif
