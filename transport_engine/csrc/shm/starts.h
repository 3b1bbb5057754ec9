/* Which requests of its flows a side has taken, and of which the handlers have started.
 *
 * It stands in the channel's header, so that it outlives the process that writes it. For each flow
 * there are two bits for each of its latest requests. Does not know what else is said of a call.
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

/* Where that side keeps them of that flow; it may be another flow's. */
struct starts *starts_at(const struct mapping *mapping, enum mapping_side side,
                         uint32_t flow);

/* The place is this flow's from now on: of none of its requests anything is noted. */
void starts_begin(struct starts *starts, uint32_t flow);
/* Does nothing where the place is another flow's, or the request older than those that have
 * room. */
void starts_note(struct starts *starts, uint32_t flow, uint64_t call_id,
                 enum te_start state);
/* False: nothing is known of that flow. */
bool starts_read(const struct starts *starts, uint32_t flow, struct te_starts *read);

#endif
