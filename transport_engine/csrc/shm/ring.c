#include "shm/ring.h"

#include "base/check.h"

void ring_init(struct ring *ring, enum ring_role role, uint8_t *bytes, uint64_t capacity_bytes,
               _Atomic uint64_t *own_shared, _Atomic uint64_t *peer_shared) {
    te_check(capacity_bytes != 0 && (capacity_bytes & (capacity_bytes - 1)) == 0);
    *ring = (struct ring){
        .bytes = bytes,
        .capacity_bytes = capacity_bytes,
        .own_shared = own_shared,
        .peer_shared = peer_shared,
        .role = role,
    };
}

/* From positions that are private or checked, so it is right whatever the shared memory says. */
uint64_t ring_known(const struct ring *ring) {
    if (ring->role == RING_PRODUCER) {
        return ring->capacity_bytes - (ring->position - ring->peer);
    }
    return ring->peer - ring->position;
}

/* How far the other end may have moved: a consumer over what was published to it, a producer into
 * the room that was published to it. */
static uint64_t peer_reach(const struct ring *ring) {
    if (ring->role == RING_PRODUCER) {
        return ring->published - ring->peer;
    }
    return ring->capacity_bytes - (ring->peer - ring->published);
}

int64_t ring_available(struct ring *ring, uint64_t wanted_bytes) {
    uint64_t available = ring_known(ring);
    if (available < wanted_bytes) {
        /* Pairs with the release in ring_publish of the other end: what it wrote before it moved
         * its tail is seen, what it read before it moved its head may be overwritten. */
        const uint64_t seen = atomic_load_explicit(ring->peer_shared, memory_order_acquire);
        if (seen - ring->peer > peer_reach(ring) || seen % TE_RECORD_ALIGN != 0) {
            return TE_E_CORRUPT;
        }
        ring->peer = seen;
        available = ring_known(ring);
    }
    return (int64_t)available;
}

uint8_t *ring_cursor(const struct ring *ring) {
    return ring->bytes + (ring->position & (ring->capacity_bytes - 1));
}

void ring_advance(struct ring *ring, uint64_t bytes) {
    te_check(bytes <= ring_known(ring) && bytes % TE_RECORD_ALIGN == 0);
    ring->position += bytes;
}

void ring_publish(struct ring *ring) {
    if (ring->published != ring->position) {
        ring->published = ring->position;
        atomic_store_explicit(ring->own_shared, ring->position, memory_order_release);
    }
}

uint64_t ring_wake_room(const struct ring *ring) {
    const uint64_t record = sizeof(struct te_record) + TE_RECORD_PAYLOAD_MAX;
    const uint64_t half = ring->capacity_bytes / 2;
    return half > record ? half : record;
}
