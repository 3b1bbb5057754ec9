/* Sockets of virtual devices: those that an engine left behind when it was killed, at which its
 * next one is to listen, and those at which another process listens. Does not know DPDK. */
#ifndef NETIF_DPDK_SOCKETS_H
#define NETIF_DPDK_SOCKETS_H

#include <stdbool.h>

#include "netif/arguments.h"

enum { DPDK_SOCKET_PATH_BYTES = 108 /* unix(7) */ };

/* Removes those that virtual devices among EAL's arguments would not be opened for: memif, vhost
 * and virtio_user do not listen where a socket lies. Only this user's, and only if nobody has them
 * open. Thread: any; other processes see nothing of it. */
void dpdk_sockets_clear(const struct arguments *arguments);

/* Where the other side of a virtio_user device listens, by the device's arguments, to which it
 * connects once in its life. False: it listens itself. */
bool dpdk_sockets_other_side(const char *arguments, char path[DPDK_SOCKET_PATH_BYTES]);
/* Whether a process has the socket open at which it listens, and would hear of who connects. */
bool dpdk_sockets_has_listener(const char path[DPDK_SOCKET_PATH_BYTES]);

#endif
