/* Removing sockets of the dead, as far as that is certain. Knows the devices that listen, by their
 * arguments; not DPDK. */
#define _GNU_SOURCE /* lstat */
#include "netif/dpdk_sockets.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The devices that can listen, and how they say that they do. Source: the guides of DPDK's memif,
 * vhost and virtio_user drivers. */
static const struct {
    const char *device;
    const char *path;
    const char *role;
    bool listens; /* with that role, or without it */
} LISTENING[] = {
    {"net_memif", "socket=", "role=server", true},
    {"net_vhost", "iface=", "client=1", false},
    {"net_virtio_user", "path=", "server=1", true},
};

static bool begins_with(const char *text, const char *beginning) {
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* What stands behind `key` in a list with commas, to its end; NULL: it is not there. */
static const char *find(const char *list, const char *key) {
    while ((list = strchr(list, ',')) != NULL) {
        list++;
        if (begins_with(list, key)) {
            return list + strlen(key);
        }
    }
    return NULL;
}

/* A datagram socket cannot connect to one that streams, and so disturbs nobody who listens: what
 * is refused has nobody behind it. */
static bool is_dead(const struct sockaddr_un *name) {
    struct stat status;
    if (lstat(name->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode) ||
        status.st_uid != geteuid()) {
        return false;
    }
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const bool is_refused =
        fd >= 0 && connect(fd, (const struct sockaddr *)name, sizeof *name) != 0 &&
        errno == ECONNREFUSED;
    if (fd >= 0) {
        close(fd);
    }
    return is_refused;
}

static void clear(const char *device) {
    for (size_t i = 0; i < sizeof LISTENING / sizeof LISTENING[0]; i++) {
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        const char *path = find(device, LISTENING[i].path);
        if (!begins_with(device, LISTENING[i].device) || path == NULL ||
            (find(device, LISTENING[i].role) != NULL) != LISTENING[i].listens) {
            continue;
        }
        const size_t path_bytes = strcspn(path, ",");
        if (path_bytes < sizeof name.sun_path) {
            memcpy(name.sun_path, path, path_bytes);
            if (is_dead(&name)) {
                unlink(name.sun_path);
            }
        }
    }
}

void dpdk_sockets_clear(const struct arguments *arguments) {
    static const char option[] = "--vdev";
    for (int i = 0; i < arguments->count; i++) {
        const char *word = arguments->words[i];
        if (strcmp(word, option) == 0 && i + 1 < arguments->count) {
            clear(arguments->words[i + 1]);
        } else if (begins_with(word, "--vdev=")) {
            clear(word + sizeof option);
        }
    }
}
