#include "engine/receiving.h"

#include "engine/delivery.h"
#include "engine/listener.h"
#include "engine/sending.h"
#include "engine/shares.h"
#include "engine/team.h"

enum { FETCHED_AHEAD = 4 /* packets whose flows are fetched before they are worked on */ };

static bool endpoint_equal(const struct te_endpoint *a, const struct te_endpoint *b) {
    return a->port == b->port && memcmp(a->address, b->address, TE_ADDRESS_BYTES) == 0;
}

static void reset(struct engine *engine, const struct netif_datagram *datagram,
                  const struct packet *packet) {
    uint8_t *out = output_reserve(&engine->output, engine->now_ns);
    engine->stats.datagrams_dropped_unknown++;
    bool has_flow = packet->type == PACKET_DATA || packet->type == PACKET_ACCEPT;
    if (!has_flow || out == NULL) {
        return;
    }
    struct packet answer = {.destination_id = packet->source_id,
                            .source_id = packet->destination_id,
                            .version = PACKET_VERSION,
                            .type = PACKET_RESET};
    packet_write_header(out, &answer);
    size_t size_bytes = packet_seal(out, PACKET_HEADER_BYTES);
    output_commit(&engine->output, &datagram->local, &datagram->remote, (uint32_t)size_bytes);
    engine->stats.resets_sent++;
}

/* Both ids are random: who knows them has seen the flow's packets. A peer behind a NAT may go on
 * from another address; the flow follows it. */
static bool is_from_peer(const struct engine *engine, struct flow *flow,
                         const struct netif_datagram *datagram, const struct packet *packet) {
    bool is_same_place = endpoint_equal(&flow->remote, &datagram->remote);
    if (flow->state == FLOW_CONNECTING || packet->source_id != flow->remote_id) {
        return flow->state == FLOW_CONNECTING && is_same_place;
    }
    if (!is_same_place && flow_may_rebind(flow, packet)) {
        flow_rebind(flow, &datagram->remote, engine->world.random(engine->world.context));
        return true;
    }
    return is_same_place;
}

/* Nobody is at the port that a flow calls, or any more at that of a peer to which it says CLOSE:
 * as good as a REFUSE or a RESET, for only who saw the flow's packet can give it back, whole and
 * with the flow's own ids. A flow that is open finds out by itself: a firewall may say that, too,
 * and change its mind. */
static void take_back(struct engine *engine, const struct netif_datagram *datagram) {
    struct packet packet;
    if (!packet_parse(datagram->bytes, datagram->size_bytes, &packet)) {
        return;
    }
    struct flow *found = flow_table_find(&engine->table, packet.source_id);
    if (found == NULL || packet.destination_id != found->remote_id ||
        !endpoint_equal(&found->remote, &datagram->remote)) {
        return;
    }
    if (found->state == FLOW_CONNECTING && packet.type == PACKET_INIT) {
        flow_abort(found, TE_R_REFUSED);
    } else if (found->state == FLOW_CLOSING && packet.type == PACKET_DATA) {
        flow_abort(found, found->reason);
    }
    engine_touch(engine, (struct engine_flow *)found);
    engine_notify(engine, (struct engine_flow *)found);
}

/* Returns the tenant whose message may have come, or NO_ITEM. */
static uint32_t receive_own(struct engine *engine, const struct netif_datagram *datagram,
                            bool is_lent) {
    struct packet packet;
    if (datagram->is_returned) {
        take_back(engine, datagram);
        return NO_ITEM;
    }
    engine->stats.datagrams_received++;
    engine->stats.bytes_received += datagram->size_bytes;
    if (!packet_parse(datagram->bytes, datagram->size_bytes, &packet)) {
        engine->stats.datagrams_dropped_bad++;
        return NO_ITEM;
    }
    packet.ecn = datagram->ecn;
    packet.waited_ns = datagram->waited_ns;
    packet.is_lent = is_lent;
    if (packet.type == PACKET_INIT) {
        listener_receive(engine, datagram, &packet);
        return NO_ITEM;
    }
    struct flow *found = flow_table_find(&engine->table, packet.destination_id);
    if (found == NULL || packet.version != PACKET_VERSION) {
        reset(engine, datagram, &packet);
        return NO_ITEM;
    }
    if (!is_from_peer(engine, found, datagram, &packet)) {
        engine->stats.datagrams_dropped_unknown++;
        return NO_ITEM;
    }
    struct engine_flow *flow = (struct engine_flow *)found;
    bool was_connecting = found->state == FLOW_CONNECTING;
    uint64_t lost_before = engine->flow_counters.packets_lost;
    packet.begun = &engine->peers.places[flow->peer].begun;
    share_bill(engine, flow->share);
    flow_receive(found, &engine->store, &packet, engine->now_ns);
    if (engine->flow_counters.packets_lost != lost_before && engine->netif->ops->lost != NULL) {
        engine->netif->ops->lost(engine->netif, &found->remote);
    }
    sending_look_acked(engine, flow);
    engine->stats.handshakes_completed += was_connecting && found->state == FLOW_OPEN;
    engine->stats.resets_received += packet.type == PACKET_RESET;
    engine_touch(engine, flow);
    engine_notify(engine, flow);
    return flow->is_in_inbox ? flow->tenant : NO_ITEM;
}

