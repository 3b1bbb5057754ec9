/* The engine: channels of applications on one side, a netif on the other, flows in between.
 *
 * Handed time and randomness like the flows: it reads no clock and makes no system call but those
 * of its netif and doorbells. run.c gives it both and decides when to sleep.
 * Does not know RPC; of a record it reads the header only.
 *
 * Thread: one. Memory is taken when the engine opens and when a channel attaches.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bucket.h"
#include "engine/output.h"
#include "engine/peers.h"
#include "engine/timers.h"
#include "flow/flow.h"
#include "flow/flow_table.h"
#include "netif/netif.h"
#include "shm/channel.h"
#include "transport_engine.h"

enum engine_limit {
    TENANT_FLOWS_MAX = 65536,
    LISTENERS_MAX = 1024,
    RX_PACKETS_MAX = 128,    /* taken from the netif in one poll, ... */
    RX_FEW = 8,              /* ... so many at once where nobody stamps them, ... */
    RX_FEW_BYTES = 10000,    /* ... until they have so many bytes */
    LONG_POLL_BYTES = 8192,  /* moved by a poll for which a clock does not stand still */
    TIMERS_MAX = 256,        /* timers of flows that fire in one poll */
    TENANT_RECORDS_MAX = 64, /* records taken from one channel in one poll */
    FLOW_PACKETS_MAX = 16,   /* packets of one flow before the next flow's turn */
    TRANSMIT_MAX = 256,      /* packets, or looks at flows that have none, in one poll */
    DELIVERIES_MAX = 64,     /* messages to one channel in one poll */
    SHARE_ITEMS_MAX = 256,   /* records, or messages, of one share in one poll */
    SHARE_BYTES_MAX = 1 << 20, /* of records from one share, and to it, in one poll */
    FLOWS_CACHED = 64 /* of more than these a flow has to be fetched before it is its turn */
};

/* What the engine cannot know by itself. */
struct engine_world {
    uint64_t (*random)(void *context);
    /* A keyed hash that peers cannot predict; the key lives as long as the engine. */
    uint64_t (*mac)(void *context, const uint8_t *bytes, size_t size_bytes);
    /* The clock of which engine_poll is told; NULL: it stands still while the engine is polled. */
    uint64_t (*now_ns)(void *context);
    void *context;
};

/* A flow and whose it is. */
struct engine_flow {
    struct flow flow; /* first, so that the table's pointers convert */
    uint32_t slot;    /* in engine->flows and in the flow table */
    uint32_t tenant;
    uint32_t share;  /* who pays for it, also when the tenant is gone */
    uint32_t handle; /* what the tenant calls it */
    uint32_t older, newer;     /* flows of the same tenant */
    uint32_t next_ready;       /* flows that may have something to transmit */
    uint32_t next_in_inbox;    /* flows with something for the application */
    uint64_t token;            /* of the connect that made it */
    uint64_t acked_below;      /* call id, as told last; UINT64_MAX: nothing is told any more */
    uint32_t peer; /* its place in engine->peers, where it counts */
    bool is_ready;
    bool is_in_inbox;
    bool is_announced; /* the application knows of it */
};

/* The message that a tenant's channel is in the middle of, in either direction. */
struct transfer {
    bool is_active;
    bool is_discarded; /* nobody wants the rest */
    bool has_header;   /* the call header is in */
    uint32_t handle;   /* sending: of the flow */
    uint32_t message;  /* sending: in the flow's queue */
    uint32_t offset_bytes; /* delivering: payload already in the ring */
};

struct handle_entry {
    uint32_t slot; /* NO_ITEM: free */
    uint16_t generation;
};

struct tenant {
    struct channel *channel; /* NULL: this tenant's place is free */
    uint32_t share;
    uint8_t reason; /* TE_R_NONE: well; else why the channel is no longer served */
    bool is_reported; /* its quarantine, to the control plane */
    uint32_t first_flow;
    uint32_t inbox_first, inbox_last;
    struct transfer sending;
    struct transfer delivering;
    struct handle_entry *handles;
    uint32_t *free_handles;
    uint32_t free_handle_count;
    uint32_t handles_max;
};

/* What is left of a share in one poll. */
struct allowance {
    int32_t items;
    int32_t bytes;
};

/* engine/shares.h */
struct share {
    struct te_share terms;
    struct bucket messages;
    struct bucket bytes;
    struct allowance sending;
    struct allowance delivering;
    uint32_t flow_count;
    uint32_t flows_max;
    uint32_t blocks_held; /* up to when another share was billed */
    uint32_t blocks_max;
    uint32_t ready_first, ready_last; /* its flows that may have something to transmit */
    uint32_t next_active;
    int32_t packets_left; /* of its turn */
    int32_t bytes_left;
    bool is_active; /* it has ready flows */
    bool is_waiting; /* for a rate to let its records go */
};

