#define _GNU_SOURCE
#include "shm/starts_file.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>

static_assert(sizeof(struct te_starts_place) == sizeof(struct starts)
                  && offsetof(struct te_starts_place, number) == offsetof(struct starts, number)
                  && offsetof(struct te_starts_place, starts) == offsetof(struct starts, newest),
              "what readers of a file see is what was stored there");
static_assert(offsetof(struct te_starts_file, places) % CHANNEL_LINE_BYTES == 0,
              "a place has its cache lines to itself");

static int refuse(char *why, const char *sentence) {
    snprintf(why, TE_WHY_BYTES, "nothing can be noted in this file: %s", sentence);
    return TE_E_INVALID;
}

int starts_file_open(int fd, struct te_starts_file **file, char *why) {
    struct stat status;
    struct statfs system;
    void *mapped = MAP_FAILED;
    if (fstat(fd, &status) == 0 && fstatfs(fd, &system) == 0) {
        if (system.f_type != TMPFS_MAGIC) {
            return refuse(why, "it is not in memory, so that stores would wait for a disk");
        }
        if (status.st_size != (off_t)sizeof **file) {
            return refuse(why, "its size is another");
        }
        mapped = mmap(NULL, sizeof **file, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (mapped == MAP_FAILED) {
        snprintf(why, TE_WHY_BYTES, "nothing can be noted in this file: %s", strerror(errno));
        return TE_E_SYSTEM;
    }
    struct te_starts_file *made = mapped;
    memset(made, 0, sizeof *made);
    made->version = TE_STARTS_VERSION;
    made->flows = TE_STARTS_FLOWS;
    made->place_bytes = sizeof made->places[0];
    made->magic = TE_STARTS_MAGIC;
    *file = made;
    return TE_OK;
}

void starts_file_close(struct te_starts_file *file) {
    if (file != NULL) {
        munmap(file, sizeof *file);
    }
}

struct starts *starts_file_places(struct te_starts_file *file) {
    return (struct starts *)(void *)file->places;
}
