/* The poll: in from the netif, out to applications, in from applications, out to the netif. */
#define _GNU_SOURCE /* mmap, MAP_NORESERVE */

#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/config.h"
#include "engine/delivery.h"
#include "engine/listener.h"
#include "engine/receiving.h"
#include "engine/sending.h"
#include "engine/shares.h"
#include "engine/team.h"
#include "engine/tenants.h"

enum { TIMERS_TOGETHER = 8 /* that fire one after the other, their flows fetched before */ };

/* ---- flows ---- */

/* A flow whose application is gone, or no longer served, has nobody to tell. */
static bool is_orphan(const struct engine *engine, const struct engine_flow *flow) {
    return flow->tenant == NO_ITEM || engine->tenants[flow->tenant].reason != TE_R_NONE;
}

void engine_notify(struct engine *engine, struct engine_flow *flow) {
    if (flow->is_in_inbox || is_orphan(engine, flow) || !delivery_is_due(engine, flow)) {
        return;
    }
    struct tenant *tenant = &engine->tenants[flow->tenant];
    flow->is_in_inbox = true;
    flow->next_in_inbox = NO_ITEM;
    if (tenant->inbox_last == NO_ITEM) {
        tenant->inbox_first = flow->slot;
    } else {
        engine_flow_at(engine, tenant->inbox_last)->next_in_inbox = flow->slot;
    }
    tenant->inbox_last = flow->slot;
}

int engine_open_flow(struct engine *engine, uint32_t tenant, struct engine_flow **opened) {
    uint32_t index = engine->tenants[tenant].share;
    const struct share *share = &engine->shares[index];
    if (share->flow_count >= share->flows_max) {
        engine->stats.quota_refusals++;
        return TE_E_QUOTA;
    }
    uint32_t slot = flow_table_reserve(&engine->table);
    if (slot == NO_ITEM || slot >= engine->flows_max) {
        return TE_E_NO_MEMORY;
    }
    struct engine_flow *flow = engine_flow_at(engine, slot);
    *flow = (struct engine_flow){.slot = slot, .tenant = NO_ITEM, .share = index,
                                 .next_ready = NO_ITEM, .next_in_inbox = NO_ITEM,
                                 .acked_below = 1};
    share_bill(engine, index);
    *opened = flow;
    return tenant_adopt(engine, tenant, flow) ? TE_OK : TE_E_NO_MEMORY;
}

void engine_enter_flow(struct engine *engine, struct engine_flow *flow, struct peer *peer) {
    flow->peer = (uint32_t)(peer - engine->peers.places);
    flow_table_put(&engine->table, flow->slot, &flow->flow);
    engine->shares[flow->share].flow_count++;
    engine->stats.flows_open++;
}

void engine_random_birth(struct engine *engine, struct engine_flow *flow,
                         const struct te_endpoint *local, const struct te_endpoint *remote,
                         struct flow_birth *birth) {
    uint64_t (*random)(void *) = engine->world.random;
    *birth = (struct flow_birth){
        .local = *local,
        .remote = *remote,
        .local_id = flow_table_id(&engine->table, flow->slot,
                                  team_id(engine, random(engine->world.context))),
        .first_number = random(engine->world.context) >> 2,
    };
}

static void free_flow(struct engine *engine, struct engine_flow *flow) {
    if (flow->tenant != NO_ITEM) {
        tenant_disown(engine, flow);
    }
    if (flow->flow.is_server) {
        listener_forget_flow(engine, flow->flow.local.port);
    }
    timers_set(&engine->timers, flow->slot, UINT64_MAX);
    flow_table_remove(&engine->table, flow->slot);
    share_bill(engine, flow->share);
    flow_fini(&flow->flow, &engine->store);
    peers_remove(engine, &engine->peers.places[flow->peer], flow->flow.is_server);
    engine->shares[flow->share].flow_count--;
    engine->stats.flows_open--;
}

/* ---- out to the netif ---- */

