/* An address of 127.0.0.0/8 that this process has to itself: whatever other tests run on the
 * machine, its ports are free. */
#ifndef TESTS_OWN_ADDRESS_H
#define TESTS_OWN_ADDRESS_H

#include <string.h>
#include <unistd.h>

#include "transport_engine.h"

/* A process id has 22 bits at most; 127.0 stays free for those that mean it. Source: proc(5). */
static inline void own_address(uint8_t address[TE_ADDRESS_BYTES]) {
    const uint32_t pid = (uint32_t)getpid();
    const uint8_t here[TE_ADDRESS_BYTES] = {
        [10] = 0xff,
        [11] = 0xff,
        [12] = 127,
        [13] = (uint8_t)(192 + (pid >> 16)),
        [14] = (uint8_t)(pid >> 8),
        [15] = (uint8_t)pid,
    };
    memcpy(address, here, sizeof here);
}

#endif
