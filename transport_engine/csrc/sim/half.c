/* One side of a flow. */
#include "sim/half.h"

#include <stdlib.h>

#include "sim/messages.h"
#include "sim/node.h"
#include "sim/route.h"
#include "sim/work.h"

enum { POLL_NS = 1000 /* an engine comes back to a flow no sooner */ };

struct half *half_find(const struct world *world, uint64_t local_id) {
    uint32_t index = (uint32_t)local_id;
    if (index >= world->half_count) {
        return NULL;
    }
    struct half *half = world->halves[index];
    return half->is_used && half->flow.local_id == local_id ? half : NULL;
}

struct half *half_find_server(const struct world *world, uint32_t flow, uint64_t client_id) {
    for (uint32_t i = world->flows[flow].server_halves; i != NO_ITEM; i = world->halves[i]->next) {
        if (world->halves[i]->flow.remote_id == client_id) {
            return world->halves[i];
        }
    }
    return NULL;
}

struct node *half_node(const struct world *world, const struct half *half) {
    const struct te_sim_flow *flow = world->flows[half->of_flow].model;
    return &world->nodes[half->is_client ? flow->client : flow->server];
}

/* ---- life ---- */

static bool grow(struct world *world) {
    uint32_t room = world->half_room == 0 ? 64 : 2 * world->half_room;
    struct half **halves = realloc(world->halves, room * sizeof *halves);
    if (halves == NULL) {
        return false;
    }
    world->halves = halves;
    world->half_room = room;
    return true;
}

static struct half *take(struct world *world) {
    if (world->half_free != NO_ITEM) {
        struct half *half = world->halves[world->half_free];
        world->half_free = half->next;
        return half;
    }
    if (world->half_count == world->half_room && !grow(world)) {
        return NULL;
    }
    struct half *half = calloc(1, sizeof *half);
    if (half != NULL) {
        half->index = world->half_count;
        world->halves[world->half_count++] = half;
    }
    return half;
}

static struct half *open(struct world *world, uint32_t flow, bool is_client,
                        struct session *session) {
    struct half *half = take(world);
    if (half == NULL) {
        world->is_out_of_memory = true;
        return NULL;
    }
    *half = (struct half){.index = half->index, .of_flow = flow, .next = NO_ITEM, .is_used = true,
                        .is_client = is_client, .timer_ns = UINT64_MAX, .session = session,
                        .heard_ns = world->now_ns};
    world->halves_used++;
    session->halves[is_client ? 0 : 1] = half->index;
    return half;
}

static struct flow_birth birth(struct world *world, const struct half *half) {
    const struct sim_flow *flow = &world->flows[half->of_flow];
    struct prng *prng = &half_node(world, half)->prng;
    uint64_t number = world->config->settings[flow->model->settings].first_number;
    uint64_t random = prng_next(prng);
    return (struct flow_birth){
        .local_id = (prng_next(prng) | UINT64_C(1) << 32) >> 32 << 32 | half->index,
        .first_number = number == UINT64_MAX ? random >> 2 : number,
    };
}

static struct session *open_session(struct world *world, uint32_t flow, uint16_t epoch) {
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        world->is_out_of_memory = true;
        return NULL;
    }
    *session = (struct session){.epoch = epoch, .of_flow = flow, .halves = {NO_ITEM, NO_ITEM}};
    for (int direction = FORWARD; direction <= BACK; direction++) {
        struct content_source source = {world->config->seed, flow, epoch, direction == FORWARD};
        stream_init(&session->streams[direction], &source);
    }
    return session;
}

static void free_session(struct session *session) {
    stream_fini(&session->streams[FORWARD]);
    stream_fini(&session->streams[BACK]);
    free(session);
}

void half_connect(struct world *world, uint32_t index) {
    struct sim_flow *flow = &world->flows[index];
    const struct node *node = &world->nodes[flow->model->client];
    if (flow->client_half != NO_ITEM) {
        return;
    }
    if (!node_is_awake(world, node)) {
        uint64_t reopen_ns = world->config->settings[flow->model->settings].reopen_ns;
        world_event(world, world->now_ns + reopen_ns, EVENT_OPEN, index);
        return;
    }
    struct session *session = open_session(world, index, ++flow->epoch);
    struct half *half = session == NULL ? NULL : open(world, index, true, session);
    if (half == NULL) {
        free(session);
        return;
    }
    flow->client_half = half->index;
    struct flow_birth born = birth(world, half);
    flow_connect(&half->flow, &flow->config, &born, world->now_ns);
    half_wake(world, half);
    if (flow->epoch == 1) {
        work_flow_begins(world, index);
    }
}

