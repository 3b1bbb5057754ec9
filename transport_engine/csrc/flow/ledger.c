/* Packets in flight, in ascending order of their numbers. */
#include "flow/ledger.h"

static struct sent_packet *at(const struct store *store, uint32_t index) {
    return pool_at(&store->sent, index);
}

void ledger_init(struct ledger *ledger, uint64_t first_number) {
    *ledger = (struct ledger){.next_number = first_number, .loss_ns = UINT64_MAX,
                              .oldest = NO_ITEM, .newest = NO_ITEM};
    for (int i = 0; i < LOST_MEMORY; i++) {
        ledger->lost_memory[i].number = UINT64_MAX;
    }
}

void ledger_fini(struct ledger *ledger, struct store *store) {
    uint32_t index = ledger->oldest;
    ledger->oldest = ledger->newest = NO_ITEM;
    ledger->count = 0;
    ledger->bytes_in_flight = 0;
    ledger->loss_ns = UINT64_MAX;
    while (index != NO_ITEM) {
        uint32_t next = at(store, index)->next;
        pool_give(&store->sent, index);
        index = next;
    }
}

void ledger_add(struct ledger *ledger, struct store *store, uint32_t index) {
    struct sent_packet *packet = at(store, index);
    packet->next = NO_ITEM;
    if (ledger->newest == NO_ITEM) {
        ledger->oldest = index;
    } else {
        at(store, ledger->newest)->next = index;
    }
    ledger->newest = index;
    ledger->count++;
    ledger->bytes_in_flight += packet->size_bytes;
    ledger->last_sent_ns = packet->sent_ns;
}

/* Moves the packet behind `*link` to the end of a chain, whose last link is returned. */
static uint32_t *move(struct ledger *ledger, struct store *store, uint32_t *link, uint32_t before,
                      uint32_t *chain_end) {
    uint32_t index = *link;
    struct sent_packet *packet = at(store, index);
    *link = packet->next;
    if (ledger->newest == index) {
        ledger->newest = before;
    }
    ledger->count--;
    ledger->bytes_in_flight -= packet->size_bytes;
    packet->next = NO_ITEM;
    *chain_end = index;
    return &packet->next;
}

uint32_t ledger_acked(struct ledger *ledger, struct store *store, const struct ack_frame *ack,
                      bool *is_violation) {
    uint64_t largest = ack->ranges[0].last;
    *is_violation = largest >= ledger->next_number;
    if (*is_violation) {
        return NO_ITEM;
    }
    if (!ledger->has_acked || largest > ledger->largest_acked) {
        ledger->largest_acked = largest;
        ledger->has_acked = true;
    }
    uint32_t chain = NO_ITEM;
    uint32_t *chain_end = &chain;
    uint32_t range = ack->count - 1; /* the lowest */
    uint32_t before = NO_ITEM;
    uint32_t *link = &ledger->oldest;
    while (*link != NO_ITEM) {
        uint64_t number = at(store, *link)->number;
        while (number > ack->ranges[range].last && range > 0) {
            range--;
        }
        if (number > ack->ranges[range].last) {
            break;
        }
        if (number >= ack->ranges[range].first) {
            chain_end = move(ledger, store, link, before, chain_end);
        } else {
            before = *link;
            link = &at(store, *link)->next;
        }
    }
    return chain;
}

static uint64_t round_trip_ns(const struct rtt *rtt) {
    return rtt->srtt_ns > rtt->latest_ns ? rtt->srtt_ns : rtt->latest_ns;
}

static uint64_t loss_delay_ns(const struct ledger *ledger, const struct rtt *rtt) {
    uint64_t base_ns = round_trip_ns(rtt);
    uint64_t window_ns = base_ns >> TIME_THRESHOLD_SHIFT;
    return base_ns + (ledger->reorder_ns > window_ns ? ledger->reorder_ns : window_ns);
}

static void remember_lost(struct ledger *ledger, const struct sent_packet *packet) {
    struct lost_packet *place = &ledger->lost_memory[ledger->lost_next];
    ledger->lost_count = (uint8_t)(ledger->lost_count + (place->number == UINT64_MAX));
    *place = (struct lost_packet){packet->number, packet->sent_ns};
    ledger->lost_next = (uint8_t)((ledger->lost_next + 1) % LOST_MEMORY);
    if (ledger->reorder_ns > 0 && ++ledger->real_losses >= REORDER_MEMORY_LOSSES) {
        ledger->reorder_ns = 0;
    }
}

static bool is_in(const struct ack_frame *ack, uint64_t number) {
    for (uint32_t i = 0; i < ack->count && number <= ack->ranges[i].last; i++) {
        if (number >= ack->ranges[i].first) {
            return true;
        }
    }
    return false;
}

uint32_t ledger_spurious(struct ledger *ledger, const struct ack_frame *ack,
                         const struct rtt *rtt, uint64_t now_ns) {
    uint32_t count = 0;
    for (int i = 0; i < LOST_MEMORY && ledger->lost_count > 0; i++) {
        struct lost_packet *lost = &ledger->lost_memory[i];
        if (lost->number == UINT64_MAX || !is_in(ack, lost->number)) {
            continue;
        }
        uint64_t base_ns = round_trip_ns(rtt);
        uint64_t late_ns = now_ns - lost->sent_ns > base_ns ? now_ns - lost->sent_ns - base_ns : 0;
        uint64_t step_ns = ledger->reorder_ns + (base_ns >> REORDER_STEP_SHIFT);
        uint64_t want_ns = late_ns > step_ns ? late_ns : step_ns;
        ledger->reorder_ns = want_ns < base_ns ? want_ns : base_ns;
        ledger->real_losses = 0;
        lost->number = UINT64_MAX;
        ledger->lost_count--;
        count++;
    }
    return count;
}

uint32_t ledger_lost(struct ledger *ledger, struct store *store, const struct rtt *rtt,
                     uint64_t now_ns) {
    uint32_t chain = NO_ITEM;
    uint32_t *chain_end = &chain;
    uint64_t delay_ns = loss_delay_ns(ledger, rtt);
    bool counts_packets = ledger->reorder_ns == 0;
    ledger->loss_ns = UINT64_MAX;
    if (!ledger->has_acked) {
        return NO_ITEM;
    }
    uint32_t before = NO_ITEM;
    uint32_t *link = &ledger->oldest;
    while (*link != NO_ITEM && at(store, *link)->number < ledger->largest_acked) {
        const struct sent_packet *packet = at(store, *link);
        if ((counts_packets && packet->number + PACKET_THRESHOLD <= ledger->largest_acked) ||
            packet->sent_ns + delay_ns <= now_ns) {
            remember_lost(ledger, packet);
            chain_end = move(ledger, store, link, before, chain_end);
            continue;
        }
        if (packet->sent_ns + delay_ns < ledger->loss_ns) {
            ledger->loss_ns = packet->sent_ns + delay_ns;
        }
        before = *link;
        link = &at(store, *link)->next;
    }
    return chain;
}