struct listener {
    uint32_t tenant; /* NO_ITEM: closed, and kept for the flows that it accepted */
    uint32_t flow_count; /* accepted and not yet over: they send from this port */
    uint16_t port; /* 0: free */
};

struct membership;

struct engine {
    struct engine_world world;
    struct membership *membership; /* engine/team.h; NULL: an engine on its own. Owner: this */
    struct netif *netif;
    struct flow_config flow_config;
    struct flow_counters flow_counters;
    struct store store;
    struct flow_table table;
    struct engine_flow *flows;
    struct tenant *tenants;
    struct listener listeners[LISTENERS_MAX];
    struct share shares[TE_SHARES_MAX];
    struct timers timers;
    struct output output;
    struct te_stats stats;
    uint64_t now_ns;
    uint64_t received_ns; /* when the netif was last asked for datagrams */
    uint32_t flows_max;
    uint32_t tenants_max;
    uint32_t tenant_count; /* places in use or free below the highest in use */
    uint32_t active_first, active_last; /* shares that have ready flows */
    uint32_t billed;      /* the share whose flows are at work */
    uint32_t billed_free; /* blocks that were free when that began */
    uint32_t first_served; /* the channel that comes first in this poll */
    uint64_t resume_ns;   /* when a rate lets a channel go on; UINT64_MAX: none waits */
    bool is_draining;
    bool is_clock_given; /* time stands still while there is anything to do */
    void *memory; /* store, tables and timers; one mapping */
    size_t memory_bytes;
    struct peers peers;
};

/* Takes over `netif`, also when it fails. Errors: TE_E_INVALID, TE_E_NO_MEMORY. */
int engine_init(struct engine *engine, const struct te_engine_config *config,
                const struct engine_world *world, struct netif *netif, uint64_t now_ns, char *why);
/* Tells every peer and every application, then frees everything. */
void engine_fini(struct engine *engine, uint64_t now_ns);

/* Moves one burst. Returns the records and datagrams moved. */
int engine_poll(struct engine *engine, uint64_t now_ns);
/* What is done from here on is done at a time of its own, if there is a clock to say it. */
static inline void engine_read_clock(struct engine *engine) {
    if (engine->world.now_ns != NULL) {
        engine->now_ns = engine->world.now_ns(engine->world.context);
    }
}
/* Whether engine_poll would have work at once, before any timer or input. */
bool engine_is_busy(const struct engine *engine);
void engine_fill_stats(const struct engine *engine, struct te_stats *stats);

/* ---- between the engine's own files ---- */

static inline struct engine_flow *engine_flow_at(const struct engine *engine, uint32_t slot) {
    return &engine->flows[slot];
}

static inline bool engine_is_served(const struct engine *engine, uint32_t tenant) {
    return engine->tenants[tenant].channel != NULL &&
           engine->tenants[tenant].reason == TE_R_NONE;
}

static inline void fetch_lines(const uint8_t *memory, size_t begin, size_t end) {
    enum { LINE_BYTES = 64 };
    for (size_t at = begin; at < end; at += LINE_BYTES) {
        __builtin_prefetch(memory + at, 1);
    }
}

/* Has the lines of a flow fetched that messages and packets use: not what a few that were lost or
 * came out of order left behind. Only the cache sees it. */
static inline void engine_fetch(const struct engine_flow *flow) {
    const uint8_t *memory = (const uint8_t *)flow;
    fetch_lines(memory, 0, offsetof(struct engine_flow, flow.sack.ranges) +
                               sizeof(struct ack_range));
    fetch_lines(memory, offsetof(struct engine_flow, flow.ledger),
                offsetof(struct engine_flow, flow.ledger.lost_memory));
    fetch_lines(memory, offsetof(struct engine_flow, flow.rtt), sizeof *flow);
}

/* Marks the flow for transmission in this poll; call it after whatever may make it send. */
void engine_touch(struct engine *engine, struct engine_flow *flow);
/* Puts the flow into its tenant's inbox. */
void engine_notify(struct engine *engine, struct engine_flow *flow);
/* Errors: TE_E_NO_MEMORY (a table is full), TE_E_QUOTA. */
int engine_open_flow(struct engine *engine, uint32_t tenant, struct engine_flow **opened);
/* Enters an opened flow into the tables, once it has its ids, as one of the peer's. */
void engine_enter_flow(struct engine *engine, struct engine_flow *flow, struct peer *peer);
void engine_random_birth(struct engine *engine, struct engine_flow *flow,
                         const struct te_endpoint *local, const struct te_endpoint *remote,
                         struct flow_birth *birth);

#endif
