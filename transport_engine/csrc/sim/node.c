/* Hosts. */
#include "sim/node.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "sim/account.h"
#include "sim/half.h"
#include "sim/route.h"

enum { ECN_ECT = 2, ECN_CE = 3 /* RFC 3168 §5 */ };
enum { TOKEN_LIFE_NS_SHIFT = 33, TOKEN_OFFSET = 16 /* behind the parameters, docs/wire.md §4 */ };

static const uint64_t digest_prime = UINT64_C(0x100000001B3); /* FNV-1a, 64 bits */

bool node_init(struct world *world, uint32_t index) {
    struct node *node = &world->nodes[index];
    node->model = &world->config->nodes[index];
    uint32_t blocks = (uint32_t)(node->model->pool_bytes / BLOCK_BYTES);
    node->memory = calloc(1, store_bytes(blocks) + BLOCK_BYTES);
    if (node->memory == NULL) {
        return false;
    }
    uintptr_t start = ((uintptr_t)node->memory + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    store_init(&node->store, (uint8_t *)start, blocks); // NOLINT: alignment of the pool
    prng_init(&node->prng, prng_next(&world->prng));
    node->secret = prng_next(&node->prng);
    node->inbox_first = node->inbox_last = NO_ITEM;
    node->is_up = true;
    node_plan_stall(world, index);
    return true;
}

void node_fini(struct node *node) {
    free(node->memory);
    node->memory = NULL;
}

/* ---- packets without a flow ---- */

/* Sends a short packet back where `question` came from. */
static void answer(struct world *world, const struct sim_packet *question,
                   const struct packet *header, const uint8_t *body, size_t body_bytes) {
    uint32_t index = packets_take(&world->packets);
    if (index == NO_ITEM) {
        world->is_out_of_memory = true;
        return;
    }
    struct sim_packet *packet = packets_at(&world->packets, index);
    packet->flow = question->flow;
    packet->is_forward = !question->is_forward;
    packet_write_header(packet->bytes, header);
    if (body_bytes > 0) {
        memcpy(packet->bytes + PACKET_HEADER_BYTES, body, body_bytes);
    }
    packet->size_bytes = (uint32_t)packet_seal(packet->bytes, PACKET_HEADER_BYTES + body_bytes);
    route_send(world, index);
}

static void reset(struct world *world, const struct sim_packet *question,
                  const struct packet *packet) {
    world->totals.packets_unknown++;
    if (packet->type != PACKET_DATA && packet->type != PACKET_ACCEPT) {
        return;
    }
    struct packet header = {.destination_id = packet->source_id,
                            .source_id = packet->destination_id,
                            .version = PACKET_VERSION,
                            .type = PACKET_RESET};
    world->totals.resets_sent++;
    answer(world, question, &header, NULL, 0);
}

/* Stands for the keyed hash of an engine: as stateless, and as hard to guess for our flows. */
static void make_token(const struct node *node, uint64_t client_id, uint64_t period,
                       uint8_t token[TOKEN_BYTES]) {
    struct prng prng = {node->secret ^ client_id ^ period << 1};
    store_u64(token, period);
    store_u64(token + sizeof period, prng_next(&prng));
}

static bool has_good_token(const struct world *world, const struct node *node,
                           const struct packet *init) {
    uint8_t expected[TOKEN_BYTES];
    uint64_t period = load_u64(init->body + TOKEN_OFFSET);
    uint64_t now_period = world->now_ns >> TOKEN_LIFE_NS_SHIFT;
    if (period > now_period || now_period - period > 1) {
        return false;
    }
    make_token(node, init->source_id, period, expected);
    return memcmp(init->body + TOKEN_OFFSET, expected, TOKEN_BYTES) == 0;
}

static void knock(struct world *world, struct node *node, const struct sim_packet *question,
                  const struct packet *init) {
    const struct sim_flow *flow = &world->flows[question->flow];
    struct half *known = half_find_server(world, question->flow, init->source_id);
    bool is_proven = !world->config->settings[flow->model->settings].retry ||
                     has_good_token(world, node, init);
    if (known != NULL && is_proven) {
        half_receive(world, known, init);
    } else if (is_proven) {
        half_accept(world, question->flow, init);
    } else {
        uint8_t body[TOKEN_BYTES + sizeof(uint32_t)];
        make_token(node, init->source_id, world->now_ns >> TOKEN_LIFE_NS_SHIFT, body);
        store_u32(body + TOKEN_BYTES, flow->config.parameters.segment_bytes);
        struct packet header = {.destination_id = init->source_id, .version = PACKET_VERSION,
                                .type = PACKET_RETRY};
        answer(world, question, &header, body, sizeof body);
    }
}

/* ---- packets ---- */

static struct node *goal_of(struct world *world, const struct sim_packet *packet) {
    const struct te_sim_flow *flow = world->flows[packet->flow].model;
    return &world->nodes[packet->is_forward ? flow->server : flow->client];
}

static void dispatch(struct world *world, struct node *node, const struct sim_packet *arrived,
                     const struct packet *packet) {
    if (packet->type == PACKET_INIT) {
        if (arrived->is_forward && packet->body_bytes >= TOKEN_OFFSET + TOKEN_BYTES) {
            knock(world, node, arrived, packet);
        }
        return;
    }
    struct half *half = half_find(world, packet->destination_id);
    bool is_here = half != NULL && half_node(world, half) == node;
    bool is_peer = is_here && (half->flow.state == FLOW_CONNECTING ||
                               packet->source_id == half->flow.remote_id);
    if (!is_here) {
        reset(world, arrived, packet);
    } else if (is_peer) {
        half_receive(world, half, packet);
    } else {
        world->totals.packets_unknown++;
    }
}

static void digest(struct world *world, const struct sim_packet *packet) {
    uint64_t check = load_u32(packet->bytes + packet->size_bytes - PACKET_TRAILER_BYTES);
    uint64_t words[] = {world->now_ns, packet->number,
                        (uint64_t)packet->flow << 1 | packet->is_forward,
                        (uint64_t)packet->size_bytes << 32 | check};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        uint64_t value = (world->totals.digest ^ words[i]) * digest_prime;
        world->totals.digest = value ^ value >> 29;
    }
}