/* Whether an INIT is a late one, of a client that is gone or has been answered: it opens a flow on
 * which nothing will ever be said. */
static bool is_late(const struct half *client) {
    return client == NULL || client->session->halves[1] != NO_ITEM ||
           (client->session->is_gone[1] && client->flow.state != FLOW_CONNECTING);
}

/* The server died before its client heard of it: what it had said is void. */
static void renew(struct world *world, struct session *session) {
    struct stream *back = &session->streams[BACK];
    struct content_source source = back->source;
    source.epoch = ++world->flows[session->of_flow].epoch;
    messages_session_gone(world, session);
    stream_fini(back);
    stream_init(back, &source);
    session->is_gone[1] = false;
}

/* A client that takes shorter packets goes by another name: what was opened for the one before says
 * nothing that it hears. */
static void abandon(struct world *world, struct session *session) {
    struct half *half = world->halves[session->halves[1]];
    struct session *own = open_session(world, half->of_flow, 0);
    if (own != NULL) {
        own->halves[1] = half->index;
        own->is_gone[0] = session->is_gone[1] = true;
        half->session = own;
        session->halves[1] = NO_ITEM;
    }
}

void half_accept(struct world *world, uint32_t index, const struct packet *init) {
    struct sim_flow *flow = &world->flows[index];
    struct half *client = half_find(world, init->source_id);
    if (client != NULL && client->flow.state == FLOW_CONNECTING &&
        client->session->halves[1] != NO_ITEM) {
        abandon(world, client->session);
    }
    bool is_stale = is_late(client);
    struct session *session = is_stale ? open_session(world, index, 0) : client->session;
    if (!is_stale && session->is_gone[1]) {
        renew(world, session);
    }
    struct half *half = session == NULL ? NULL : open(world, index, false, session);
    if (half == NULL) {
        return;
    }
    session->is_gone[0] = is_stale;
    half->next = flow->server_halves;
    flow->server_halves = half->index;
    struct flow_birth born = birth(world, half);
    flow_accept(&half->flow, &flow->config, &born, init, world->now_ns);
    half_wake(world, half);
}

static void unlink_half(struct world *world, struct half *half) {
    struct sim_flow *flow = &world->flows[half->of_flow];
    if (half->is_client) {
        flow->client_half = flow->client_half == half->index ? NO_ITEM : flow->client_half;
        return;
    }
    uint32_t *link = &flow->server_halves;
    while (*link != half->index) {
        link = &world->halves[*link]->next;
    }
    *link = half->next;
}

/* Its application learns that the flow is over. */
static void tell(struct world *world, struct half *half) {
    struct sim_flow *flow = &world->flows[half->of_flow];
    struct session *session = half->session;
    half->is_told = true;
    if (half->is_client && flow->client_half == half->index) {
        flow->client_half = NO_ITEM;
        uint64_t reopen_ns = world->config->settings[flow->model->settings].reopen_ns;
        if (world->phase < PHASE_CLOSE) {
            world_event(world, world->now_ns + reopen_ns, EVENT_OPEN, half->of_flow);
        }
    }
    messages_half_gone(world, session, half->is_client);
}

static void bury(struct world *world, struct half *half) {
    struct session *session = half->session;
    int side = half->is_client ? 0 : 1;
    if (!half->is_told) {
        tell(world, half);
    }
    unlink_half(world, half);
    flow_fini(&half->flow, &half_node(world, half)->store);
    half->is_used = false;
    half->session = NULL;
    half->next = world->half_free;
    world->half_free = half->index;
    world->halves_used--;
    session->halves[side] = NO_ITEM;
    session->is_gone[side] = true;
    if (session->is_gone[1 - side] || session->halves[1 - side] == NO_ITEM) {
        messages_session_gone(world, session);
        free_session(session);
    }
}

/* What a flow that is over says of the protocol and of the network. */
static void examine(struct world *world, const struct half *half) {
    struct accusation accusation = {.flow = half->of_flow, .epoch = half->session->epoch,
                                    .node = (uint32_t)(half_node(world, half) - world->nodes),
                                    .message = UINT64_MAX, .detail = half->flow.reason};
    switch (half->flow.reason) {
    case TE_R_PROTOCOL:
        accusation.kind = TE_SIM_V_PROTOCOL;
        world_accuse(world, &accusation);
        break;
    case TE_R_PEER_DEAD:
        world->totals.flows_died++;
        if (world->now_ns - half->heard_ns < half->flow.config->dead_ns) {
            accusation.kind = TE_SIM_V_DEATH;
            accusation.detail = world->now_ns - half->heard_ns;
            world_accuse(world, &accusation);
        }
        break;
    case TE_R_PEER_RESTARTED:
        world->totals.flows_reset++;
        break;
    case TE_R_NO_ANSWER:
        world->totals.handshakes_failed++;
        break;
    default:
        break;
    }
}

