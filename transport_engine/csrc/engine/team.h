/* The engines of one process, a thread each, and how a datagram that came to one of them reaches
 * the one whose it is.
 *
 * Each has its own queue of the network, flows, timers, channels and memory; nothing is shared but
 * a queue from each to each other one and a bell for each. A local id names its engine in its
 * upper bits, so any datagram of a flow finds home; an INIT goes to the engine that listens on its
 * port, as the control plane told all of them. A full queue loses the datagram, as the queue of a
 * network card would have.
 */
#ifndef ENGINE_TEAM_H
#define ENGINE_TEAM_H

#include "engine/engine.h"
#include "shm/bell.h"

enum team_limit {
    TEAM_ID_SHIFT = 60,              /* of the member in a local id */
    TEAM_QUEUE_BYTES = 1 << 20,
    TEAM_HANDOVERS_MAX = 128,        /* taken from each other member in one poll */
    TEAM_NOBODY = 0xff
};

/* What an engine of a team knows of it. */
struct membership {
    struct te_team *team;
    uint32_t number;          /* of this engine in it */
    uint32_t count;           /* of engines in it */
    uint32_t owed_bells;      /* a bit for each member that was handed something in this poll */
    uint64_t handed_over;
    uint64_t lost;            /* datagrams for which a queue had no room */
    uint8_t listening[65536]; /* by port: the member that listens there, or TEAM_NOBODY */
};

/* Its engines; 0 for NULL. */
uint32_t team_count(const struct te_team *team);

/* Errors: TE_E_NO_MEMORY. Without a team in `config`, engine->membership stays NULL. */
int team_join(struct engine *engine, const struct te_engine_config *config);
void team_leave(struct engine *engine);

/* Notes who listens on a port. TE_E_INVALID: there is no team, or no such member. */
int team_route(struct engine *engine, uint16_t port, uint32_t member);

/* A random local id, as one of this engine. */
uint64_t team_id(const struct engine *engine, uint64_t random);

/* Hands the datagram over if it is another's. False: it is this engine's. */
bool team_hand_over(struct engine *engine, const struct netif_datagram *datagram);
/* Passes on to receiving_take what others handed over. Returns how many. */
int team_receive(struct engine *engine);
/* Wakes those that were handed something. */
void team_ring(struct engine *engine);

/* Prepares to sleep on team_fd. True: something waits already. Without a team nothing does. */
bool team_arm(struct engine *engine);
void team_awake(struct engine *engine);
/* -1 without a team. */
int team_fd(const struct engine *engine);

#endif
