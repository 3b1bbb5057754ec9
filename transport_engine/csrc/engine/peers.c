#include "engine/peers.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/engine.h"

enum { KEPT_FOR_OTHERS = 8 /* one in so many flows */ };

bool peers_init(struct peers *peers, uint32_t total_max, uint32_t flows_max) {
    const uint32_t places = total_max + 1; /* of one that is refused for want of a flow, too */
    uint32_t count = 1;
    while (count < places) {
        count *= 2;
    }
    *peers = (struct peers){
        .places = calloc(places, sizeof *peers->places),
        .heads = calloc(count, sizeof *peers->heads),
        .mask = count - 1,
        .flows_max = flows_max == 0 ? total_max - total_max / KEPT_FOR_OTHERS : flows_max,
    };
    for (uint32_t i = 0; peers->places != NULL && i < places; i++) {
        peers->places[i].next = peers->free;
        peers->free = &peers->places[i];
    }
    return peers->places != NULL && peers->heads != NULL;
}

void peers_fini(struct peers *peers) {
    free(peers->places);
    free(peers->heads);
    *peers = (struct peers){0};
}

/* Where the peer is named, or would be. */
static struct peer **find(const struct engine *engine, const uint8_t *address) {
    uint64_t hash = engine->world.mac(engine->world.context, address, TE_ADDRESS_BYTES);
    struct peer **at = &engine->peers.heads[(uint32_t)hash & engine->peers.mask];
    while (*at != NULL && memcmp((*at)->address, address, TE_ADDRESS_BYTES) != 0) {
        at = &(*at)->next;
    }
    return at;
}

struct peer *peers_add(struct engine *engine, const uint8_t address[16], bool is_accepted) {
    struct peers *peers = &engine->peers;
    struct peer **at = find(engine, address);
    if (*at == NULL) {
        struct peer *taken = peers->free;
        te_check(taken != NULL);
        peers->free = taken->next;
        *taken = (struct peer){0};
        memcpy(taken->address, address, sizeof taken->address);
        *at = taken;
    } else if (is_accepted && (*at)->accepted_count >= peers->flows_max) {
        return NULL;
    }
    (*at)->flow_count++;
    (*at)->accepted_count += is_accepted;
    return *at;
}

void peers_remove(struct engine *engine, struct peer *peer, bool is_accepted) {
    te_check(peer->flow_count > 0);
    peer->accepted_count -= is_accepted;
    if (--peer->flow_count == 0) {
        te_check(peer->begun.blocks == 0);
        *find(engine, peer->address) = peer->next;
        peer->next = engine->peers.free;
        engine->peers.free = peer;
    }
}
