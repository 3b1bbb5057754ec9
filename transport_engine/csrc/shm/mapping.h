/* A channel's memory in this process: the header once, each ring twice back to back.
 *
 * The second copy of a ring follows the first, so that a record which wraps is contiguous.
 * Does not know what the bytes mean.
 */
#ifndef SHM_MAPPING_H
#define SHM_MAPPING_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/layout.h"

/* The side that maps: it may write to one of the rings only, and the MMU holds it to that. */
enum mapping_side { MAPPING_ENGINE, MAPPING_APPLICATION };

struct mapping {
    struct channel_header *header;
    uint8_t *tx;
    uint8_t *rx;
    uint64_t ring_bytes; /* private: what this side checked once */
};

bool mapping_ring_bytes_valid(uint64_t ring_bytes);
/* Bytes of the whole memfd. */
uint64_t mapping_total_bytes(uint64_t ring_bytes);

/* Errors: TE_E_SYSTEM, and a sentence in `why`. Nothing stays mapped then. */
int mapping_open(struct mapping *mapping, int memory_fd, uint64_t ring_bytes,
                 enum mapping_side side, char *why);
void mapping_close(struct mapping *mapping);

#endif
