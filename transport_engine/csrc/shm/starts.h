/* Which requests of its flows a side has taken, and of which the handlers have started.
 *
 * It stands in the channel's header, or in a file (starts_file.h), so that it outlives the process
 * that writes it. For each flow there are two bits for each of its latest requests. Does not know
 * what else is said of a call.
 *
 * Thread: one writes; others read once that one is gone, or not at all.
 * Source: docs/channel.md §8
 */
#ifndef SHM_STARTS_H
#define SHM_STARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/layout.h"
#include "shm/mapping.h"

/* The places in the header in which that side keeps them. */
struct starts *starts_of(const struct mapping *mapping, enum mapping_side side);
/* Which of them is for that flow; it may be another flow's. */
static inline uint32_t starts_place(uint32_t flow) {
    return flow % TE_STARTS_FLOWS;
}

/* The place is this flow's from now on: of none of its requests anything is noted. */
void starts_begin(struct starts *starts, uint32_t flow, uint64_t number);
/* Does nothing where the place is another flow's, or the request older than those that have
 * room. */
void starts_note(struct starts *starts, uint32_t flow, uint64_t call_id,
                 enum te_start state);
/* False: nothing is known of that flow. */
bool starts_read(const struct starts *starts, uint32_t flow, struct te_starts *read);

#endif
