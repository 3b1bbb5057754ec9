/* The smaller, the larger, and what lies between: as functions, so that each argument is read once.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include <stdint.h>

static inline uint32_t min_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static inline uint64_t within_u64(uint64_t value, uint64_t low, uint64_t high) {
    return min_u64(max_u64(value, low), high);
}

#endif
