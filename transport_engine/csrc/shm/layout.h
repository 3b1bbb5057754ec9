/* What lies where in a channel's memory: a header, then the bytes of the TX and of the RX ring.
 *
 * Both ends include this; nothing else does. TX carries records to the engine, RX to the
 * application. In a pair, whoever accepted has the engine's part. Source: docs/channel.md §1, §7.
 */
#ifndef SHM_LAYOUT_H
#define SHM_LAYOUT_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "transport_engine.h"
#include "transport_fates.h"

enum channel_layout {
    CHANNEL_VERSION = 1,
    CHANNEL_HEADER_BYTES = 65536, /* a multiple of every page size in use */
    CHANNEL_LINE_BYTES = 128,     /* a cache line and the neighbour that is fetched with it */
    CHANNEL_MAGIC_BYTES = 8,
    CHANNEL_STARTS_OFFSET = 4096, /* struct starts of TX's writer's flows, then of RX's */
    CHANNEL_ACKED_OFFSET = 53248, /* a word for each flow; shm/acked.h */
    CHANNEL_ACKED_FLOWS = 1024
};

#define CHANNEL_MAGIC "te-chan" /* with its zero: CHANNEL_MAGIC_BYTES */

/* What stands at the beginning: written once, before anybody else has the memory. */
struct channel_geometry {
    uint8_t magic[CHANNEL_MAGIC_BYTES];
    uint32_t version;
    uint32_t header_bytes;
    uint64_t ring_bytes; /* of each ring */
};

/* Written once by the engine, and the positions afterwards each by the side that is named. */
struct channel_header {
    uint8_t magic[CHANNEL_MAGIC_BYTES];
    uint32_t version;
    uint32_t header_bytes;
    uint64_t ring_bytes;

    _Alignas(CHANNEL_LINE_BYTES) _Atomic uint64_t tx_tail; /* application: bytes written to TX */
    _Alignas(CHANNEL_LINE_BYTES) _Atomic uint64_t tx_head; /* engine: bytes taken from TX */
    _Alignas(CHANNEL_LINE_BYTES) _Atomic uint64_t rx_tail; /* engine: bytes written to RX */
    _Alignas(CHANNEL_LINE_BYTES) _Atomic uint64_t rx_head; /* application: bytes taken from RX */
    /* enum te_wake that a side sleeps for: it sets them, the side that rings clears them. */
    _Alignas(CHANNEL_LINE_BYTES) _Atomic uint32_t application_armed;
    _Alignas(CHANNEL_LINE_BYTES) _Atomic uint32_t engine_armed;
};

/* What a side has noted of the latest requests of one flow; shm/starts.h. */
struct starts {
    _Alignas(CHANNEL_LINE_BYTES) _Atomic uint64_t flow; /* and 1; 0: nobody's */
    _Atomic uint64_t newest; /* the highest call id of which something was noted */
    _Atomic uint64_t words[TE_STARTS_WORDS];
    _Atomic uint64_t number; /* of the flow, which both its ends know; 0: it has none */
};

static_assert(CHANNEL_STARTS_OFFSET + 2 * TE_STARTS_FLOWS * sizeof(struct starts)
                  <= CHANNEL_ACKED_OFFSET,
              "docs/channel.md §8");
static_assert(CHANNEL_ACKED_OFFSET + CHANNEL_ACKED_FLOWS * sizeof(uint64_t)
                  <= CHANNEL_HEADER_BYTES,
              "docs/channel.md §9");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
              "positions are shared between processes, so no lock may hide behind them");
static_assert(sizeof(struct channel_header) == 7 * CHANNEL_LINE_BYTES, "docs/channel.md §1");
static_assert(offsetof(struct channel_header, engine_armed) == 6 * CHANNEL_LINE_BYTES,
              "docs/channel.md §1");
static_assert(offsetof(struct channel_geometry, ring_bytes)
                  == offsetof(struct channel_header, ring_bytes),
              "the geometry is the head of the header");
static_assert(sizeof(struct te_record) == 48, "docs/channel.md §2");

#endif
