/* One generator's state, and its turn.
 *
 * Knows records and its channel. Does not know the thread that drives it, nor engines.
 */
#ifndef MSGGEN_MSGGEN_H
#define MSGGEN_MSGGEN_H

#include <stdbool.h>
#include <stdint.h>

#include "msggen/histogram.h"
#include "transport_msggen.h"

enum msggen_limit {
    SLOT_BITS = 12, /* of a mark: the place in the window */
    BURST_MAX = 64, /* records that one call sends or receives */
    PAYLOAD_BYTES = 4 * TE_RECORD_PAYLOAD_MAX
};

struct te_msggen {
    struct te_msggen_config config;
    struct te_msggen_counts counts;
    struct te_record heads[BURST_MAX];
    uint8_t *received;   /* PAYLOAD_BYTES */
    uint8_t *records;    /* packed, on their way out */
    uint64_t unsent_at;  /* server: the replies that the ring had no room for ... */
    uint64_t unsent_end; /* ... lie between here and there */
    uint64_t next_number;
    uint32_t stride_bytes; /* of a request, header and padding included */
    uint32_t free_count;
    bool is_settling; /* no new requests */
    uint16_t free_slots[TE_MSGGEN_WINDOW_MAX];
    uint64_t marks[TE_MSGGEN_WINDOW_MAX];   /* of the request in each place; 0: none */
    uint64_t sent_ns[TE_MSGGEN_WINDOW_MAX];
    struct histogram histogram;
};

uint64_t msggen_now_ns(void);

/* Receives a burst and sends what it makes due. Returns the records moved, or an error. */
int msggen_step(struct te_msggen *msggen);
/* Whether a client's flow is gone. */
bool msggen_is_over(const struct te_msggen *msggen);

#endif
