/* What the two ends of a channel have in common: one ring out, one ring in, and the doorbell.
 *
 * Does not know which end it is, what records mean, or who may be trusted.
 */
#ifndef SHM_END_H
#define SHM_END_H

#include <stdint.h>

#include "shm/doorbell.h"
#include "shm/mapping.h"
#include "shm/record.h"
#include "shm/ring.h"

struct end {
    struct mapping mapping;
    struct ring out;
    struct ring in;
    struct record_order in_order;
    struct doorbell doorbell;
};

/* Owner: takes over `mapping` and `doorbell_fd`. */
void end_init(struct end *end, enum mapping_side side, struct mapping mapping, int doorbell_fd);
void end_fini(struct end *end);

/* Rings for what was published since the last time; whether the other side slept, and was woken. */
bool end_ring(struct end *end);

/* Publishes and rings, then prepares to sleep for `wakes` (enum te_wake). Returns those that are
 * true already, and then nothing is armed. A broken ring counts as true, so that it is seen. */
uint32_t end_arm(struct end *end, uint32_t wakes);

#endif