/* Frees a flow that is over, or sets its timer. */
static void settle(struct engine *engine, struct engine_flow *flow) {
    if (flow->flow.state == FLOW_CLOSED) {
        engine_notify(engine, flow);
        if (flow_is_over(&flow->flow) && is_orphan(engine, flow)) {
            free_flow(engine, flow);
        }
        return;
    }
    uint64_t next_ns = flow_next_ns(&flow->flow);
    if (next_ns < engine->timers.items[flow->slot].when_ns) {
        timers_set(&engine->timers, flow->slot, next_ns); /* a later time is noticed on firing */
    }
}

/* What one poll may still transmit, and how much it has. */
struct transmission {
    int left; /* packets, and looks at flows that have none */
    int count;
};

/* Writes packets of the flow until it has no more, its turn or its share's ends, or nothing fits.
 * Returns false when the output is full. */
static bool transmit(struct engine *engine, struct share *share, struct engine_flow *flow,
                     struct transmission *now) {
    share_bill(engine, flow->share);
    for (int i = 0; i < FLOW_PACKETS_MAX && share->packets_left > 0 && share->bytes_left > 0;
         i++) {
        uint8_t *out = output_reserve(&engine->output, engine->now_ns);
        if (out == NULL) {
            engine_touch(engine, flow);
            return false;
        }
        now->left--;
        size_t size_bytes = flow_transmit(&flow->flow, &engine->store, engine->now_ns, out);
        if (size_bytes == 0) {
            settle(engine, flow);
            return true;
        }
        output_commit(&engine->output, &flow->flow.local, &flow->flow.remote,
                      (uint32_t)size_bytes);
        share->packets_left--;
        share->bytes_left -= (int32_t)size_bytes;
        now->count++;
    }
    engine_touch(engine, flow);
    return true;
}

static int transmit_all(struct engine *engine) {
    struct transmission now = {.left = TRANSMIT_MAX};
    struct share *share;
    bool has_room = true;
    while (has_room && now.left > 0 && (share = share_next(engine)) != NULL) {
        struct engine_flow *flow = share_pop(engine, share);
        has_room = flow == NULL || transmit(engine, share, flow, &now);
        share_settle(engine, share);
    }
    output_flush(&engine->output, engine->now_ns);
    return now.count;
}

/* The time that the flow's timer was set for has come; what it was set for may be done by now. */
static void fire_timer(struct engine *engine, struct engine_flow *flow) {
    uint64_t next_ns = flow_next_ns(&flow->flow);
    if (next_ns > engine->now_ns) {
        timers_set(&engine->timers, flow->slot, next_ns);
        return;
    }
    share_bill(engine, flow->share);
    bool was_connecting = flow->flow.state == FLOW_CONNECTING;
    bool was_closed = flow->flow.state == FLOW_CLOSED; /* and its application has not heard of it */
    flow_timeout(&flow->flow, &engine->store, engine->now_ns);
    if (flow_is_unanswered(&flow->flow) && engine->netif->ops->unanswered != NULL) {
        engine->netif->ops->unanswered(engine->netif, &flow->flow.remote, engine->now_ns);
    }
    if (flow->flow.state == FLOW_CLOSED && !was_closed) {
        engine->stats.handshakes_failed += was_connecting;
        engine->stats.flows_died += !was_connecting;
    }
    /* until it can send */
    timers_set(&engine->timers, flow->slot, flow_patience_ns(&flow->flow));
    engine_touch(engine, flow);
    engine_notify(engine, flow);
}

/* Takes timers whose time has come, and has their flows fetched. */
static int pop_timers(struct engine *engine, struct engine_flow **flows) {
    bool are_many = engine->stats.flows_open > FLOWS_CACHED;
    uint32_t slot;
    int count = 0;
    while (count < TIMERS_TOGETHER &&
           (slot = timers_pop(&engine->timers, engine->now_ns)) != NO_ITEM) {
        flows[count] = engine_flow_at(engine, slot);
        if (are_many) {
            engine_fetch(flows[count]);
        }
        count++;
    }
    return count;
}

