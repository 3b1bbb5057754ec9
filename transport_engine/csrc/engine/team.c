#include "engine/team.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/receiving.h"
#include "shm/handover.h"

struct te_team {
    struct bell bells[TE_CORES_MAX];
    struct handover *queues[TE_CORES_MAX][TE_CORES_MAX]; /* from, to */
    uint32_t count;
};

/* A datagram in a queue; its bytes follow. */
struct parcel {
    struct te_endpoint local;
    struct te_endpoint remote;
    uint64_t waited_ns;
    uint64_t handed_ns; /* when it was put here */
    uint32_t size_bytes;
    uint8_t ecn;
    bool is_returned;
};

/* ---- a team ---- */

static int open_queues(struct te_team *team) {
    for (uint32_t from = 0; from < team->count; from++) {
        for (uint32_t to = 0; to < team->count; to++) {
            struct handover **queue = &team->queues[from][to];
            int error = from == to ? TE_OK : handover_open(queue, TEAM_QUEUE_BYTES);
            if (error != TE_OK) {
                return error;
            }
        }
    }
    return TE_OK;
}

int te_team_open(uint32_t count, struct te_team **opened, char *why) {
    if (count < 2 || count > TE_CORES_MAX) {
        snprintf(why, TE_WHY_BYTES, "a team of %u engines; it may have 2 to %d", count,
                 TE_CORES_MAX);
        return TE_E_INVALID;
    }
    struct te_team *team = aligned_alloc(_Alignof(struct te_team), sizeof *team);
    if (team != NULL) {
        memset(team, 0, sizeof *team);
    }
    int error = team == NULL ? TE_E_NO_MEMORY : TE_OK;
    for (uint32_t i = 0; i < count && error == TE_OK; i++) {
        error = bell_init(&team->bells[i]);
        team->count = i + 1;
    }
    if (error == TE_OK) {
        error = open_queues(team);
    }
    if (error != TE_OK) {
        snprintf(why, TE_WHY_BYTES, "no memory or no descriptors for a team of %u engines", count);
        if (team != NULL) {
            te_team_close(team);
        }
        return error;
    }
    *opened = team;
    return TE_OK;
}

void te_team_close(struct te_team *team) {
    for (uint32_t from = 0; from < team->count; from++) {
        bell_fini(&team->bells[from]);
        for (uint32_t to = 0; to < team->count; to++) {
            if (team->queues[from][to] != NULL) {
                handover_close(team->queues[from][to]);
            }
        }
    }
    free(team);
}

uint32_t team_count(const struct te_team *team) {
    return team == NULL ? 0 : team->count;
}

/* ---- a member ---- */

int team_join(struct engine *engine, const struct te_engine_config *config) {
    if (config->team == NULL) {
        return TE_OK;
    }
    struct membership *membership = calloc(1, sizeof *membership);
    if (membership == NULL) {
        return TE_E_NO_MEMORY;
    }
    membership->team = config->team;
    membership->number = config->queue;
    membership->count = config->team->count;
    memset(membership->listening, TEAM_NOBODY, sizeof membership->listening);
    engine->membership = membership;
    return TE_OK;
}

void team_leave(struct engine *engine) {
    free(engine->membership);
    engine->membership = NULL;
}

int team_route(struct engine *engine, uint16_t port, uint32_t member) {
    struct membership *membership = engine->membership;
    if (membership == NULL || (member >= membership->count && member != TE_CORES_MAX)) {
        return TE_E_INVALID;
    }
    membership->listening[port] = member == TE_CORES_MAX ? TEAM_NOBODY : (uint8_t)member;
    return TE_OK;
}

uint64_t team_id(const struct engine *engine, uint64_t random) {
    const struct membership *membership = engine->membership;
    if (membership == NULL) {
        return random;
    }
    uint64_t mask = (UINT64_C(1) << TEAM_ID_SHIFT) - 1;
    return (random & mask) | (uint64_t)membership->number << TEAM_ID_SHIFT;
}

/* Whose a datagram is; this engine's, where nothing says otherwise. Nothing is verified: whoever
 * it is handed to does that. */
