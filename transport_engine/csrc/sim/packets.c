/* Packet buffers in chunks, so that they never move. */
#include "sim/packets.h"

#include <stdlib.h>
#include <string.h>

#include "flow/packet.h"

enum { CHUNK_SHIFT = 6, CHUNK_PACKETS = 1 << CHUNK_SHIFT };

void packets_init(struct packets *packets) {
    *packets = (struct packets){.free_head = NO_ITEM};
}

void packets_fini(struct packets *packets) {
    for (uint32_t i = 0; i < packets->chunk_count; i++) {
        free(packets->chunks[i]);
    }
    free(packets->chunks);
    *packets = (struct packets){0};
}

struct sim_packet *packets_at(const struct packets *packets, uint32_t index) {
    return &packets->chunks[index >> CHUNK_SHIFT][index & (CHUNK_PACKETS - 1)];
}

static bool grow(struct packets *packets) {
    uint32_t count = packets->chunk_count;
    struct sim_packet **chunks = realloc(packets->chunks, (count + 1) * sizeof *chunks);
    if (chunks == NULL) {
        return false;
    }
    packets->chunks = chunks;
    size_t heads_bytes = CHUNK_PACKETS * sizeof(struct sim_packet);
    chunks[count] = malloc(heads_bytes + CHUNK_PACKETS * PACKET_BYTES_MAX);
    if (chunks[count] == NULL) {
        return false;
    }
    uint8_t *bytes = (uint8_t *)chunks[count] + heads_bytes;
    packets->chunk_count++;
    for (uint32_t i = CHUNK_PACKETS; i-- > 0;) {
        chunks[count][i] = (struct sim_packet){.next = packets->free_head,
                                               .bytes = bytes + (size_t)i * PACKET_BYTES_MAX};
        packets->free_head = (count << CHUNK_SHIFT) + i;
    }
    return true;
}

uint32_t packets_take(struct packets *packets) {
    if (packets->free_head == NO_ITEM && !grow(packets)) {
        return NO_ITEM;
    }
    uint32_t index = packets->free_head;
    struct sim_packet *packet = packets_at(packets, index);
    packets->free_head = packet->next;
    packets->under_way++;
    *packet = (struct sim_packet){.next = NO_ITEM, .bytes = packet->bytes};
    return index;
}

void packets_give(struct packets *packets, uint32_t index) {
    packets_at(packets, index)->next = packets->free_head;
    packets->free_head = index;
    packets->under_way--;
}

uint32_t packets_copy(struct packets *packets, uint32_t index) {
    uint32_t copy_index = packets_take(packets);
    if (copy_index == NO_ITEM) {
        return NO_ITEM;
    }
    struct sim_packet *copy = packets_at(packets, copy_index);
    const struct sim_packet *packet = packets_at(packets, index);
    uint8_t *bytes = copy->bytes;
    *copy = *packet;
    copy->bytes = bytes;
    copy->next = NO_ITEM;
    memcpy(bytes, packet->bytes, packet->size_bytes);
    return copy_index;
}
