/* The engine's outgoing burst and its loop back to itself. */
#include "engine/output.h"

#include <stdlib.h>
#include <string.h>

int output_init(struct output *output, struct netif *netif) {
    *output = (struct output){.netif = netif};
    output->burst = malloc(TE_BURST_MAX * sizeof *output->burst);
    if (netif->caps & NETIF_NO_LOOP) {
        output->loop = malloc(OUTPUT_LOOP_MAX * sizeof *output->loop);
    }
    bool has_all = output->burst != NULL &&
                   (output->loop != NULL || !(netif->caps & NETIF_NO_LOOP));
    return has_all ? TE_OK : TE_E_NO_MEMORY;
}

void output_fini(struct output *output) {
    free(output->burst);
    free(output->loop);
    *output = (struct output){0};
}

uint8_t *output_reserve(struct output *output, uint64_t now_ns) {
    if (output->burst_count == TE_BURST_MAX) {
        output_flush(output, now_ns);
    }
    bool is_full = output->burst_count == TE_BURST_MAX ||
                   (output->loop != NULL && output->loop_count == OUTPUT_LOOP_MAX);
    return is_full ? NULL : output->burst[output->burst_count].bytes;
}

static bool is_to_ourselves(const struct output *output, const struct te_endpoint *remote) {
    return output->loop != NULL &&
           memcmp(remote->address, output->netif->local.address, TE_ADDRESS_BYTES) == 0;
}

void output_commit(struct output *output, const struct te_endpoint *local,
                   const struct te_endpoint *remote, uint32_t size_bytes) {
    struct output_buffer *buffer = &output->burst[output->burst_count];
    output->datagrams_sent++;
    output->bytes_sent += size_bytes;
    if (is_to_ourselves(output, remote)) {
        uint32_t tail = (output->loop_head + output->loop_count++) % OUTPUT_LOOP_MAX;
        struct output_buffer *copy = &output->loop[tail];
        memcpy(copy->bytes, buffer->bytes, size_bytes);
        copy->local = *remote;
        copy->remote = *local;
        copy->size_bytes = size_bytes;
        return;
    }
    buffer->local = *local;
    buffer->remote = *remote;
    buffer->size_bytes = size_bytes;
    output->burst_count++;
}

static struct netif_datagram as_datagram(struct output_buffer *buffer) {
    return (struct netif_datagram){
        .local = buffer->local,
        .remote = buffer->remote,
        .bytes = buffer->bytes,
        .size_bytes = buffer->size_bytes,
    };
}

void output_flush(struct output *output, uint64_t now_ns) {
    struct netif_datagram datagrams[TE_BURST_MAX];
    if (output->burst_count == 0) {
        return;
    }
    for (uint32_t i = 0; i < output->burst_count; i++) {
        struct output_buffer *buffer = &output->burst[i];
        datagrams[i] = as_datagram(buffer);
    }
    int taken = output->netif->ops->tx_burst(output->netif, now_ns, datagrams,
                                             (int)output->burst_count);
    uint32_t left = output->burst_count - (uint32_t)taken;
    for (uint32_t i = 0; i < left && taken > 0; i++) {
        const struct output_buffer *from = &output->burst[(uint32_t)taken + i];
        struct output_buffer *to = &output->burst[i];
        to->local = from->local;
        to->remote = from->remote;
        to->size_bytes = from->size_bytes;
        memmove(to->bytes, from->bytes, from->size_bytes);
    }
    output->burst_count = left;
}

bool output_take_loop(struct output *output, struct netif_datagram *datagram) {
    if (output->loop_count == 0) {
        return false;
    }
    struct output_buffer *buffer = &output->loop[output->loop_head];
    output->loop_head = (output->loop_head + 1) % OUTPUT_LOOP_MAX;
    output->loop_count--;
    *datagram = as_datagram(buffer);
    return true;
}

bool output_is_waiting(const struct output *output) {
    return output->burst_count > 0 || output->loop_count > 0;
}
