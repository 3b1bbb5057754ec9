#define _GNU_SOURCE
#include "shm/doorbell.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport_engine.h"

/* An honest side has at most a few wakes under way; what a hostile one adds waits its turn. */
enum { DOORBELL_DRAIN_BYTES = 256 };

int doorbell_pair(int fds[2]) {
    const int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    return socketpair(AF_UNIX, type, 0, fds) == 0 ? TE_OK : TE_E_SYSTEM;
}

void doorbell_init(struct doorbell *doorbell, int fd, _Atomic uint32_t *own_armed,
                   _Atomic uint32_t *peer_armed) {
    *doorbell = (struct doorbell){.own_armed = own_armed, .peer_armed = peer_armed, .fd = fd};
}

void doorbell_fini(struct doorbell *doorbell) {
    close(doorbell->fd);
    doorbell->fd = -1;
}

void doorbell_arm(struct doorbell *doorbell, uint32_t wakes) {
    atomic_store_explicit(doorbell->own_armed, wakes, memory_order_relaxed);
    /* Pairs with the fence in doorbell_ring: armed before the caller's check of the rings. */
    atomic_thread_fence(memory_order_seq_cst);
}

void doorbell_disarm(struct doorbell *doorbell) {
    atomic_store_explicit(doorbell->own_armed, 0, memory_order_relaxed);
}

bool doorbell_ring(struct doorbell *doorbell, uint32_t happened) {
    /* Pairs with the fence in doorbell_arm: positions published before the look at `armed`. */
    atomic_thread_fence(memory_order_seq_cst);
    if ((atomic_load_explicit(doorbell->peer_armed, memory_order_relaxed) & happened) == 0) {
        return false;
    }
    /* Only the ring that finds it armed sends, so one sleep costs one system call. */
    if (atomic_exchange_explicit(doorbell->peer_armed, 0, memory_order_acq_rel) == 0) {
        return false;
    }
    const uint8_t wake = 1;
    /* Where it fails, the socket is full, hence readable at the sleeper's end, or closed there,
     * hence readable at this one. */
    (void)send(doorbell->fd, &wake, sizeof wake, MSG_DONTWAIT | MSG_NOSIGNAL);
    return true;
}

int doorbell_awake(struct doorbell *doorbell) {
    uint8_t wakes[DOORBELL_DRAIN_BYTES];

    doorbell_disarm(doorbell);
    const ssize_t received = recv(doorbell->fd, wakes, sizeof wakes, MSG_DONTWAIT);
    return received == 0 || (received < 0 && errno == ECONNRESET) ? TE_E_CLOSED : TE_OK;
}
