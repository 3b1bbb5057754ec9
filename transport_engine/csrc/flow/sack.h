/* Packet numbers received, as ranges; what the next ACK frame says.
 *
 * Shape: at most ACK_RANGES_MAX ranges, newest first. When more are needed the oldest is
 * forgotten and packets below the floor count as duplicates: their bytes come again under a new
 * number. Of a newest range that grows without end only the upper part is kept, so that lengths
 * fit their field and the floor follows for as long as the flow lives.
 */
#ifndef FLOW_SACK_H
#define FLOW_SACK_H

#include <stdbool.h>
#include <stdint.h>

#include "flow/packet.h"

enum { SACK_SPAN_MAX = 1 << 20 }; /* numbers in the newest range */

struct sack {
    uint64_t floor; /* all numbers below are treated as received */
    uint32_t count;
    struct ack_range ranges[ACK_RANGES_MAX]; /* descending, with gaps between them */
};

void sack_init(struct sack *sack, uint64_t first_number);

bool sack_has(const struct sack *sack, uint64_t number);
/* Adds a number that sack_has denied. */
void sack_add(struct sack *sack, uint64_t number);
/* The peer has seen our acknowledgement of all numbers up to `number`. */
void sack_forget(struct sack *sack, uint64_t number);
/* Copies the newest ranges that fit. Returns false when there are none. */
bool sack_fill(const struct sack *sack, struct ack_frame *ack, uint32_t ranges_max);

#endif
