/* Who has which Ethernet address: a bounded cache that asks again by a timer it is handed.
 *
 * Knows addresses and time. Does not know how one asks, ARP or NDP.
 * Source: RFC 1122 §2.3.2 (flushing, queue of one and more), RFC 4861 §7.3.2 (states).
 */
#ifndef IP_NEIGHBOURS_H
#define IP_NEIGHBOURS_H

#include <stdbool.h>
#include <stdint.h>

#include "ip/address.h"
#include "ip/ethernet.h"

enum neighbours_limit {
    NEIGHBOURS_WAYS = 8,
    NEIGHBOURS_SETS = 128,
    NEIGHBOURS_ASKS_MAX = 5,
    NEIGHBOURS_ASK_NS = 200000000 /* between two questions */
};

enum neighbour_state {
    NEIGHBOUR_FREE,
    NEIGHBOUR_ASKED,  /* no answer yet */
    NEIGHBOUR_KNOWN,
    NEIGHBOUR_PROBED /* still used, but its time is over and we ask again */
};

struct neighbour {
    uint8_t address[ADDRESS_BYTES];
    uint64_t due_ns; /* asked, probed: next question; known: when to ask again if still used */
    uint8_t mac[MAC_BYTES];
    uint8_t state; /* enum neighbour_state */
    uint8_t asks;
};

struct neighbours {
    uint64_t due_ns; /* no question is due before */
    struct neighbour sets[NEIGHBOURS_SETS][NEIGHBOURS_WAYS];
};

void neighbours_init(struct neighbours *neighbours);

/* The Ethernet address to send to; NULL while it is not known, and then the question stands.
 * Makes room by forgetting the one of its set that was learned longest ago. */
const uint8_t *neighbours_want(struct neighbours *neighbours, const uint8_t *address,
                               uint64_t now_ns);
/* As above, but asks nothing. `*gone`: nobody answered, or nobody asked. */
const uint8_t *neighbours_look(const struct neighbours *neighbours, const uint8_t *address,
                               bool *gone);

/* Takes in what a neighbour says of itself. Who was not wanted gets a free place or none. */
void neighbours_learn(struct neighbours *neighbours, const uint8_t *address, const uint8_t *mac,
                      uint64_t now_ns);

/* Takes in what a neighbour says of itself to everybody. Who is neither known nor wanted gets no
 * place. Source: RFC 826, the merge flag; RFC 4861 §7.2.5. */
void neighbours_update(struct neighbours *neighbours, const uint8_t *address, const uint8_t *mac,
                       uint64_t now_ns);

/* Says that what is sent to this neighbour is not answered. Who has not been heard of for a second
 * is asked anew when it is wanted next: its address may be at another card by now. Source: RFC 1122
 * §2.3.2.1 (4), advice of a higher layer. */
void neighbours_doubt(struct neighbours *neighbours, const uint8_t *address, uint64_t now_ns);

/* The next question to put on the wire now; NULL: none. Call it until NULL. */
const struct neighbour *neighbours_ask(struct neighbours *neighbours, uint64_t now_ns);

#endif
