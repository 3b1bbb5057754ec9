#define _GNU_SOURCE
#include "shm/bell.h"

#include <sys/eventfd.h>
#include <unistd.h>

int bell_init(struct bell *bell) {
    atomic_init(&bell->armed, 0);
    bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return bell->fd < 0 ? TE_E_SYSTEM : TE_OK;
}

void bell_fini(struct bell *bell) {
    if (bell->fd >= 0) {
        close(bell->fd);
    }
    bell->fd = -1;
}

void bell_arm(struct bell *bell) {
    atomic_store_explicit(&bell->armed, 1, memory_order_relaxed);
    /* Pairs with the fence in bell_ring: armed before the caller's look at what may wait. */
    atomic_thread_fence(memory_order_seq_cst);
}

void bell_awake(struct bell *bell) {
    eventfd_t count;
    atomic_store_explicit(&bell->armed, 0, memory_order_relaxed);
    eventfd_read(bell->fd, &count);
}

void bell_ring(struct bell *bell) {
    /* Pairs with the fence in bell_arm: published before the look at `armed`. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&bell->armed, memory_order_relaxed) == 0) {
        return;
    }
    /* Only the ring that finds it armed writes, so one sleep costs one system call. */
    if (atomic_exchange_explicit(&bell->armed, 0, memory_order_acq_rel) != 0) {
        eventfd_write(bell->fd, 1);
    }
}
