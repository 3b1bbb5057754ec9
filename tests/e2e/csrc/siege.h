/* A hostile application's hold on its channel, and its ways of attack. */
#ifndef E2E_SIEGE_H
#define E2E_SIEGE_H

#include <stdint.h>

#include "shm/layout.h"
#include "guest.h"

enum { SIEGE_RING_BYTES = TE_RING_BYTES_MIN };

struct siege {
    struct guest guest;
    struct te_channel *channel; /* as an honest application has it; NULL before it mapped */
    struct loop loop;
    struct channel_header *header; /* the whole mapping, all of it writable */
    uint8_t *tx;
    uint8_t *rx;
    int memory_fd;
    int doorbell_fd;
    uint64_t tail; /* where this attacker's own records end in TX */
    uint64_t prng;
};

/* One blow; `argument` chooses among blows of one kind. */
typedef void stroke_function(struct siege *siege, unsigned argument);

struct strategy {
    const char *name;
    stroke_function *stroke;
    unsigned argument;
    unsigned needs; /* enum siege_need */
    const char *expected; /* what the engine must say it was; "none" ends no session */
};

enum siege_need {
    NEEDS_NOTHING = 0, /* before the second seal: nothing was sent yet */
    NEEDS_FLOW = 1     /* after it, with an open flow */
};

extern const struct strategy STRATEGIES[];
extern const unsigned STRATEGY_COUNT;

/* What is wrong with a record. */
enum field {
    SIZE_HUGE,
    SIZE_BEYOND,
    OFFSET_ODD,
    OFFSET_BEYOND,
    TOTAL_HUGE,
    KIND_UNKNOWN,
    KIND_OF_ENGINE,
    FLAGS_UNKNOWN,
    NO_FIRST,
    NO_LAST,
    PRIORITY,
    ZERO,
    FLOW_FOREIGN,
    CLOSE_FOREIGN,
    CLOSE_WITH_PAYLOAD,
    PIECE_INTERLEAVED,
    PIECE_CHANGED,
    LANE,
    TORN,
    ALL_RANDOM,
    FLIPPED,
    HONEST
};

/* Publishes one record that is wrong in that way. */
void forge(struct siege *siege, unsigned field);

uint64_t siege_random(struct siege *siege);

#endif
