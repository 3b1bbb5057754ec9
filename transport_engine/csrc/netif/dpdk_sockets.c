#define _GNU_SOURCE /* lstat */
#include "netif/dpdk_sockets.h"

#include <errno.h>
#include <stdio.h>
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

/* What stands behind `key` in a list with commas, but for its first word; NULL: it is not there. */
static const char *find(const char *list, const char *key) {
    while ((list = strchr(list, ',')) != NULL) {
        list++;
        if (begins_with(list, key)) {
            return list + strlen(key);
        }
    }
    return NULL;
}

/* The path behind `key`. False: it is not there, or too long for a socket. */
static bool read_path(const char *device, const char *key, char path[DPDK_SOCKET_PATH_BYTES]) {
    const char *found = find(device, key);
    const size_t path_bytes = found == NULL ? 0 : strcspn(found, ",");
    if (path_bytes == 0 || path_bytes >= DPDK_SOCKET_PATH_BYTES) {
        return false;
    }
    memset(path, 0, DPDK_SOCKET_PATH_BYTES);
    memcpy(path, found, path_bytes);
    return true;
}

/* How the kernel refuses a datagram socket that would connect there: it cannot, to one that
 * streams, and so disturbs nobody who listens. 0: it does not refuse. */
static int refusal(const char path[DPDK_SOCKET_PATH_BYTES]) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    _Static_assert(sizeof name.sun_path == DPDK_SOCKET_PATH_BYTES, "unix(7)");
    memcpy(name.sun_path, path, DPDK_SOCKET_PATH_BYTES);
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    const int error =
        connect(fd, (const struct sockaddr *)&name, sizeof name) == 0 ? 0 : errno;
    close(fd);
    return error;
}

static bool is_dead(const char path[DPDK_SOCKET_PATH_BYTES]) {
    struct stat status;
    return lstat(path, &status) == 0 && S_ISSOCK(status.st_mode) &&
           status.st_uid == geteuid() && refusal(path) == ECONNREFUSED;
}

static void clear(const char *device) {
    char path[DPDK_SOCKET_PATH_BYTES];
    for (size_t i = 0; i < sizeof LISTENING / sizeof LISTENING[0]; i++) {
        const bool has_role = find(device, LISTENING[i].role) != NULL;
        if (begins_with(device, LISTENING[i].device) && has_role == LISTENING[i].listens &&
            read_path(device, LISTENING[i].path, path) && is_dead(path)) {
            unlink(path);
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

bool dpdk_sockets_other_side(const char *arguments, char path[DPDK_SOCKET_PATH_BYTES]) {
    char device[ARGUMENTS_BYTES_MAX];
    snprintf(device, sizeof device, "net_virtio_user,%s", arguments);
    return find(device, "server=1") == NULL && read_path(device, "path=", path);
}

bool dpdk_sockets_has_listener(const char path[DPDK_SOCKET_PATH_BYTES]) {
    return refusal(path) == EPROTOTYPE;
}
