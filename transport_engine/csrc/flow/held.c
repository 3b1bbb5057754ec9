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
    *held = (struct held){.newest = NO_ITEM};
}

/* Where the newest of a lane is noted, or would be. */
static uint32_t *newest_of(struct held *held, const struct store *store, uint8_t lane) {
    uint32_t *link = &held->newest;
    while (*link != NO_ITEM && at(store, *link)->lane != lane) {
        link = &at(store, *link)->other;
    }
    return link;
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
    uint32_t *newest = newest_of(held, store, message->lane);
    const uint16_t own = distance(store, index, turn);
    if (own >= MESSAGE_WINDOW) {
        return false;
    }
    if (*newest == NO_ITEM) {
        message->next = *newest = index;
        message->other = NO_ITEM;
    } else {
        uint32_t before = find_before(store, *newest, own, turn);
        uint32_t after = at(store, before)->next;
        if (distance(store, before, turn) == own || distance(store, after, turn) == own) {
            return false;
        }
        message->next = after;
        at(store, before)->next = index;
        if (own > distance(store, *newest, turn)) {
            message->other = at(store, *newest)->other;
            *newest = index;
        }
    }
    held->count++;
    return true;
}

/* Takes the oldest of the ring whose newest is noted there. */
static uint32_t take(struct held *held, struct store *store, uint32_t *newest) {
    const uint32_t last = *newest;
    const uint32_t first = at(store, last)->next;
    at(store, last)->next = at(store, first)->next;
    if (first == last) {
        *newest = at(store, last)->other;
    }
    held->count--;
    return first;
}

uint32_t held_take(struct held *held, struct store *store) {
    return held->newest != NO_ITEM ? take(held, store, &held->newest) : NO_ITEM;
}

uint32_t held_take_turn(struct held *held, struct store *store, uint8_t lane, uint16_t turn) {
    uint32_t *newest = newest_of(held, store, lane);
    bool is_turn = *newest != NO_ITEM && distance(store, at(store, *newest)->next, turn) == 0;
    return is_turn ? take(held, store, newest) : NO_ITEM;
}
