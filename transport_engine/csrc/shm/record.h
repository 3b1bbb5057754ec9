/* The rules for records in a ring: which headers are allowed, and in which order.
 *
 * Any bytes give a record that keeps every rule below, or TE_E_CORRUPT; never anything else.
 * Knows nothing of what flows and calls exist. Source: docs/channel.md §2.
 */
#ifndef SHM_RECORD_H
#define SHM_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/ring.h"
#include "transport_engine.h"

/* The last is that of both rings of a pair. */
enum record_direction { RECORD_TO_ENGINE, RECORD_TO_APPLICATION, RECORD_BETWEEN_APPLICATIONS };

/* The message of which the ring has had some records, but not the last one. */
struct record_order {
    bool open;
    struct te_record last;
};

/* Bytes in the ring: header, payload and padding. */
uint64_t record_stride_bytes(uint32_t size_bytes);

/* Whether a header on its own is one that may travel in this direction. */
bool record_valid(const struct te_record *record, enum record_direction direction);
/* Whether a valid record may follow the one before it: the next piece of the open message, or the
 * first of another where none is open. */
bool record_follows(const struct record_order *order, const struct te_record *record);
void record_order_advance(struct record_order *order, const struct te_record *record);

/* Copies the header that lies `ahead_bytes` behind the consumer's cursor, once, and checks nothing.
 * False: it is not known to have come. */
bool record_ahead(const struct ring *ring, uint64_t ahead_bytes, struct te_record *record);
/* record_next for a copy of the header at the cursor that record_ahead made. */
int record_check(struct ring *ring, const struct record_order *order,
                 enum record_direction direction, const struct te_record *record);

/* Copies the header at the consumer's cursor, once, and checks the copy. 1: `*record` is valid and
 * in order, and its payload is all there, behind the header at the cursor; 0: the ring is empty;
 * TE_E_CORRUPT. Moves neither the ring nor the order. */
int record_next(struct ring *ring, const struct record_order *order,
                enum record_direction direction, struct te_record *record);

#endif
