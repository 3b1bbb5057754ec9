/* Hop by hop. */
#include "sim/route.h"

#include "sim/account.h"
#include "sim/node.h"

enum { FLIPS_MAX = 3 /* CRC-32C finds any three in a packet of this size (Koopman, DSN 2002) */ };

static struct sim_packet *at(const struct world *world, uint32_t index) {
    return packets_at(&world->packets, index);
}

static uint32_t link_of(const struct world *world, const struct sim_packet *packet) {
    const struct te_sim_flow *flow = world->flows[packet->flow].model;
    return packet->is_forward ? flow->forward[packet->hop] : flow->back[packet->hop];
}

static void append(struct world *world, uint32_t link_index, uint32_t index) {
    struct link *link = &world->links[link_index];
    struct sim_packet *packet = at(world, index);
    packet->next = NO_ITEM;
    packet->order = world->events.next_order++;
    if (link->line_last != NO_ITEM) {
        at(world, link->line_last)->next = index;
    } else {
        link->line_first = index;
        struct event event = {packet->arrives_ns, packet->order, EVENT_LINK, link_index};
        world->is_out_of_memory |= !events_push_ordered(&world->events, &event);
    }
    link->line_last = index;
}

static void corrupt(struct sim_packet *packet, struct prng *prng) {
    uint32_t flips = 1 + prng_below(prng, FLIPS_MAX);
    uint32_t places[FLIPS_MAX];
    packet->is_corrupt = true;
    for (uint32_t i = 0; i < flips; i++) {
        places[i] = prng_below(prng, packet->size_bytes * 8);
        for (uint32_t j = 0; j < i; j++) {
            if (places[j] == places[i]) {
                return; /* the flip before stands; flipping back would mend it */
            }
        }
        packet->bytes[places[i] / 8] ^= (uint8_t)(1u << (places[i] % 8));
    }
}

static void enter(struct world *world, uint32_t index) {
    struct sim_packet *packet = at(world, index);
    uint32_t link_index = link_of(world, packet);
    struct link *link = &world->links[link_index];
    struct passage passage;
    enum link_fate fate = link_pass(link, world->now_ns, packet->size_bytes, &passage);
    world->totals.packet_events++;
    if (fate != LINK_PASSED) {
        route_drop(world, index, (uint8_t)fate);
        return;
    }
    packet->is_marked |= passage.is_marked;
    packet->arrives_ns = passage.arrives_ns;
    if (passage.has_copy) {
        uint32_t copy = packets_copy(&world->packets, index);
        world->is_out_of_memory |= copy == NO_ITEM;
        if (copy != NO_ITEM) {
            at(world, copy)->is_duplicate = true;
            world_event(world, passage.copy_arrives_ns, EVENT_PACKET, copy);
        }
    }
    if (passage.is_corrupt) {
        corrupt(packet, &link->prng);
    }
    if (passage.is_late) {
        world_event(world, packet->arrives_ns, EVENT_PACKET, index);
    } else {
        append(world, link_index, index);
    }
}

void route_send(struct world *world, uint32_t index) {
    struct sim_packet *packet = at(world, index);
    world->totals.packets_sent++;
    world->totals.bytes_sent += packet->size_bytes;
    account_sent(world, packet);
    enter(world, index);
}

void route_arrive(struct world *world, uint32_t index) {
    struct sim_packet *packet = at(world, index);
    if (++packet->hop < world->flows[packet->flow].model->hops) {
        enter(world, index);
    } else {
        node_arrive(world, index);
    }
}

void route_link_event(struct world *world, uint32_t link_index) {
    struct link *link = &world->links[link_index];
    uint32_t index = link->line_first;
    uint32_t next = at(world, index)->next;
    link->line_first = next;
    if (next == NO_ITEM) {
        link->line_last = NO_ITEM;
    } else {
        const struct sim_packet *packet = at(world, next);
        struct event event = {packet->arrives_ns, packet->order, EVENT_LINK, link_index};
        world->is_out_of_memory |= !events_push_ordered(&world->events, &event);
    }
    route_arrive(world, index);
}

void route_drop(struct world *world, uint32_t index, uint8_t reason) {
    account_dropped(world, at(world, index), reason);
    packets_give(&world->packets, index);
}

struct link *route_first_link(const struct world *world, const struct sim_flow *flow,
                              int direction) {
    return &world->links[direction == FORWARD ? flow->model->forward[0] : flow->model->back[0]];
}

/* All segments but the last follow each other at the pace of the slowest link; the last one takes
 * each link's time once. */
uint64_t route_ideal_ns(const struct world *world, const struct sim_flow *flow, int direction,
                        uint32_t size_bytes) {
    enum { HEADERS = MESSAGE_HEADER_BYTES + PACKET_BYTES_MIN };
    const uint32_t *links = direction == FORWARD ? flow->model->forward : flow->model->back;
    uint32_t segment_bytes = flow->config.parameters.segment_bytes;
    uint32_t before_last = (size_bytes - 1) / segment_bytes;
    uint32_t last_bytes = size_bytes - before_last * segment_bytes;
    uint64_t ideal_ns = 0;
    uint64_t slowest_ns = 0;
    for (uint32_t hop = 0; hop < flow->model->hops; hop++) {
        const struct link *link = &world->links[links[hop]];
        uint64_t full_ns = link_serial_ns(link, segment_bytes + HEADERS);
        slowest_ns = full_ns > slowest_ns ? full_ns : slowest_ns;
        ideal_ns += link->model.delay_ns + link_serial_ns(link, last_bytes + HEADERS);
    }
    return ideal_ns + before_last * slowest_ns;
}
