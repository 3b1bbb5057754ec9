/* The choices of a run, taken depth first: each run repeats those of the one before it up to the
 * last that has something left to try. Included once. */
#ifndef ORDERS_CHOICES_H
#define ORDERS_CHOICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "explore.h"

enum { CHOICES_MAX = 512 /* of one run */ };

struct choice {
    uint8_t taken, count;
};

static struct choice choices[CHOICES_MAX];
static size_t choice_at, choice_count;

static inline uint32_t choose(uint32_t count) {
    if (count == 1) {
        return 0;
    }
    if (choice_at == choice_count) {
        explore_must(choice_count < CHOICES_MAX, "the run is too long");
        choices[choice_count++] = (struct choice){0, (uint8_t)count};
    }
    explore_must(choices[choice_at].count == count, "the run does not repeat itself");
    return choices[choice_at++].taken;
}

static inline bool next_run(void) {
    while (choice_count > 0) {
        struct choice *last = &choices[choice_count - 1];
        if (++last->taken < last->count) {
            return true;
        }
        choice_count--;
    }
    return false;
}

#endif
