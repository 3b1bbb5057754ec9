/* The only file of an engine that reads the time, and that draws what nobody can foresee. */
#define _POSIX_C_SOURCE 199309L /* clock_gettime */
#include "engine/surroundings.h"

#include <string.h>
#include <time.h>

static uint64_t random_u64(void *context) {
    struct surroundings *around = context;
    if (around->clock_ns != NULL) {
        return prng_next(&around->prng);
    }
    uint64_t value;
    randombytes_buf(&value, sizeof value);
    return value;
}

static uint64_t mac(void *context, const uint8_t *bytes, size_t size_bytes) {
    const struct surroundings *around = context;
    uint8_t hash[crypto_shorthash_BYTES];
    uint64_t value;
    crypto_shorthash(hash, bytes, size_bytes, around->key);
    memcpy(&value, hash, sizeof value);
    return value;
}

void surroundings_init(struct surroundings *around, const struct te_engine_config *config) {
    around->clock_ns = config->clock_ns;
    prng_init(&around->prng, ~config->fault.seed); /* the netif draws faults from the seed itself */
    crypto_shorthash_keygen(around->key);
}

static uint64_t clock_now_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t surroundings_now_ns(const struct surroundings *around) {
    if (around->clock_ns != NULL) {
        return *around->clock_ns;
    }
    return clock_now_ns(CLOCK_MONOTONIC);
}

static uint64_t now_ns(void *context) {
    return surroundings_now_ns(context);
}

struct engine_world surroundings_world(struct surroundings *around) {
    return (struct engine_world){random_u64, mac, now_ns, around};
}

uint64_t surroundings_used_ns(void) {
    return clock_now_ns(CLOCK_THREAD_CPUTIME_ID);
}
