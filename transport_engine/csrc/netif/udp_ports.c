#include "netif/udp_ports.h"

#include <pthread.h>
#include <string.h>

/* Each of TE_CORES_MAX queues has 256 sockets at most. A port beyond is held by nobody, and then
 * the kernel refuses the second socket. */
enum { HELD_MAX = TE_CORES_MAX * 256 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    struct te_endpoint local;
    unsigned holders; /* 0: free */
} held[HELD_MAX];
static int held_used; /* those behind were never in use */

static int find(const struct te_endpoint *local) {
    for (int i = 0; i < held_used; i++) {
        if (held[i].holders > 0 && held[i].local.port == local->port &&
            memcmp(held[i].local.address, local->address, TE_ADDRESS_BYTES) == 0) {
            return i;
        }
    }
    return -1;
}

static int find_free(void) {
    for (int i = 0; i < held_used; i++) {
        if (held[i].holders == 0) {
            return i;
        }
    }
    return held_used < HELD_MAX ? held_used++ : -1;
}

bool udp_ports_hold(const struct te_endpoint *local) {
    pthread_mutex_lock(&lock);
    int at = find(local);
    bool was_held = at >= 0;
    at = was_held ? at : find_free();
    if (at >= 0) {
        held[at].local = *local;
        held[at].holders++;
    }
    pthread_mutex_unlock(&lock);
    return was_held;
}

void udp_ports_release(const struct te_endpoint *local) {
    pthread_mutex_lock(&lock);
    int at = find(local);
    if (at >= 0) {
        held[at].holders--;
    }
    pthread_mutex_unlock(&lock);
}
