#include "shm/end.h"

void end_init(struct end *end, enum mapping_side side, struct mapping mapping, int doorbell_fd) {
    struct channel_header *header = mapping.header;
    const uint64_t bytes = mapping.ring_bytes;

    *end = (struct end){.mapping = mapping};
    if (side == MAPPING_ENGINE) {
        ring_init(&end->in, RING_CONSUMER, mapping.tx, bytes, &header->tx_head, &header->tx_tail);
        ring_init(&end->out, RING_PRODUCER, mapping.rx, bytes, &header->rx_tail, &header->rx_head);
        doorbell_init(&end->doorbell, doorbell_fd, &header->engine_armed,
                      &header->application_armed);
    } else {
        ring_init(&end->in, RING_CONSUMER, mapping.rx, bytes, &header->rx_head, &header->rx_tail);
        ring_init(&end->out, RING_PRODUCER, mapping.tx, bytes, &header->tx_tail, &header->tx_head);
        doorbell_init(&end->doorbell, doorbell_fd, &header->application_armed,
                      &header->engine_armed);
    }
}

void end_fini(struct end *end) {
    doorbell_fini(&end->doorbell);
    mapping_close(&end->mapping);
}

bool end_ring(struct end *end) {
    struct ring *out = &end->out;
    struct ring *in = &end->in;
    uint32_t happened = 0;

    if (out->rung != out->published) {
        out->rung = out->published;
        happened |= TE_WAKE_READABLE;
    }
    if (in->rung != in->published) {
        in->rung = in->published;
        /* What is known of the producer may be old, so this room is never less than the real one:
         * a producer that sleeps for room is woken too early at worst. */
        if (in->capacity_bytes - (in->peer - in->published) >= ring_wake_room(in)) {
            happened |= TE_WAKE_WRITABLE;
        }
    }
    return happened != 0 && doorbell_ring(&end->doorbell, happened);
}

uint32_t end_arm(struct end *end, uint32_t wakes) {
    uint32_t ready = 0;

    ring_publish(&end->in);
    ring_publish(&end->out);
    end_ring(end);

    doorbell_arm(&end->doorbell, wakes);
    if ((wakes & TE_WAKE_READABLE) != 0 && ring_available(&end->in, 1) != 0) {
        ready |= TE_WAKE_READABLE;
    }
    if ((wakes & TE_WAKE_WRITABLE) != 0) {
        const uint64_t wanted = ring_wake_room(&end->out);
        const int64_t room = ring_available(&end->out, wanted);
        if (room < 0 || (uint64_t)room >= wanted) {
            ready |= TE_WAKE_WRITABLE;
        }
    }
    if (ready != 0) {
        doorbell_disarm(&end->doorbell);
    }
    return ready;
}