static void fire_timers(struct engine *engine) {
    struct engine_flow *flows[TIMERS_TOGETHER];
    int count = TIMERS_TOGETHER;
    for (int fired = 0; fired < TIMERS_MAX && count == TIMERS_TOGETHER; fired += count) {
        count = pop_timers(engine, flows);
        for (int i = 0; i < count; i++) {
            fire_timer(engine, flows[i]);
        }
    }
}

static int serve(struct engine *engine, uint32_t tenant) {
    int moved = delivery_look(engine, tenant);
    if (engine_is_served(engine, tenant)) {
        moved += sending_poll(engine, tenant);
        channel_flush(engine->tenants[tenant].channel);
    }
    return moved;
}

/* What a share may move in one poll is for all its channels. */
static void grant_allowances(struct engine *engine) {
    for (uint32_t i = 0; i < engine->tenant_count; i++) {
        struct share *share = &engine->shares[engine->tenants[i].share];
        share->sending = share->delivering =
            (struct allowance){.items = SHARE_ITEMS_MAX, .bytes = SHARE_BYTES_MAX};
    }
}

/* Another channel comes first in each poll. */
static int serve_channels(struct engine *engine) {
    uint32_t count = engine->tenant_count;
    int moved = 0;
    engine->first_served = engine->first_served + 1 < count ? engine->first_served + 1 : 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t tenant = engine->first_served + i;
        moved += serve(engine, tenant < count ? tenant : tenant - count);
    }
    return moved;
}

/* To copy what came takes longer than a path may. Acknowledgements say that it was held here, and
 * what is sent has not been on its way for that time. */
int engine_poll(struct engine *engine, uint64_t now_ns) {
    const struct te_stats *stats = &engine->stats;
    uint64_t bytes_before = stats->bytes_received + stats->message_bytes_sent;
    engine->now_ns = now_ns;
    engine->resume_ns = UINT64_MAX;
    grant_allowances(engine);
    int moved = receiving_poll(engine);
    fire_timers(engine);
    moved += serve_channels(engine);
    if (stats->bytes_received + stats->message_bytes_sent - bytes_before >= LONG_POLL_BYTES) {
        engine_read_clock(engine);
    }
    moved += transmit_all(engine);
    engine->stats.polls++;
    engine->stats.polls_idle += moved == 0;
    return moved;
}

bool engine_is_busy(const struct engine *engine) {
    return engine->active_first != NO_ITEM || output_is_waiting(&engine->output);
}

/* ---- life ---- */

static uint32_t round_up_pow2(uint32_t value) {
    uint32_t power = 1;
    while (power < value) {
        power *= 2;
    }
    return power;
}

static void init_flow_config(struct engine *engine, const struct te_engine_config *config) {
    uint64_t credit_max = config->pool_bytes / LONGEST_SHARE; /* more would often be refused */
    uint64_t credit_bytes = config->credit_bytes < credit_max ? config->credit_bytes : credit_max;
    engine->flow_config = (struct flow_config){
        .parameters = {
            .message_bytes_max = config->message_bytes_max + TE_CALL_HEADER_BYTES,
            .credit_units = credit_bytes / CREDIT_UNIT_BYTES + 1,
        },
        .congestion = congestion_find(config->congestion),
        .counters = &engine->flow_counters,
        .keep_alive_ns = config->keep_alive_ns,
        .dead_ns = config->dead_ns,
        .unfinished_ns = config->unfinished_ns,
        .handshake_timeout_ns = config->handshake_timeout_ns,
        .burst_bytes = engine->netif->burst_bytes,
        .profile = config->profile,
    };
    flow_config_derive(&engine->flow_config, engine->netif->mtu_bytes);
}

