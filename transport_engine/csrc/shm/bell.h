/* How one thread of this process sleeps and any other wakes it, once, and no wake-up is lost.
 *
 * The order of steps is that of shm/doorbell.h; the descriptor is an eventfd, since nobody outside
 * of the process holds it. Source: docs/channel.md §4.
 */
#ifndef SHM_BELL_H
#define SHM_BELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shm/layout.h"

struct bell {
    _Alignas(CHANNEL_LINE_BYTES) _Atomic uint32_t armed; /* the sleeper sets it, ringers clear it */
    int fd; /* becomes readable when it rings */
};

/* Errors: TE_E_SYSTEM. */
int bell_init(struct bell *bell);
void bell_fini(struct bell *bell);

/* Step one of going to sleep. The caller then checks that nothing waits for it already. */
void bell_arm(struct bell *bell);
/* Disarms and empties the descriptor. */
void bell_awake(struct bell *bell);
/* Wakes the sleeper if it is armed; what it is to see was published before. Thread: any other. */
void bell_ring(struct bell *bell);

#endif
