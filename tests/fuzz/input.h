/* The bytes of a fuzzer's input, taken one value at a time; past the end everything is zero. */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct input {
    const uint8_t *bytes;
    size_t size_bytes;
    size_t at;
};

/* What a target claims; libFuzzer keeps the input that breaks it. */
static inline void must(bool claim) {
    if (!claim) {
        abort();
    }
}

static inline bool input_has_more(const struct input *input) {
    return input->at < input->size_bytes;
}

static inline uint8_t input_u8(struct input *input) {
    return input_has_more(input) ? input->bytes[input->at++] : 0;
}

static inline uint16_t input_u16(struct input *input) {
    uint16_t low = input_u8(input);
    return (uint16_t)(low | input_u8(input) << 8);
}

/* Copies what there is, at most `count_max` bytes; returns how many. */
static inline size_t input_copy(struct input *input, uint8_t *target, size_t count_max) {
    size_t count = 0;
    while (count < count_max && input_has_more(input)) {
        target[count++] = input_u8(input);
    }
    return count;
}

#endif
