/* A seeded stream of random numbers for simulation, faults and scattering; not for secrets.
 *
 * Source: S. Vigna, splitmix64 (after Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
 * Generators", OOPSLA 2014); bounded numbers after D. Lemire, "Fast Random Integer Generation in
 * an Interval", 2019, without the rejection step: the bias is below 2^-32.
 */
#ifndef BASE_PRNG_H
#define BASE_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct prng {
    uint64_t state;
};

static inline void prng_init(struct prng *prng, uint64_t seed) {
    prng->state = seed;
}

static inline uint64_t prng_next(struct prng *prng) {
    uint64_t z = (prng->state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Returns a number in [0, bound); 0 for bound 0. */
static inline uint32_t prng_below(struct prng *prng, uint32_t bound) {
    return (uint32_t)(((prng_next(prng) >> 32) * bound) >> 32);
}

/* True with a probability in parts per million. */
static inline bool prng_chance(struct prng *prng, uint32_t ppm) {
    return ppm != 0 && prng_below(prng, 1000000) < ppm;
}

#endif
