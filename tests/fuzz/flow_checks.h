/* What holds for the parts of a flow between any two calls, whatever its peer sends. */
#ifndef TESTS_FUZZ_FLOW_CHECKS_H
#define TESTS_FUZZ_FLOW_CHECKS_H

#include "flow/flow.h"
#include "input.h"

static inline void check_ledger(const struct ledger *ledger, const struct store *store) {
    uint32_t count = 0;
    uint64_t bytes = 0;
    uint32_t last = NO_ITEM;
    for (uint32_t index = ledger->oldest; index != NO_ITEM;) {
        const struct sent_packet *packet = pool_at(&store->sent, index);
        must(last == NO_ITEM ||
             packet->number > ((struct sent_packet *)pool_at(&store->sent, last))->number);
        must(packet->number < ledger->next_number && packet->fragment_count <= FRAGMENTS_MAX);
        must(++count <= store->sent.capacity);
        bytes += packet->size_bytes;
        last = index;
        index = packet->next;
    }
    must(count == ledger->count && bytes == ledger->bytes_in_flight && last == ledger->newest);
    must(!ledger->has_acked || ledger->largest_acked < ledger->next_number);
}

static inline void check_sack(const struct sack *sack) {
    must(sack->count <= ACK_RANGES_MAX);
    for (uint32_t i = 0; i < sack->count; i++) {
        must(sack->ranges[i].first <= sack->ranges[i].last);
        must(i == 0 || sack->ranges[i].last + 1 < sack->ranges[i - 1].first);
        must(sack_has(sack, sack->ranges[i].first) && sack_has(sack, sack->ranges[i].last));
    }
}

static inline void check_outgoing(struct store *store, uint32_t index) {
    struct outgoing *message = pool_at(&store->outgoing, index);
    uint32_t acked = 0;
    uint32_t lost = 0;
    for (uint32_t segment = 0; segment < message->segment_count; segment++) {
        bool is_acked = segments_has(&message->sets, &store->blocks, 0, segment);
        bool is_lost = segments_has(&message->sets, &store->blocks, 1, segment);
        must(!(is_acked && is_lost));
        must(segment < message->next_segment || (!is_acked && !is_lost));
        acked += is_acked;
        lost += is_lost;
    }
    must(acked == message->acked_count && lost == message->lost_count);
    must(message->is_queued || lost == 0);
    must(message->next_segment <= message->segment_count && acked < message->segment_count);
    must(message->is_started == (message->next_segment > 0));
}

static inline void check_send_queue(const struct send_queue *queue, struct store *store) {
    uint32_t count = 0;
    uint32_t queued = 0;
    uint32_t older = NO_ITEM;
    for (uint32_t index = queue->oldest; index != NO_ITEM;) {
        const struct outgoing *message = pool_at(&store->outgoing, index);
        must(message->older == older && ++count <= store->outgoing.capacity);
        check_outgoing(store, index);
        queued += message->is_queued;
        older = index;
        index = message->newer;
    }
    must(older == queue->newest && count == queue->message_count);
    for (int priority = 0; priority < PRIORITIES; priority++) {
        uint32_t before = NO_ITEM;
        for (uint32_t index = queue->first[priority]; index != NO_ITEM;) {
            const struct outgoing *message = pool_at(&store->outgoing, index);
            must(message->before == before && message->priority == priority);
            must(message->is_queued && queued-- > 0);
            before = index;
            index = message->after;
        }
        must(before == queue->last[priority]);
        must((before != NO_ITEM) == (queue->queued >> priority & 1));
    }
    must(queued == 0 && queue->units_sent <= queue->units_limit);
    must(queue->next_id - queue->whole.base <= MESSAGE_WINDOW);
}

static inline void check_reassembly(const struct reassembly *in, struct store *store) {
    uint32_t count = 0;
    uint32_t last = NO_ITEM;
    for (uint32_t index = in->ready_first; index != NO_ITEM;) {
        must(++count <= store->incoming.capacity);
        last = index;
        index = ((struct incoming *)pool_at(&store->incoming, index))->next;
    }
    must(last == in->ready_last);
    uint32_t held = 0;
    uint32_t lanes = 0;
    uint32_t newest = in->held.newest;
    while (newest != NO_ITEM) {
        const struct incoming *youngest = pool_at(&store->incoming, newest);
        const uint8_t lane = youngest->lane;
        must(lane < LANES && (lanes >> lane & 1) == 0);
        lanes |= 1u << lane;
        uint16_t before = 0; /* nothing is held whose turn it is */
        for (uint32_t index = newest; index != NO_ITEM;) {
            index = ((struct incoming *)pool_at(&store->incoming, index))->next;
            const struct incoming *message = pool_at(&store->incoming, index);
            uint16_t ahead = (uint16_t)(message->lane_sequence - in->lane_next[lane]);
            must(message->lane == lane && ahead > before && ahead < MESSAGE_WINDOW);
            must(++held <= store->incoming.capacity);
            before = ahead;
            index = index == newest ? NO_ITEM : index;
        }
        newest = youngest->other;
    }
    must(held == in->held.count);
    count += held;
    uint32_t partial = 0;
    for (uint32_t i = 0; i < MESSAGE_WINDOW && in->partial_count > 0; i++) {
        const struct incoming *message = reassembly_partial(in, store, i);
        if (message != NULL) {
            must(!window_is_done(&in->whole, message->id));
            must(message->received_count < message->segment_count);
            partial++;
        }
    }
    must(partial == in->partial_count && count + partial <= store->incoming.capacity);
    must(in->units_released <= in->units_started && in->units_started <= in->units_limit);
}

static inline void check_flow(const struct flow *flow, struct store *store) {
    must(flow->state <= FLOW_CLOSED && flow->state != FLOW_FREE);
    must((flow->reason == TE_R_NONE) == (flow->state < FLOW_CLOSING));
    check_ledger(&flow->ledger, store);
    check_send_queue(&flow->out, store);
    if (flow->state != FLOW_CONNECTING) {
        check_sack(&flow->sack);
    }
    check_reassembly(&flow->in, store);
}

static inline void check_all_returned(const struct store *store) {
    must(store->blocks.free_count == store->blocks.capacity);
    must(store->outgoing.free_count == store->outgoing.capacity);
    must(store->incoming.free_count == store->incoming.capacity);
    must(store->sent.free_count == store->sent.capacity);
}

#endif
