/* The engine's outgoing burst and its loop back to itself. */
#include "engine/output.h"

#include <stdlib.h>
#include <string.h>

int output_init(struct output *output, struct netif *netif) {
    *output = (struct output){.netif = netif};
    output->memory = malloc((size_t)TE_BURST_MAX * NETIF_DATAGRAM_BYTES_MAX);
    bool has_loop = (netif->caps & NETIF_NO_LOOP) || netif->ops->is_own != NULL;
    if (has_loop) {
        output->loop = malloc(OUTPUT_LOOP_MAX * sizeof *output->loop);
    }
    if (output->memory == NULL || (has_loop && output->loop == NULL)) {
        return TE_E_NO_MEMORY;
    }
    for (size_t i = 0; i < TE_BURST_MAX; i++) {
        output->buffers[i] = output->memory + i * NETIF_DATAGRAM_BYTES_MAX;
    }
    return TE_OK;
}

void output_fini(struct output *output) {
    free(output->memory);
    free(output->loop);
    *output = (struct output){0};
}

uint8_t *output_reserve(struct output *output, uint64_t now_ns) {
    if (output->burst_count == TE_BURST_MAX) {
        output_flush(output, now_ns);
    }
    if (output->burst_count == TE_BURST_MAX ||
        (output->loop != NULL && output->loop_count == OUTPUT_LOOP_MAX)) {
        return NULL;
    }
    const struct netif_ops *ops = output->netif->ops;
    uint32_t index = output->burst_count;
    uint8_t *room = ops->room == NULL ? NULL : ops->room(output->netif, (int)index);
    output->burst[index].bytes = room == NULL ? output->buffers[index] : room;
    return output->burst[index].bytes;
}

static bool is_to_ourselves(const struct output *output, const struct te_endpoint *remote) {
    const struct netif *netif = output->netif;
    if (output->loop == NULL || !(netif->caps & NETIF_NO_LOOP)) {
        return output->loop != NULL && netif->ops->is_own(netif, remote);
    }
    return memcmp(remote->address, netif->local.address, TE_ADDRESS_BYTES) == 0;
}

void output_commit(struct output *output, const struct te_endpoint *local,
                   const struct te_endpoint *remote, uint32_t size_bytes) {
    struct netif_datagram *datagram = &output->burst[output->burst_count];
    output->datagrams_sent++;
    output->bytes_sent += size_bytes;
    if (is_to_ourselves(output, remote)) {
        output->loop_head = output->loop_count == 0 ? 0 : output->loop_head; /* warm in the cache */
        uint32_t tail = (output->loop_head + output->loop_count++) % OUTPUT_LOOP_MAX;
        struct output_buffer *copy = &output->loop[tail];
        memcpy(copy->bytes, datagram->bytes, size_bytes);
        copy->local = *remote;
        copy->remote = *local;
        copy->size_bytes = size_bytes;
        return;
    }
    datagram->local = *local;
    datagram->remote = *remote;
    datagram->size_bytes = size_bytes;
    output->burst_count++;
}

/* Datagrams that were not taken move up, and keep the memory that they are in. */
static void move_up(struct output *output, uint32_t taken) {
    output->burst_count -= taken;
    for (uint32_t i = 0; i < output->burst_count; i++) {
        uint8_t *buffer = output->buffers[i];
        output->burst[i] = output->burst[taken + i];
        output->buffers[i] = output->buffers[taken + i];
        output->buffers[taken + i] = buffer;
    }
}

void output_flush(struct output *output, uint64_t now_ns) {
    if (output->burst_count == 0) {
        return;
    }
    int taken = output->netif->ops->tx_burst(output->netif, now_ns, output->burst,
                                             (int)output->burst_count);
    move_up(output, (uint32_t)taken);
}

bool output_take_loop(struct output *output, struct netif_datagram *datagram) {
    if (output->loop_count == 0) {
        return false;
    }
    struct output_buffer *buffer = &output->loop[output->loop_head];
    output->loop_head = (output->loop_head + 1) % OUTPUT_LOOP_MAX;
    output->loop_count--;
    *datagram = (struct netif_datagram){
        .local = buffer->local,
        .remote = buffer->remote,
        .bytes = buffer->bytes,
        .size_bytes = buffer->size_bytes,
    };
    return true;
}

bool output_is_waiting(const struct output *output) {
    return output->burst_count > 0 || output->loop_count > 0;
}
