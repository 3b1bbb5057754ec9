/* One end of a byte ring in shared memory, with one producer and one consumer.
 *
 * Positions count bytes since the beginning and only grow; the byte of position p lies at
 * p mod capacity. Each end keeps its own position in private memory and only *publishes* it; of
 * the other end it knows what it last read, and that was checked. Knows bytes, not records.
 *
 * Thread: each end belongs to one thread; two ends need no lock.
 * Source: L. Lamport, "Specifying Concurrent Program Modules", 1983; memory mapped twice.
 */
#ifndef SHM_RING_H
#define SHM_RING_H

#include <stdatomic.h>
#include <stdint.h>

#include "transport_engine.h"

enum ring_role { RING_PRODUCER, RING_CONSUMER };

struct ring {
    uint8_t *bytes; /* 2 * capacity_bytes: mapped twice; only the producer may write them */
    uint64_t capacity_bytes;
    uint64_t position;  /* first byte not yet written (producer) or taken (consumer) */
    uint64_t published; /* what the other end was told of it */
    uint64_t rung;      /* `published` when the other end's doorbell was last looked at */
    uint64_t peer;      /* the other end's position, as last read and checked */
    _Atomic uint64_t *own_shared;
    _Atomic uint64_t *peer_shared;
    enum ring_role role;
};

/* The capacity is a power of two; both shared positions are 0. */
void ring_init(struct ring *ring, enum ring_role role, uint8_t *bytes, uint64_t capacity_bytes,
               _Atomic uint64_t *own_shared, _Atomic uint64_t *peer_shared);

/* Bytes that this end may write (producer) or read (consumer) at its cursor. Looks at the other
 * end's position, once, only where what is known of it does not give `wanted_bytes`.
 * Errors: TE_E_CORRUPT, where that position moved to where no honest end puts it. */
int64_t ring_available(struct ring *ring, uint64_t wanted_bytes);

/* The same without a look at the other end: what is known. */
uint64_t ring_known(const struct ring *ring);

/* Where the next byte is written or read; contiguous for as much as is available. */
uint8_t *ring_cursor(const struct ring *ring);
/* Moves over bytes that were available; the other end does not see it yet. */
void ring_advance(struct ring *ring, uint64_t bytes);
/* Shows the other end all that this end advanced over. */
void ring_publish(struct ring *ring);

/* Room at which a sleeping producer is worth waking: half the ring, and any one record. */
uint64_t ring_wake_room(const struct ring *ring);

#endif
