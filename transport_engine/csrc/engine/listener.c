/* Listening ports, retry tokens, and flows that peers open. */
#include "engine/listener.h"

#include "base/bytes.h"
#include "base/check.h"
#include "engine/shares.h"

enum { TOKEN_LIFE_NS_SHIFT = 33 /* a token is good for this and the next 8.6 s */ };

static struct listener *find(struct engine *engine, uint16_t port) {
    for (int i = 0; i < LISTENERS_MAX; i++) {
        if (engine->listeners[i].port == port) {
            return &engine->listeners[i];
        }
    }
    return NULL;
}

int listener_add(struct engine *engine, uint32_t tenant, uint16_t port) {
    if (port == 0) {
        return TE_E_INVALID;
    }
    struct listener *listener = find(engine, port);
    if (listener != NULL && listener->tenant != NO_ITEM) {
        return TE_E_IN_USE;
    }
    if (listener == NULL) {
        listener = find(engine, 0);
        int error = listener == NULL ? TE_E_NO_MEMORY
                                     : engine->netif->ops->listen(engine->netif, port);
        if (error != TE_OK) {
            return error;
        }
        *listener = (struct listener){NO_ITEM, 0, port};
    }
    listener->tenant = tenant;
    engine->stats.listeners_open++;
    return TE_OK;
}

/* The last flow of a port has said its last word, which may not have left yet: a peer that waits
 * for it would ask for long, and where the engine ends next nobody would answer. */
static void free_unused(struct engine *engine, struct listener *listener) {
    if (listener->tenant == NO_ITEM && listener->flow_count == 0) {
        output_flush(&engine->output, engine->now_ns);
        engine->netif->ops->unlisten(engine->netif, listener->port);
        *listener = (struct listener){0, 0, 0};
    }
}

static void remove_one(struct engine *engine, struct listener *listener) {
    listener->tenant = NO_ITEM;
    engine->stats.listeners_open--;
    free_unused(engine, listener);
}

void listener_forget_flow(struct engine *engine, uint16_t port) {
    struct listener *listener = find(engine, port);
    te_check(listener != NULL && listener->flow_count > 0);
    listener->flow_count--;
    free_unused(engine, listener);
}

int listener_remove(struct engine *engine, uint32_t tenant, uint16_t port) {
    struct listener *listener = port == 0 ? NULL : find(engine, port);
    if (listener == NULL || listener->tenant != tenant) {
        return TE_E_UNKNOWN;
    }
    remove_one(engine, listener);
    return TE_OK;
}

void listener_remove_all(struct engine *engine, uint32_t tenant) {
    for (int i = 0; i < LISTENERS_MAX; i++) {
        if (engine->listeners[i].port != 0 && engine->listeners[i].tenant == tenant) {
            remove_one(engine, &engine->listeners[i]);
        }
    }
}

/* Writes a short answer to a packet that has no flow; without room it is as if it were lost. */
static void answer(struct engine *engine, const struct netif_datagram *datagram,
                   const struct packet *packet, const uint8_t *body, size_t body_bytes) {
    uint8_t *out = output_reserve(&engine->output, engine->now_ns);
    if (out == NULL) {
        return;
    }
    packet_write_header(out, packet);
    memcpy(out + PACKET_HEADER_BYTES, body, body_bytes);
    size_t size_bytes = packet_seal(out, PACKET_HEADER_BYTES + body_bytes);
    output_commit(&engine->output, &datagram->local, &datagram->remote, (uint32_t)size_bytes);
}

/* token = period || MAC(endpoints, the caller's id, period) */
static void make_token(struct engine *engine, const struct netif_datagram *datagram,
                       const struct packet *init, uint64_t period, uint8_t token[TOKEN_BYTES]) {
    uint8_t bytes[TE_ADDRESS_BYTES + 20];
    memcpy(bytes, datagram->remote.address, TE_ADDRESS_BYTES);
    store_u16(bytes + TE_ADDRESS_BYTES, datagram->remote.port);
    store_u16(bytes + TE_ADDRESS_BYTES + 2, datagram->local.port);
    store_u64(bytes + TE_ADDRESS_BYTES + 4, init->source_id);
    store_u64(bytes + TE_ADDRESS_BYTES + 12, period);
    store_u64(token, period);
    store_u64(token + 8, engine->world.mac(engine->world.context, bytes, sizeof bytes));
}

