/* Words of an arithmetic sequence, which a processor makes and compares as fast as it copies. */
#include "sim/content.h"

#include "base/bytes.h"
#include "base/prng.h"

enum { WORD_BYTES = 8 };

static const uint64_t step = UINT64_C(0xD6E8FEB86659FD93); /* odd: no two places are alike */

static uint64_t mix(uint64_t a, uint64_t b) {
    struct prng prng = {a ^ (b * step)};
    return prng_next(&prng);
}

uint64_t content_name(const struct content_source *source, uint32_t index) {
    uint64_t place = (uint64_t)source->flow << 32 | index;
    uint64_t life = (uint64_t)source->epoch << 1 | source->is_forward;
    uint64_t mark = mix(mix(source->seed, place), life) >> 48;
    return mark << 48 | (uint64_t)source->epoch << 32 | index;
}

struct content_name content_read_name(const struct content_source *source, uint64_t name) {
    uint32_t index = (uint32_t)name;
    return (struct content_name){index, (uint16_t)(name >> 32),
                                 content_name(source, index) == name};
}

static uint64_t first_word(uint64_t name, uint32_t offset_bytes) {
    return mix(name, name) + step * (offset_bytes / WORD_BYTES);
}

void content_write(uint64_t name, uint32_t offset_bytes, uint8_t *out, uint32_t size_bytes) {
    uint64_t word = first_word(name, offset_bytes);
    uint32_t at = 0;
    for (; at + WORD_BYTES <= size_bytes; at += WORD_BYTES) {
        store_u64(out + at, word);
        word += step;
    }
    memcpy(out + at, &word, size_bytes - at);
    if (offset_bytes == 0 && size_bytes >= WORD_BYTES) {
        store_u64(out, name);
    }
}

bool content_is(uint64_t name, uint32_t offset_bytes, const uint8_t *bytes, uint32_t size_bytes) {
    uint64_t word = first_word(name, offset_bytes);
    uint64_t differences = 0;
    uint32_t at = 0;
    if (offset_bytes == 0 && size_bytes >= WORD_BYTES) {
        differences = load_u64(bytes) ^ name;
        at = WORD_BYTES;
        word += step;
    }
    for (; at + WORD_BYTES <= size_bytes; at += WORD_BYTES) {
        differences |= load_u64(bytes + at) ^ word;
        word += step;
    }
    return differences == 0 && memcmp(bytes + at, &word, size_bytes - at) == 0;
}
