/* Rings of messages, one for each lane. */
#include "flow/held.h"

#include "flow/reassembly.h"

static struct incoming *at(const struct store *store, uint32_t index) {
    return pool_at(&store->incoming, index);
}

/* How far a message is behind the turn of its lane. */
static uint16_t distance(const struct store *store, uint32_t index, uint16_t turn) {
    return (uint16_t)(at(store, index)->lane_sequence - turn);
}

void held_init(struct held *held) {
    held->count = 0;
    for (int lane = 0; lane < LANES; lane++) {
        held->last[lane] = NO_ITEM;
    }
}

/* The last of the ring that is older, or the newest of all, before which the oldest stands. */
static uint32_t find_before(const struct store *store, uint32_t last, uint16_t own,
                            uint16_t turn) {
    uint32_t before = last;
    if (own < distance(store, last, turn)) {
        while (distance(store, at(store, before)->next, turn) < own) {
            before = at(store, before)->next;
        }
    }
    return before;
}

bool held_add(struct held *held, struct store *store, uint32_t index, uint16_t turn) {
    struct incoming *message = at(store, index);
    uint32_t *last = &held->last[message->lane];
    const uint16_t own = distance(store, index, turn);
    if (own >= MESSAGE_WINDOW) {
        return false;
    }
    if (*last == NO_ITEM) {
        message->next = *last = index;
    } else {
        uint32_t before = find_before(store, *last, own, turn);
        uint32_t after = at(store, before)->next;
        if (distance(store, before, turn) == own || distance(store, after, turn) == own) {
            return false;
        }
        message->next = after;
        at(store, before)->next = index;
        *last = own > distance(store, *last, turn) ? index : *last;
    }
    held->count++;
    return true;
}

uint32_t held_take(struct held *held, struct store *store, uint8_t lane) {
    const uint32_t last = held->last[lane];
    if (last == NO_ITEM) {
        return NO_ITEM;
    }
    const uint32_t first = at(store, last)->next;
    at(store, last)->next = at(store, first)->next;
    if (first == last) {
        held->last[lane] = NO_ITEM;
    }
    held->count--;
    return first;
}

uint32_t held_take_turn(struct held *held, struct store *store, uint8_t lane, uint16_t turn) {
    const uint32_t last = held->last[lane];
    bool is_turn = last != NO_ITEM && distance(store, at(store, last)->next, turn) == 0;
    return is_turn ? held_take(held, store, lane) : NO_ITEM;
}
