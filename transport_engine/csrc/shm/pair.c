/* A pair: a channel whose two ends are applications, made by the control plane between them.
 *
 * Here is the maker's part, te_pair_make and te_pair_seal; it never maps the memory, and keeps
 * nothing. Who opens an end (attachment.c) trusts the other as little as an engine would.
 * Source: docs/channel.md §7
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shm/doorbell.h"
#include "shm/memory.h"
#include "transport_engine.h"

int te_pair_make(uint64_t ring_bytes, int *memory_fd, int *doorbell_fds, char *why) {
    int fd = -1;
    const int error = memory_make(ring_bytes, &fd, why);
    if (error != TE_OK) {
        return error;
    }
    if (doorbell_pair(doorbell_fds) != TE_OK) {
        snprintf(why, TE_WHY_BYTES, "cannot make the sockets of a pair: %s", strerror(errno));
        close(fd);
        return TE_E_SYSTEM;
    }
    *memory_fd = fd;
    return TE_OK;
}

int te_pair_seal(int memory_fd, char *why) {
    const int error = memory_seal(memory_fd);
    if (error != TE_OK) {
        snprintf(why, TE_WHY_BYTES, "the memory of a pair cannot be sealed: %s",
                 error == TE_E_CORRUPT ? "an application removed pages, or kept the seal off"
                                       : strerror(errno));
    }
    return error;
}