static bool has_good_token(struct engine *engine, const struct netif_datagram *datagram,
                           const struct packet *init) {
    enum { TOKEN_OFFSET = 16 }; /* behind the parameters */
    const uint8_t *token = init->body + TOKEN_OFFSET;
    uint8_t expected[TOKEN_BYTES];
    uint64_t period = load_u64(token);
    uint64_t now_period = engine->now_ns >> TOKEN_LIFE_NS_SHIFT;
    if (period > now_period || now_period - period > 1) {
        return false;
    }
    make_token(engine, datagram, init, period, expected);
    return memcmp(token, expected, TOKEN_BYTES) == 0;
}

static void refuse(struct engine *engine, const struct netif_datagram *datagram,
                   const struct packet *init, uint8_t reason) {
    const uint8_t body[2] = {reason, 0};
    struct packet packet = {.destination_id = init->source_id, .version = PACKET_VERSION,
                            .type = PACKET_REFUSE};
    answer(engine, datagram, &packet, body, sizeof body);
}

/* Also where the flow is open: its client asks whether it is the length of INIT and ACCEPT that
 * keeps it from hearing so. */
static void retry(struct engine *engine, const struct netif_datagram *datagram,
                  const struct packet *init) {
    uint8_t body[TOKEN_BYTES + sizeof(uint32_t)];
    struct packet packet = {.destination_id = init->source_id, .version = PACKET_VERSION,
                            .type = PACKET_RETRY};
    make_token(engine, datagram, init, engine->now_ns >> TOKEN_LIFE_NS_SHIFT, body);
    store_u32(body + TOKEN_BYTES, engine->flow_config.parameters.segment_bytes);
    engine->stats.retries_sent++;
    answer(engine, datagram, &packet, body, sizeof body);
}

static void accept_flow(struct engine *engine, const struct netif_datagram *datagram,
                        const struct packet *init, struct listener *listener) {
    struct engine_flow *flow = NULL;
    struct peer *peer = peers_add(engine, datagram->remote.address, true);
    if (peer == NULL) {
        engine->stats.peer_refusals++;
        refuse(engine, datagram, init, TE_R_NO_RESOURCES);
        return;
    }
    if (engine_open_flow(engine, listener->tenant, &flow) != TE_OK) {
        peers_remove(engine, peer, true);
        refuse(engine, datagram, init, TE_R_NO_RESOURCES);
        return;
    }
    struct flow_birth birth;
    engine_random_birth(engine, flow, &datagram->local, &datagram->remote, &birth);
    flow_accept(&flow->flow, &engine->flow_config, &birth, init, engine->now_ns);
    engine_enter_flow(engine, flow, peer);
    listener->flow_count++;
    engine->stats.handshakes_completed++;
    engine_touch(engine, flow);
    engine_notify(engine, flow);
}

void listener_receive(struct engine *engine, const struct netif_datagram *datagram,
                      const struct packet *init) {
    if (datagram->size_bytes < INIT_BYTES || init->source_id == 0 || init->destination_id != 0) {
        engine->stats.datagrams_dropped_bad++;
        return;
    }
    if (init->version != PACKET_VERSION) {
        const uint8_t body[1] = {PACKET_VERSION};
        struct packet packet = {.destination_id = init->source_id, .version = PACKET_VERSION,
                                .type = PACKET_VERSIONS};
        answer(engine, datagram, &packet, body, sizeof body);
        return;
    }
    struct flow *known = flow_table_find_peer(&engine->table, init->source_id, &datagram->remote);
    bool is_proven = has_good_token(engine, datagram, init);
    if (known != NULL && is_proven) {
        share_bill(engine, ((struct engine_flow *)known)->share);
        flow_receive(known, &engine->store, init, engine->now_ns);
        engine_touch(engine, (struct engine_flow *)known);
        return;
    }
    struct listener *listener =
        datagram->local.port == 0 ? NULL : find(engine, datagram->local.port);
    if (listener == NULL || listener->tenant == NO_ITEM || engine->is_draining) {
        refuse(engine, datagram, init,
               engine->is_draining ? TE_R_ENGINE_STOPPED : TE_R_REFUSED);
    } else if (is_proven) {
        accept_flow(engine, datagram, init, listener);
    } else {
        retry(engine, datagram, init);
    }
}