/* ---- service ---- */

static bool transmit(struct world *world, struct half *half) {
    struct node *node = half_node(world, half);
    const struct sim_flow *flow = &world->flows[half->of_flow];
    const struct link *link = route_first_link(world, flow, half->is_client ? FORWARD : BACK);
    bool has_sent = false;
    while (true) {
        uint64_t room_ns = link_room_ns(link, world->now_ns, flow->config.packet_bytes);
        if (room_ns > world->now_ns) {
            half->timer_ns = room_ns;
            world_event(world, room_ns, EVENT_TIMER, half->index);
            return true;
        }
        uint32_t index = packets_take(&world->packets);
        if (index == NO_ITEM) {
            world->is_out_of_memory = true;
            return true;
        }
        struct sim_packet *packet = packets_at(&world->packets, index);
        size_t size_bytes =
            flow_transmit(&half->flow, &node->store, world->now_ns, packet->bytes);
        if (size_bytes == 0) {
            packets_give(&world->packets, index);
            return has_sent;
        }
        packet->size_bytes = (uint32_t)size_bytes;
        packet->flow = half->of_flow;
        packet->is_forward = half->is_client;
        route_send(world, index);
        has_sent = true;
    }
}

static void set_timer(struct world *world, struct half *half, uint64_t when_ns) {
    if (when_ns < half->timer_ns) {
        half->timer_ns = when_ns;
        world_event(world, when_ns, EVENT_TIMER, half->index);
    }
}

void half_wake(struct world *world, struct half *half) {
    set_timer(world, half, world->now_ns);
}

/* Times in the past, or now: as soon as an engine would look again. */
static void settle(struct world *world, struct half *half) {
    uint64_t next_ns = flow_next_ns(&half->flow);
    if (next_ns != UINT64_MAX) {
        uint64_t soonest_ns = world->now_ns + POLL_NS;
        set_timer(world, half, next_ns < soonest_ns ? soonest_ns : next_ns);
    }
}

static void note_state(struct world *world, struct half *half, bool was_connecting) {
    struct sim_flow *flow = &world->flows[half->of_flow];
    if (was_connecting && half->flow.state == FLOW_OPEN) {
        world->totals.handshakes++;
        if (flow->result.opened_ns == UINT64_MAX) {
            flow->result.opened_ns = world->now_ns;
        }
    }
}

/* Returns whether anything was sent. */
static bool serve(struct world *world, struct half *half) {
    messages_take(world, half);
    if (half->flow.state == FLOW_CLOSED && !half->is_told) {
        examine(world, half);
        tell(world, half);
    }
    messages_feed(world, half);
    bool has_sent = transmit(world, half);
    if (flow_is_over(&half->flow)) {
        bury(world, half);
    } else {
        settle(world, half);
    }
    return has_sent;
}

void half_receive(struct world *world, struct half *half, const struct packet *packet) {
    bool was_connecting = half->flow.state == FLOW_CONNECTING;
    half->heard_ns = packet->type == PACKET_DATA ? world->now_ns : half->heard_ns;
    flow_receive(&half->flow, &half_node(world, half)->store, packet, world->now_ns);
    note_state(world, half, was_connecting);
    serve(world, half);
}

void half_timer(struct world *world, uint32_t index) {
    struct half *half = world->halves[index];
    if (!half->is_used || half->timer_ns != world->now_ns) {
        return; /* an event of an earlier plan */
    }
    struct node *node = half_node(world, half);
    half->timer_ns = UINT64_MAX;
    if (!node_is_awake(world, node)) {
        set_timer(world, half, node->stalled_until_ns);
        return;
    }
    flow_timeout(&half->flow, &node->store, world->now_ns);
    world->totals.wakes++;
    world->totals.wakes_idle += !serve(world, half);
}

void half_close(struct world *world, struct half *half) {
    flow_close(&half->flow, &half_node(world, half)->store, TE_R_CLOSED, true, world->now_ns);
    half_wake(world, half);
}

void half_vanish_all(struct world *world, uint32_t node) {
    for (uint32_t i = 0; i < world->half_count; i++) {
        struct half *half = world->halves[i];
        if (half->is_used && half_node(world, half) == &world->nodes[node]) {
            bury(world, half);
        }
    }
}

void half_fini(struct half *half) {
    struct session *session = half->session;
    session->halves[half->is_client ? 0 : 1] = NO_ITEM;
    half->is_used = false;
    if (session->halves[0] == NO_ITEM && session->halves[1] == NO_ITEM) {
        free_session(session);
    }
}
