#include "shm/far_copy.h"

#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>

enum {
    LINE_BYTES = 64,
    FAR_BYTES_MIN = 16384 /* less is read soon after, and stays near */
};

void far_copy(uint8_t *to, const uint8_t *from, size_t size_bytes) {
    if (size_bytes < FAR_BYTES_MIN) {
        memcpy(to, from, size_bytes);
        return;
    }
    const size_t head = (LINE_BYTES - (uintptr_t)to % LINE_BYTES) % LINE_BYTES;
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

#endif
