#include "engine/peers.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/engine.h"

enum peers_constant {
    PLACES_A_FLOW = 2, /* so that half of them are free */
    KEPT_FOR_OTHERS = 8 /* one in so many flows */
};

bool peers_init(struct peers *peers, uint32_t total_max, uint32_t flows_max) {
    uint32_t count = 1;
    while (count < total_max * PLACES_A_FLOW) {
        count *= 2;
    }
    peers->mask = count - 1;
    peers->flows_max = flows_max == 0 ? total_max - total_max / KEPT_FOR_OTHERS : flows_max;
    peers->places = calloc(count, sizeof *peers->places);
    return peers->places != NULL;
}

void peers_fini(struct peers *peers) {
    free(peers->places);
    peers->places = NULL;
}

static uint32_t home_of(const struct engine *engine, const uint8_t *address) {
    uint64_t hash = engine->world.mac(engine->world.context, address, TE_ADDRESS_BYTES);
    return (uint32_t)hash & engine->peers.mask;
}

/* Its place, or the free one that it would get. */
static uint32_t find(const struct engine *engine, const uint8_t *address) {
    const struct peers *peers = &engine->peers;
    uint32_t at = home_of(engine, address);
    while (peers->places[at].flow_count != 0 &&
           memcmp(peers->places[at].address, address, TE_ADDRESS_BYTES) != 0) {
        at = (at + 1) & peers->mask;
    }
    return at;
}

static bool add(struct engine *engine, const uint8_t *address, uint32_t flows_max) {
    struct peer *peer = &engine->peers.places[find(engine, address)];
    if (peer->flow_count >= flows_max) {
        return false;
    }
    memcpy(peer->address, address, sizeof peer->address);
    peer->flow_count++;
    return true;
}

bool peers_add(struct engine *engine, const uint8_t address[16]) {
    return add(engine, address, engine->peers.flows_max);
}

/* Moves up who would not be found any more behind a free place. */
static void close_gap(struct engine *engine, uint32_t gap) {
    const struct peers *peers = &engine->peers;
    uint32_t at = gap;
    while (peers->places[at = (at + 1) & peers->mask].flow_count != 0) {
        uint32_t home = home_of(engine, peers->places[at].address);
        if (((at - home) & peers->mask) >= ((at - gap) & peers->mask)) {
            peers->places[gap] = peers->places[at];
            gap = at;
        }
    }
    peers->places[gap].flow_count = 0;
}

void peers_remove(struct engine *engine, const uint8_t address[16]) {
    uint32_t at = find(engine, address);
    te_check(engine->peers.places[at].flow_count > 0);
    if (--engine->peers.places[at].flow_count == 0) {
        close_gap(engine, at);
    }
}

void peers_move(struct engine *engine, const uint8_t from[16], const uint8_t to[16]) {
    peers_remove(engine, from);
    (void)add(engine, to, UINT32_MAX);
}
