/* Below which call id all requests of a flow are whole at the peer, as the engine tells of it.
 *
 * It stands in the channel's header, one word for each flow, so that an application whose call
 * failed can look. A later flow may take the place: the word names whose it is. Of a call id it has
 * the lower bits, which is enough while fewer calls than half of what they count are under way.
 *
 * Thread: the engine writes; the application reads at any time.
 * Source: docs/channel.md §9
 */
#ifndef SHM_ACKED_H
#define SHM_ACKED_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/layout.h"
#include "shm/mapping.h"

enum { ACKED_ID_BITS = 42 };
static const uint64_t ACKED_IDS = UINT64_C(1) << ACKED_ID_BITS;

static inline _Atomic uint64_t *acked_at(const struct mapping *mapping, uint32_t flow) {
    _Atomic uint64_t *all = (_Atomic uint64_t *)(void *)((uint8_t *)mapping->header
                                                         + CHANNEL_ACKED_OFFSET);
    return &all[flow % CHANNEL_ACKED_FLOWS];
}

static inline void acked_tell(const struct mapping *mapping, uint32_t flow, uint64_t below) {
    const uint64_t whose = (uint64_t)(flow / CHANNEL_ACKED_FLOWS) << ACKED_ID_BITS;
    atomic_store_explicit(acked_at(mapping, flow), whose | (below & (ACKED_IDS - 1)),
                          memory_order_relaxed); /* it leads to nothing else in the memory */
}

/* False: it is not, or nothing is known of that flow. */
static inline bool acked_has(const struct mapping *mapping, uint32_t flow, uint64_t call_id) {
    const uint64_t word = atomic_load_explicit(acked_at(mapping, flow), memory_order_relaxed);
    const uint64_t ahead = (word - 1 - call_id) & (ACKED_IDS - 1);
    return word >> ACKED_ID_BITS == flow / CHANNEL_ACKED_FLOWS && ahead < ACKED_IDS / 2;
}

#endif
