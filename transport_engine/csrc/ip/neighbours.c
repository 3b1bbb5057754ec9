/* A set-associative table of neighbours: a stranger can crowd one set at most. */
#include "ip/neighbours.h"

#include "base/bytes.h"

static const uint64_t fresh_ns = UINT64_C(30000000000);
static const uint64_t certain_ns = UINT64_C(1000000000); /* for which nobody may doubt it */

void neighbours_init(struct neighbours *neighbours) {
    memset(neighbours, 0, sizeof *neighbours);
    neighbours->due_ns = UINT64_MAX;
}

/* Multiplicative hashing by the golden ratio: Knuth, TAOCP vol. 3, §6.4. */
static uint32_t set_of(const uint8_t *address) {
    uint64_t word = load_u64(address) ^ load_u64(address + 8);
    return (uint32_t)((word * UINT64_C(0x9E3779B97F4A7C15)) >> 32) % NEIGHBOURS_SETS;
}

static int find_way(const struct neighbour *set, const uint8_t *address) {
    for (int way = 0; way < NEIGHBOURS_WAYS; way++) {
        if (set[way].state != NEIGHBOUR_FREE && address_equal(set[way].address, address)) {
            return way;
        }
    }
    return -1;
}

static int find_free(const struct neighbour *set) {
    for (int way = 0; way < NEIGHBOURS_WAYS; way++) {
        if (set[way].state == NEIGHBOUR_FREE) {
            return way;
        }
    }
    return -1;
}

static int find_oldest(const struct neighbour *set) {
    int oldest = 0;
    for (int way = 1; way < NEIGHBOURS_WAYS; way++) {
        if (set[way].due_ns < set[oldest].due_ns) {
            oldest = way;
        }
    }
    return oldest;
}

static void schedule(struct neighbours *neighbours, struct neighbour *neighbour, uint64_t at_ns) {
    neighbour->due_ns = at_ns;
    if (at_ns < neighbours->due_ns) {
        neighbours->due_ns = at_ns;
    }
}

const uint8_t *neighbours_want(struct neighbours *neighbours, const uint8_t *address,
                               uint64_t now_ns) {
    struct neighbour *set = neighbours->sets[set_of(address)];
    int way = find_way(set, address);
    if (way < 0) {
        way = find_free(set);
        way = way < 0 ? find_oldest(set) : way;
        set[way] = (struct neighbour){.state = NEIGHBOUR_ASKED};
        memcpy(set[way].address, address, ADDRESS_BYTES);
        schedule(neighbours, &set[way], now_ns);
        return NULL;
    }
    struct neighbour *neighbour = &set[way];
    if (neighbour->state == NEIGHBOUR_KNOWN && now_ns >= neighbour->due_ns) {
        neighbour->state = NEIGHBOUR_PROBED;
        neighbour->asks = 0;
        schedule(neighbours, neighbour, now_ns);
    }
    return neighbour->state == NEIGHBOUR_ASKED ? NULL : neighbour->mac;
}

const uint8_t *neighbours_look(const struct neighbours *neighbours, const uint8_t *address,
                               bool *gone) {
    const struct neighbour *set = neighbours->sets[set_of(address)];
    int way = find_way(set, address);
    *gone = way < 0;
    return way < 0 || set[way].state == NEIGHBOUR_ASKED ? NULL : set[way].mac;
}

void neighbours_learn(struct neighbours *neighbours, const uint8_t *address, const uint8_t *mac,
                      uint64_t now_ns) {
    struct neighbour *set = neighbours->sets[set_of(address)];
    int way = find_way(set, address);
    way = way < 0 ? find_free(set) : way;
    if (way < 0) {
        return;
    }
    set[way].state = NEIGHBOUR_KNOWN;
    set[way].asks = 0;
    set[way].due_ns = now_ns + fresh_ns;
    memcpy(set[way].address, address, ADDRESS_BYTES);
    memcpy(set[way].mac, mac, MAC_BYTES);
}

void neighbours_update(struct neighbours *neighbours, const uint8_t *address, const uint8_t *mac,
                       uint64_t now_ns) {
    if (find_way(neighbours->sets[set_of(address)], address) >= 0) {
        neighbours_learn(neighbours, address, mac, now_ns);
    }
}

void neighbours_doubt(struct neighbours *neighbours, const uint8_t *address, uint64_t now_ns) {
    struct neighbour *set = neighbours->sets[set_of(address)];
    int way = find_way(set, address);
    if (way >= 0 && set[way].state == NEIGHBOUR_KNOWN && now_ns < set[way].due_ns &&
        set[way].due_ns - now_ns <= fresh_ns - certain_ns) {
        set[way].due_ns = now_ns;
    }
}

/* A silent neighbour is forgotten. Returns true if a question to it is due now; else lowers
 * `*next_ns` to when one will be. */
static bool is_due(struct neighbour *neighbour, uint64_t now_ns, uint64_t *next_ns) {
    if (neighbour->state != NEIGHBOUR_ASKED && neighbour->state != NEIGHBOUR_PROBED) {
        return false;
    }
    if (neighbour->due_ns > now_ns) {
        *next_ns = neighbour->due_ns < *next_ns ? neighbour->due_ns : *next_ns;
        return false;
    }
    if (neighbour->asks == NEIGHBOURS_ASKS_MAX) {
        neighbour->state = NEIGHBOUR_FREE;
        return false;
    }
    return true;
}

const struct neighbour *neighbours_ask(struct neighbours *neighbours, uint64_t now_ns) {
    if (now_ns < neighbours->due_ns) {
        return NULL;
    }
    uint64_t next_ns = UINT64_MAX;
    for (int i = 0; i < NEIGHBOURS_SETS * NEIGHBOURS_WAYS; i++) {
        struct neighbour *neighbour =
            &neighbours->sets[i / NEIGHBOURS_WAYS][i % NEIGHBOURS_WAYS];
        if (is_due(neighbour, now_ns, &next_ns)) {
            neighbour->asks++;
            neighbour->due_ns = now_ns + NEIGHBOURS_ASK_NS;
            return neighbour; /* due_ns stays: another may be due as well */
        }
    }
    neighbours->due_ns = next_ns;
    return NULL;
}
