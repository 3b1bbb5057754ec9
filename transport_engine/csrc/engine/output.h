/* Datagrams on their way out: a burst for the netif, and those for the engine's own address.
 *
 * Full is a value: whoever gets NULL tries again in the next poll.
 */
#ifndef ENGINE_OUTPUT_H
#define ENGINE_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "netif/netif.h"

enum output_limit { OUTPUT_LOOP_MAX = 256 };

struct output_buffer {
    struct te_endpoint local;
    struct te_endpoint remote;
    uint32_t size_bytes;
    uint8_t bytes[NETIF_DATAGRAM_BYTES_MAX];
};

struct output {
    struct netif *netif;
    uint8_t *memory; /* TE_BURST_MAX buffers, for where the netif has no room of its own */
    uint8_t *buffers[TE_BURST_MAX];
    struct netif_datagram burst[TE_BURST_MAX]; /* the one behind the last holds what is reserved */
    uint32_t burst_count;
    /* To ourselves, past the netif. NULL: it brings them back, or cannot say what it would. */
    struct output_buffer *loop;
    uint32_t loop_head, loop_count;
    uint64_t datagrams_sent;
    uint64_t bytes_sent;
};

/* Errors: TE_E_NO_MEMORY. */
int output_init(struct output *output, struct netif *netif);
void output_fini(struct output *output);

/* Returns memory for one datagram, as long as the netif's mtu_bytes admits, or NULL: no room now.
 * It counts once output_commit is called. */
uint8_t *output_reserve(struct output *output, uint64_t now_ns);
void output_commit(struct output *output, const struct te_endpoint *local,
                   const struct te_endpoint *remote, uint32_t size_bytes);

/* Hands what is waiting to the netif, as far as it takes it. */
void output_flush(struct output *output, uint64_t now_ns);

/* Takes the oldest datagram to ourselves; valid until the next output_commit. */
bool output_take_loop(struct output *output, struct netif_datagram *datagram);
bool output_is_waiting(const struct output *output);

#endif
