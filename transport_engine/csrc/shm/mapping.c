#define _GNU_SOURCE
#include "shm/mapping.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

bool mapping_ring_bytes_valid(uint64_t ring_bytes) {
    return ring_bytes >= TE_RING_BYTES_MIN && ring_bytes <= TE_RING_BYTES_MAX
           && (ring_bytes & (ring_bytes - 1)) == 0;
}

uint64_t mapping_total_bytes(uint64_t ring_bytes) {
    return CHANNEL_HEADER_BYTES + 2 * ring_bytes;
}

/* Reserves the addresses first, so that neither half can land on memory of somebody else. */
static uint8_t *map_twice(int memory_fd, uint64_t offset_bytes, uint64_t ring_bytes,
                          int protection) {
    uint8_t *bytes = mmap(NULL, 2 * ring_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) {
        return NULL;
    }
    for (int half = 0; half < 2; half++) {
        if (mmap(bytes + (uint64_t)half * ring_bytes, ring_bytes, protection,
                 MAP_SHARED | MAP_FIXED, memory_fd, (off_t)offset_bytes)
            == MAP_FAILED) {
            int reason = errno;
            munmap(bytes, 2 * ring_bytes);
            errno = reason;
            return NULL;
        }
    }
    return bytes;
}

int mapping_open(struct mapping *mapping, int memory_fd, uint64_t ring_bytes,
                 enum mapping_side side, char *why) {
    const int both = PROT_READ | PROT_WRITE;
    const uint64_t tx_offset = CHANNEL_HEADER_BYTES;
    *mapping = (struct mapping){.ring_bytes = ring_bytes};

    void *header = mmap(NULL, CHANNEL_HEADER_BYTES, both, MAP_SHARED, memory_fd, 0);
    mapping->header = header == MAP_FAILED ? NULL : header;
    if (mapping->header != NULL) {
        mapping->tx = map_twice(memory_fd, tx_offset, ring_bytes,
                                side == MAPPING_APPLICATION ? both : PROT_READ);
    }
    if (mapping->tx != NULL) {
        mapping->rx = map_twice(memory_fd, tx_offset + ring_bytes, ring_bytes,
                                side == MAPPING_ENGINE ? both : PROT_READ);
    }
    if (mapping->rx == NULL) {
        snprintf(why, TE_WHY_BYTES, "cannot map a channel of two rings of %llu bytes: %s%s",
                 (unsigned long long)ring_bytes, strerror(errno),
                 errno == EPERM ? " (it was mapped once already)" : "");
        mapping_close(mapping);
        return TE_E_SYSTEM;
    }
    return TE_OK;
}

void mapping_close(struct mapping *mapping) {
    if (mapping->rx != NULL) {
        munmap(mapping->rx, 2 * mapping->ring_bytes);
    }
    if (mapping->tx != NULL) {
        munmap(mapping->tx, 2 * mapping->ring_bytes);
    }
    if (mapping->header != NULL) {
        munmap(mapping->header, CHANNEL_HEADER_BYTES);
    }
    *mapping = (struct mapping){0};
}
