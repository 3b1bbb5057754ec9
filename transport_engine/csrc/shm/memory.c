#define _GNU_SOURCE
#include "shm/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/mapping.h"

enum { STAT_BLOCK_BYTES = 512 }; /* the unit of st_blocks */

static bool header_write(int memory_fd, uint64_t ring_bytes) {
    const struct channel_geometry geometry = {.magic = CHANNEL_MAGIC,
                                              .version = CHANNEL_VERSION,
                                              .header_bytes = CHANNEL_HEADER_BYTES,
                                              .ring_bytes = ring_bytes};
    return pwrite(memory_fd, &geometry, sizeof geometry, 0) == (ssize_t)sizeof geometry;
}

static int error_of(int reason) {
    switch (reason) {
    case ENOSPC:
    case ENOMEM:
        return TE_E_NO_MEMORY;
    case EPERM: /* what a seccomp filter says that does not know the call; so are the next two */
    case EACCES:
    case ENOSYS:
        return TE_E_DENIED;
    default:
        return TE_E_SYSTEM;
    }
}

int memory_make(uint64_t ring_bytes, int *memory_fd, char *why) {
    if (!mapping_ring_bytes_valid(ring_bytes)) {
        snprintf(why, TE_WHY_BYTES, "a ring takes a power of two from %d to %d bytes, not %llu",
                 TE_RING_BYTES_MIN, TE_RING_BYTES_MAX, (unsigned long long)ring_bytes);
        return TE_E_INVALID;
    }
    const uint64_t bytes = mapping_total_bytes(ring_bytes);
    const int fd = memfd_create("te-channel", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0 || fallocate(fd, 0, 0, (off_t)bytes) != 0
        || !header_write(fd, ring_bytes)
        || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
        const int reason = errno;
        snprintf(why, TE_WHY_BYTES, "cannot make %llu bytes of shared memory: %s",
                 (unsigned long long)bytes, strerror(reason));
        if (fd >= 0) {
            close(fd);
        }
        return error_of(reason);
    }
    *memory_fd = fd;
    return TE_OK;
}

int memory_seal(int memory_fd) {
    /* Who holds the memfd can add the last seal itself, and so keep ours off. */
    if (fcntl(memory_fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0) {
        const int seals = fcntl(memory_fd, F_GET_SEALS);
        if (seals < 0 || (seals & F_SEAL_FUTURE_WRITE) == 0) {
            return seals >= 0 && errno == EPERM ? TE_E_CORRUPT : TE_E_SYSTEM;
        }
    }
    struct stat status;
    if (fstat(memory_fd, &status) != 0) {
        return TE_E_SYSTEM;
    }
    if (status.st_blocks * STAT_BLOCK_BYTES < status.st_size) {
        return TE_E_CORRUPT; /* pages were removed before the seal */
    }
    return TE_OK;
}
