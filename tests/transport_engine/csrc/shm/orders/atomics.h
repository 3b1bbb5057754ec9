/* Put before every file of shm/ (-include): its atomics, its copies and its doorbell's system calls
 * become calls of the explorer. The code itself stays as it is. */
#ifndef ORDERS_ATOMICS_H
#define ORDERS_ATOMICS_H

#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include "explore.h"

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_thread_fence
#define explore_shared(at) ((struct shared){(volatile void *)(uintptr_t)(at), sizeof *(at)})
#define atomic_load_explicit(at, order) explore_load(explore_shared(at), order)
#define atomic_store_explicit(at, value, order) explore_store(explore_shared(at), value, order)
#define atomic_exchange_explicit(at, value, order) \
    explore_exchange(explore_shared(at), value, order)
#define atomic_thread_fence(order) explore_fence(order)

#define memcpy(to, from, count) explore_copy(to, from, count)
#define send(fd, bytes, count, flags) ((void)(bytes), explore_send(fd))
#define recv(fd, bytes, count, flags) ((void)(bytes), explore_receive(fd))

#endif