static uint32_t find_owner(const struct membership *membership,
                           const struct netif_datagram *datagram) {
    enum { TYPE_OFFSET = 1, DESTINATION_OFFSET = 4, SOURCE_OFFSET = 12 }; /* docs/wire.md §2 */
    if (datagram->size_bytes < PACKET_HEADER_BYTES) {
        return membership->number;
    }
    int id_offset = datagram->is_returned ? SOURCE_OFFSET : DESTINATION_OFFSET;
    uint32_t owner =
        datagram->bytes[TYPE_OFFSET] == PACKET_INIT && !datagram->is_returned
            ? membership->listening[datagram->local.port]
            : (uint32_t)(load_u64(datagram->bytes + id_offset) >> TEAM_ID_SHIFT);
    return owner < membership->count ? owner : membership->number;
}

static void put(struct engine *engine, const struct netif_datagram *datagram, uint32_t owner) {
    struct membership *membership = engine->membership;
    struct handover *queue = membership->team->queues[membership->number][owner];
    uint32_t size_bytes = (uint32_t)sizeof(struct parcel) + datagram->size_bytes;
    struct parcel *parcel = handover_reserve(queue, size_bytes);
    membership->owed_bells |= 1u << owner;
    if (parcel == NULL) {
        membership->lost++;
        return;
    }
    *parcel = (struct parcel){
        .local = datagram->local,
        .remote = datagram->remote,
        .waited_ns = datagram->waited_ns,
        .handed_ns = engine->now_ns,
        .size_bytes = datagram->size_bytes,
        .ecn = datagram->ecn,
        .is_returned = datagram->is_returned,
    };
    memcpy(parcel + 1, datagram->bytes, datagram->size_bytes);
    handover_publish(queue, size_bytes);
    membership->handed_over++;
}

bool team_hand_over(struct engine *engine, const struct netif_datagram *datagram) {
    uint32_t owner = find_owner(engine->membership, datagram);
    if (owner == engine->membership->number) {
        return false;
    }
    put(engine, datagram, owner);
    return true;
}

/* The clocks of two threads are one, but each looked at it when its poll began. */
static uint64_t since(uint64_t then_ns, uint64_t now_ns) {
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

static int receive_from(struct engine *engine, struct handover *queue) {
    int count = 0;
    uint32_t size_bytes;
    struct parcel *parcel;
    while (count < TEAM_HANDOVERS_MAX && (parcel = handover_peek(queue, &size_bytes)) != NULL) {
        const struct netif_datagram datagram = {
            .local = parcel->local,
            .remote = parcel->remote,
            .bytes = (uint8_t *)(parcel + 1),
            .size_bytes = parcel->size_bytes,
            .ecn = parcel->ecn,
            .is_returned = parcel->is_returned,
            .waited_ns = parcel->waited_ns + since(parcel->handed_ns, engine->now_ns),
        };
        receiving_take(engine, &datagram);
        handover_release(queue);
        count++;
    }
    return count;
}

int team_receive(struct engine *engine) {
    const struct membership *membership = engine->membership;
    int total = 0;
    for (uint32_t from = 0; from < membership->count; from++) {
        if (from != membership->number) {
            total += receive_from(engine, membership->team->queues[from][membership->number]);
        }
    }
    return total;
}

void team_ring(struct engine *engine) {
    struct membership *membership = engine->membership;
    for (uint32_t to = 0; membership->owed_bells != 0 && to < membership->count; to++) {
        if (membership->owed_bells & 1u << to) {
            bell_ring(&membership->team->bells[to]);
        }
    }
    membership->owed_bells = 0;
}

bool team_arm(struct engine *engine) {
    const struct membership *membership = engine->membership;
    if (membership == NULL) {
        return false;
    }
    bell_arm(&membership->team->bells[membership->number]);
    for (uint32_t from = 0; from < membership->count; from++) {
        if (from != membership->number &&
            !handover_is_empty(membership->team->queues[from][membership->number])) {
            return true;
        }
    }
    return false;
}

void team_awake(struct engine *engine) {
    const struct membership *membership = engine->membership;
    if (membership != NULL) {
        bell_awake(&membership->team->bells[membership->number]);
    }
}

int team_fd(const struct engine *engine) {
    const struct membership *membership = engine->membership;
    return membership == NULL ? -1 : membership->team->bells[membership->number].fd;
}
