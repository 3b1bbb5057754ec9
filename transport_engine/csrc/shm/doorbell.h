/* How one side of a channel sleeps and the other wakes it, once, and no wake-up is lost.
 *
 * The sleeper publishes for what it waits (arms), then looks at the rings once more, then sleeps on
 * the socket. The other side publishes what it did, then looks whether the sleeper is armed for
 * that. A full fence on both sides between the two steps: at least one sees the other's first step.
 * A socket carries the wake, since it can be written without blocking whatever the reader does to
 * its own end; an eventfd that is shared cannot. Knows no rings. Source: docs/channel.md §4.
 */
#ifndef SHM_DOORBELL_H
#define SHM_DOORBELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct doorbell {
    _Atomic uint32_t *own_armed;
    _Atomic uint32_t *peer_armed;
    int fd;
};

/* Errors: TE_E_SYSTEM. */
int doorbell_pair(int fds[2]);
/* Owner: takes over `fd`. */
void doorbell_init(struct doorbell *doorbell, int fd, _Atomic uint32_t *own_armed,
                   _Atomic uint32_t *peer_armed);
void doorbell_fini(struct doorbell *doorbell);

/* Step one of going to sleep, `wakes` as in enum te_wake. The caller then checks that none of them
 * is true already, and disarms if one is. */
void doorbell_arm(struct doorbell *doorbell, uint32_t wakes);
void doorbell_disarm(struct doorbell *doorbell);

/* Wakes the other side if it is armed for any of `happened`, which was published before; whether it
 * was. */
bool doorbell_ring(struct doorbell *doorbell, uint32_t happened);

/* Disarms and empties the socket. TE_E_CLOSED: the other side is gone. */
int doorbell_awake(struct doorbell *doorbell);

#endif
