/* Drives a libFuzzer target without libFuzzer: replays the files it is given, then tries seeded
 * random byte strings of every length up to BYTES_MAX.
 *
 * Takes libFuzzer's own arguments -runs=N, -max_total_time=SECONDS and -seed=N, so that one command
 * line serves both.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/prng.h"

enum { BYTES_MAX = 2048, FILE_BYTES_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

/* An own allocation of the exact size, so that reading past its end is seen. */
static void try_bytes(const uint8_t *bytes, size_t size_bytes) {
    uint8_t *copy = malloc(size_bytes > 0 ? size_bytes : 1);
    if (copy == NULL) {
        exit(2);
    }
    memcpy(copy, bytes, size_bytes);
    LLVMFuzzerTestOneInput(copy, size_bytes);
    free(copy);
}

static void replay(const char *path) {
    static uint8_t bytes[FILE_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    size_t size_bytes = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    try_bytes(bytes, size_bytes);
}

static void try_random(uint64_t runs, uint64_t seed, time_t end) {
    static uint8_t bytes[BYTES_MAX];
    struct prng prng;
    prng_init(&prng, seed);
    for (uint64_t run = 0; run < runs && time(NULL) < end; run++) {
        size_t size_bytes = (size_t)(prng_next(&prng) % (BYTES_MAX + 1));
        for (size_t at = 0; at < size_bytes; at += sizeof(uint64_t)) {
            uint64_t word = prng_next(&prng);
            size_t rest = size_bytes - at;
            memcpy(bytes + at, &word, rest < sizeof word ? rest : sizeof word);
        }
        try_bytes(bytes, size_bytes);
    }
}

int main(int argc, char **argv) {
    uint64_t runs = 0;
    uint64_t seed = 1;
    time_t seconds = INT32_MAX;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-runs=", 6) == 0) {
            runs = strtoull(argv[i] + 6, NULL, 10);
        } else if (strncmp(argv[i], "-seed=", 6) == 0) {
            seed = strtoull(argv[i] + 6, NULL, 10);
        } else if (strncmp(argv[i], "-max_total_time=", 16) == 0) {
            seconds = (time_t)strtoull(argv[i] + 16, NULL, 10);
        } else if (argv[i][0] != '-') {
            replay(argv[i]);
        }
    }
    try_random(runs, seed, time(NULL) + seconds);
    return 0;
}
