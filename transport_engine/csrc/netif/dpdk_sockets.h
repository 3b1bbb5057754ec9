/* Sockets that an engine left behind when it was killed, at which its next one is to listen. */
#ifndef NETIF_DPDK_SOCKETS_H
#define NETIF_DPDK_SOCKETS_H

#include "netif/arguments.h"

/* Removes those that virtual devices among EAL's arguments would not be opened for: memif, vhost
 * and virtio_user do not listen where a socket lies. Only this user's, and only if nobody has them
 * open. Thread: any; other processes see nothing of it. */
void dpdk_sockets_clear(const struct arguments *arguments);

#endif
