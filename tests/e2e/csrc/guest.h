/* An application in C: the control socket by hand, the channel by the core's public functions.
 *
 * For programs that Python would be too slow or too large for. Every failure ends the program with
 * a sentence, except where the caller says that it may fail.
 * Source: docs/channel.md §6
 */
#ifndef E2E_GUEST_H
#define E2E_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport_engine.h"

enum { GUEST_LOCAL_BYTES = 64 };

struct guest {
    int control_fd;
    int memory_fd;
    int doorbell_fd;
    char local[GUEST_LOCAL_BYTES]; /* "address:port" of the engine */
};

/* Prints the sentence with errno's words and ends the program with status 2. */
_Noreturn void die(const char *sentence);

uint64_t now_ns(void);

/* Connects and attaches; false if the engine refuses or is gone. */
bool guest_attach(struct guest *guest, const char *socket_path, uint64_t ring_bytes);
void guest_leave(struct guest *guest);
/* Listens on a free port; returns it, 0 when refused. */
uint16_t guest_listen(struct guest *guest);
/* Asks for a flow to a port of the same engine's address; false when refused. */
bool guest_connect(struct guest *guest, uint16_t port, uint64_t token);

/* Hands the two descriptors of the channel to the core. */
struct te_channel *guest_open_channel(struct guest *guest);

/* A flow from the tenant to itself through the engine. */
struct loop {
    uint32_t near; /* the flow that connected */
    uint32_t far;  /* the flow that was accepted */
};

/* Listens, connects to that port, and waits for both ends; false if it does not come about. */
bool guest_loop(struct guest *guest, struct te_channel *channel, struct loop *loop);

/* Sleeps until the engine rings for one of `wakes`, at most so long. False: it is gone. */
bool channel_wait(struct te_channel *channel, int wakes, int milliseconds);

#endif
