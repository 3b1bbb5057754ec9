#include "netif/udp_paths.h"

#include <string.h>

static uint32_t place_of(const struct te_endpoint *remote) {
    uint32_t words[4];
    memcpy(words, remote->address, sizeof words);
    uint32_t sum = words[0] ^ words[1] ^ words[2] ^ words[3] ^ remote->port;
    return sum * 2654435761u >> 16; /* Knuth, TAOCP 3, §6.4: multiplicative hashing */
}

struct udp_path *udp_paths_find(struct udp_paths *paths, const struct te_endpoint *remote) {
    struct udp_path *path = &paths->paths[place_of(remote) % UDP_PATHS_MAX];
    if (path->remote.port != remote->port ||
        memcmp(path->remote.address, remote->address, TE_ADDRESS_BYTES) != 0) {
        *path = (struct udp_path){.remote = *remote, .next_rest = UDP_REST_MIN};
    }
    return path;
}

bool udp_path_may_carry(struct udp_path *path) {
    if (path->rest > 0) {
        path->rest--;
        return false;
    }
    if (++path->carried == UDP_TRUST_RUNS) {
        path->carried = 0;
        path->next_rest = path->next_rest > UDP_REST_MIN ? path->next_rest / 2 : UDP_REST_MIN;
    }
    return true;
}

void udp_path_failed(struct udp_path *path) {
    if (path->carried == 0) {
        return; /* whatever was lost, it was not for that */
    }
    path->rest = path->next_rest;
    path->next_rest = path->next_rest < UDP_REST_MAX ? path->next_rest * 2 : UDP_REST_MAX;
    path->carried = 0;
}
