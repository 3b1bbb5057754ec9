/* What an engine has around it: the time, chance, and a key that peers cannot guess.
 *
 * The system's; or a test's, under whose clock every run is the same.
 */
#ifndef ENGINE_SURROUNDINGS_H
#define ENGINE_SURROUNDINGS_H

#include <sodium.h>
#include <stdint.h>

#include "base/prng.h"
#include "engine/engine.h"

struct surroundings {
    const uint64_t *clock_ns; /* a test's; NULL: CLOCK_MONOTONIC */
    struct prng prng;         /* what is drawn under a test's clock */
    uint8_t key[crypto_shorthash_KEYBYTES];
};

/* After sodium_init. */
void surroundings_init(struct surroundings *around, const struct te_engine_config *config);
/* Owner: `around`, which stays where it is for as long as the engine lives. */
struct engine_world surroundings_world(struct surroundings *around);
uint64_t surroundings_now_ns(const struct surroundings *around);
/* The processor's time that this thread has had. */
uint64_t surroundings_used_ns(void);

#endif