static size_t round_up_page(size_t bytes) {
    return (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

/* One mapping for everything whose size the configuration decides; untouched pages cost nothing. */
static bool take_memory(struct engine *engine, const struct te_engine_config *config,
                        uint64_t now_ns) {
    uint32_t blocks = (uint32_t)(config->pool_bytes / BLOCK_BYTES);
    uint32_t table_slots = round_up_pow2(config->flows_max);
    size_t store_size = store_bytes(blocks);
    size_t table_size = round_up_page(flow_table_bytes(table_slots));
    size_t flows_size = round_up_page(table_slots * sizeof(struct engine_flow));
    size_t timers_size = round_up_page(table_slots * sizeof(struct timer));
    engine->memory_bytes = store_size + table_size + flows_size + timers_size;
    engine->memory = mmap(NULL, engine->memory_bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (engine->memory == MAP_FAILED) {
        engine->memory = NULL;
        return false;
    }
    uint8_t *at = engine->memory;
    store_init(&engine->store, at, blocks);
    at += store_size;
    flow_table_init(&engine->table, at, table_slots,
                    engine->world.mac(engine->world.context, (const uint8_t *)"flows", 5));
    at += table_size;
    engine->flows = (struct engine_flow *)(void *)at;
    at += flows_size;
    timers_init(&engine->timers, (struct timer *)(void *)at, table_slots, now_ns);
    engine->tenants = calloc(config->channels_max, sizeof *engine->tenants);
    return engine->tenants != NULL &&
           peers_init(&engine->peers, config->flows_max, config->flows_per_peer_max);
}

int engine_init(struct engine *engine, const struct te_engine_config *config,
                const struct engine_world *world, struct netif *netif, uint64_t now_ns,
                char *why) {
    *engine = (struct engine){
        .world = *world,
        .netif = netif,
        .now_ns = now_ns,
        .received_ns = now_ns,
        .flows_max = config->flows_max,
        .tenants_max = config->channels_max,
    };
    engine->is_clock_given = config->clock_ns != NULL;
    if (netif->mtu_bytes < flow_mtu_bytes_min()) {
        snprintf(why, TE_WHY_BYTES,
                 "the interface carries packets of %u bytes, and %u are needed: ip link set dev "
                 "NAME mtu 1500", netif->mtu_bytes, flow_mtu_bytes_min());
        netif->ops->close(netif);
        return TE_E_INVALID;
    }
    init_flow_config(engine, config);
    const bool has_memory = take_memory(engine, config, now_ns);
    shares_init(engine); /* also for engine_fini */
    if (!has_memory || output_init(&engine->output, netif) != TE_OK ||
        team_join(engine, config) != TE_OK) {
        snprintf(why, TE_WHY_BYTES, "no memory for a pool of %llu bytes and %u flows: lower "
                 "pool_bytes or flows_max", (unsigned long long)config->pool_bytes,
                 config->flows_max);
        engine_fini(engine, now_ns);
        return TE_E_NO_MEMORY;
    }
    return TE_OK;
}

static void say_goodbye(struct engine *engine) {
    for (uint32_t slot = 0; slot < engine->flows_max; slot++) {
        struct engine_flow *flow = engine_flow_at(engine, slot);
        share_bill(engine, flow->share);
        if (flow->flow.state == FLOW_OPEN || flow->flow.state == FLOW_CLOSING) {
            flow_close(&flow->flow, &engine->store, TE_R_ENGINE_STOPPED, false, engine->now_ns);
        }
        if (flow->flow.state != FLOW_FREE) {
            engine_touch(engine, flow);
        }
    }
    /* Each flow is looked at twice: for its last packet, and to see that it was that. */
    for (uint32_t i = 0; i <= engine->flows_max / (TRANSMIT_MAX / 2); i++) {
        transmit_all(engine);
    }
}

void engine_fini(struct engine *engine, uint64_t now_ns) {
    engine->now_ns = now_ns;
    if (engine->memory != NULL && engine->output.memory != NULL) {
        say_goodbye(engine);
    }
    for (uint32_t i = 0; engine->tenants != NULL && i < engine->tenants_max; i++) {
        tenant_detach(engine, i);
    }
    output_fini(&engine->output);
    team_leave(engine);
    engine->netif->ops->close(engine->netif);
    free(engine->tenants);
    peers_fini(&engine->peers);
    if (engine->memory != NULL) {
        munmap(engine->memory, engine->memory_bytes);
    }
}