static void take(struct world *world, struct node *node, uint32_t index) {
    struct sim_packet *arrived = packets_at(&world->packets, index);
    struct packet packet;
    digest(world, arrived);
    if (packet_parse(arrived->bytes, arrived->size_bytes, &packet)) {
        if (arrived->is_corrupt) {
            world_accuse(world, &(struct accusation){.kind = TE_SIM_V_CORRUPT,
                                                     .flow = arrived->flow,
                                                     .message = UINT64_MAX,
                                                     .detail = packet.number});
        }
        packet.ecn = arrived->is_marked ? ECN_CE : ECN_ECT;
        dispatch(world, node, arrived, &packet);
    } else {
        world->totals.packets_refused++;
    }
    packets_give(&world->packets, index);
}

static void keep(struct world *world, struct node *node, uint32_t index) {
    packets_at(&world->packets, index)->next = NO_ITEM;
    if (node->inbox_last == NO_ITEM) {
        node->inbox_first = index;
    } else {
        packets_at(&world->packets, node->inbox_last)->next = index;
    }
    node->inbox_last = index;
    node->inbox_count++;
}

void node_arrive(struct world *world, uint32_t index) {
    struct sim_packet *packet = packets_at(&world->packets, index);
    struct node *node = goal_of(world, packet);
    bool is_awake = node_is_awake(world, node) && node->inbox_count == 0;
    if (!node->is_up || (!is_awake && node->inbox_count >= node->model->inbox_packets)) {
        route_drop(world, index, DROP_NODE);
        return;
    }
    if (packet->is_corrupt) {
        account_dropped(world, packet, DROP_CORRUPT);
    } else {
        account_arrived(world, packet);
    }
    if (is_awake) {
        take(world, node, index);
    } else {
        keep(world, node, index);
    }
}

/* ---- stalls and crashes ---- */

void node_plan_stall(struct world *world, uint32_t index) {
    struct node *node = &world->nodes[index];
    uint64_t every_ns = node->model->stall_every_ns;
    if (every_ns != 0) {
        uint64_t wait_ns = every_ns / 2 + prng_next(&node->prng) % every_ns;
        world_event(world, world->now_ns + wait_ns, EVENT_STALL, index);
    }
}

void node_stall(struct world *world, uint32_t index, uint64_t for_ns) {
    struct node *node = &world->nodes[index];
    uint64_t until_ns = world->now_ns + for_ns;
    if (until_ns > node->stalled_until_ns) {
        node->stalled_until_ns = until_ns;
        world_event(world, until_ns, EVENT_WAKE, index);
    }
    world->totals.stalls++;
}

void node_wake(struct world *world, uint32_t index) {
    struct node *node = &world->nodes[index];
    if (!node_is_awake(world, node)) {
        return;
    }
    world->totals.stalls_felt += node->inbox_first != NO_ITEM;
    while (node->inbox_first != NO_ITEM) {
        uint32_t packet = node->inbox_first;
        node->inbox_first = packets_at(&world->packets, packet)->next;
        node->inbox_count--;
        if (node->inbox_first == NO_ITEM) {
            node->inbox_last = NO_ITEM;
        }
        take(world, node, packet);
    }
}

void node_crash(struct world *world, uint32_t index, uint64_t for_ns) {
    struct node *node = &world->nodes[index];
    if (!node->is_up) {
        return;
    }
    node->is_up = false;
    node->stalled_until_ns = 0;
    node->secret = prng_next(&node->prng);
    world->totals.crashes++;
    while (node->inbox_first != NO_ITEM) {
        uint32_t packet = node->inbox_first;
        node->inbox_first = packets_at(&world->packets, packet)->next;
        packets_give(&world->packets, packet);
    }
    node->inbox_last = NO_ITEM;
    node->inbox_count = 0;
    half_vanish_all(world, index);
    world_event(world, world->now_ns + for_ns, EVENT_BOOT, index);
}

void node_boot(struct world *world, uint32_t index) {
    world->nodes[index].is_up = true;
}
