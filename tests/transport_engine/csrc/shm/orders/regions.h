/* Names for shared bytes, whatever address they are mapped at. Included once. */
#ifndef ORDERS_REGIONS_H
#define ORDERS_REGIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum region_limit {
    REGIONS_MAX = 16,
    NAMES = 8,
    REGION_BYTES = 1 << 17 /* at most */
};

struct region {
    uintptr_t at;
    size_t bytes;
    uint32_t name;
};

static struct region regions[REGIONS_MAX];
static size_t region_count;

/* False: there is no room. */
static inline bool region_add(const volatile void *at, size_t bytes, uint32_t name) {
    if (region_count == REGIONS_MAX || bytes > REGION_BYTES || name >= NAMES) {
        return false;
    }
    regions[region_count++] = (struct region){(uintptr_t)at, bytes, name};
    return true;
}

/* 0: private. */
static inline uint64_t name_of(const volatile void *at) {
    for (size_t i = 0; i < region_count; i++) {
        const struct region *region = &regions[i];
        if ((uintptr_t)at - region->at < region->bytes) {
            return (uint64_t)(region->name + 1) * REGION_BYTES + ((uintptr_t)at - region->at);
        }
    }
    return 0;
}

#endif