void receiving_take(struct engine *engine, const struct netif_datagram *datagram) {
    receive_own(engine, datagram, false);
}

static uint32_t receive(struct engine *engine, const struct netif_datagram *datagram,
                        bool is_lent) {
    bool is_others = engine->membership != NULL && team_hand_over(engine, datagram);
    return is_others ? NO_ITEM : receive_own(engine, datagram, is_lent);
}

static uint64_t id_of(const struct netif_datagram *datagram) {
    return packet_peek_id(datagram->bytes, datagram->size_bytes);
}

/* Whatever a datagram says it is for. */
static void fetch_for(const struct engine *engine, const struct netif_datagram *datagram) {
    const struct flow *flow = flow_table_peek(&engine->table, id_of(datagram));
    if (flow != NULL) {
        engine_fetch((const struct engine_flow *)flow);
    }
}

static void fetch_first(const struct engine *engine, const struct netif_datagram *datagrams,
                        int count) {
    for (int i = 0; i < count; i++) {
        flow_table_fetch(&engine->table, id_of(&datagrams[i]));
    }
    for (int i = 0; i < count && i < FETCHED_AHEAD; i++) {
        fetch_for(engine, &datagrams[i]);
    }
}

/* A netif without stamps may have had the datagram ever since it was last asked: time for which
 * this host was busy or asleep, and the path is not to blame. A clock that was given stands still
 * while anything can be read: nothing has waited, whatever stamps of the system's clock say. */
static void receive_burst(struct engine *engine, struct netif_datagram *datagrams, int count) {
    bool has_stamps = engine->netif->caps & NETIF_STAMPS;
    uint32_t tenants[TE_BURST_MAX];
    bool are_many = count > 1 && engine->stats.flows_open > FLOWS_CACHED;
    if (are_many) {
        fetch_first(engine, datagrams, count);
    }
    for (int i = 0; i < count; i++) {
        if (are_many && i + FETCHED_AHEAD < count) {
            fetch_for(engine, &datagrams[i + FETCHED_AHEAD]);
        }
        if (engine->is_clock_given) {
            datagrams[i].waited_ns = 0;
        } else if (!has_stamps) {
            datagrams[i].waited_ns = engine->now_ns - engine->received_ns;
        }
        tenants[i] = receive(engine, &datagrams[i], true);
    }
    for (int i = 0; i < count; i++) {
        if (tenants[i] != NO_ITEM) {
            delivery_look(engine, tenants[i]); /* what goes now, goes from where it arrived */
        }
    }
}

/* Until the netif has no more, or enough was taken. A queue in a netif without stamps can only be
 * seen by what a poll leaves in it: few are taken at once, so that senders hear of it while it is
 * short, and small messages do not wait for many long ones. */
static int receive_bursts(struct engine *engine) {
    struct netif_datagram datagrams[TE_BURST_MAX];
    bool has_stamps = engine->netif->caps & NETIF_STAMPS;
    int asked = has_stamps ? TE_BURST_MAX : RX_FEW;
    uint64_t bytes_before = engine->stats.bytes_received;
    int count = asked;
    int total = 0;
    while (count == asked && total < RX_PACKETS_MAX &&
           (has_stamps || engine->stats.bytes_received - bytes_before < RX_FEW_BYTES)) {
        reassembly_keep(&engine->store);
        count = engine->netif->ops->rx_burst(engine->netif, engine->now_ns, datagrams, asked);
        if (count > 0 && has_stamps) {
            engine_read_clock(engine); /* the kernel copied them, which took its time, too */
        }
        receive_burst(engine, datagrams, count);
        total += count;
    }
    return total;
}

int receiving_poll(struct engine *engine) {
    struct netif_datagram datagram;
    int total = receive_bursts(engine);
    uint32_t looped = engine->output.loop_count;
    for (; looped > 0 && output_take_loop(&engine->output, &datagram); looped--) {
        datagram.waited_ns = engine->now_ns - engine->received_ns; /* when it was sent */
        receive(engine, &datagram, false);
        total++;
    }
    engine->received_ns = engine->now_ns;
    if (engine->membership != NULL) {
        total += team_receive(engine);
        team_ring(engine);
    }
    return total;
}
