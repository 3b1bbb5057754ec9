/* Which peers may be sent several datagrams as one message, as far as experience goes.
 *
 * Most paths carry such a message cut or whole; some refuse it, and some lose it: whoever reads
 * raw packets off a virtual link finds one that is too large. Neither says so at once, so a peer to
 * whom something was lost gets single datagrams for a while, twice as long each time.
 * Does not know sockets. Source: binary exponential backoff, as in RFC 6298 §5.5
 */
#ifndef NETIF_UDP_PATHS_H
#define NETIF_UDP_PATHS_H

#include <stdbool.h>
#include <stdint.h>

#include "transport_engine.h"

enum udp_paths_limit {
    UDP_PATHS_MAX = 1024,   /* a peer beyond takes another's place, and begins anew */
    UDP_REST_MIN = 64,      /* runs that go one by one ... */
    UDP_REST_MAX = 1 << 18, /* ... after a loss; as many as that again after the next one */
    UDP_TRUST_RUNS = 4096   /* without a loss, and half of it is forgotten */
};

struct udp_path {
    struct te_endpoint remote;
    uint32_t rest;      /* runs that still go one by one */
    uint32_t next_rest; /* after the next loss */
    uint32_t carried;   /* runs that went as one message since something was lost */
};

struct udp_paths {
    struct udp_path paths[UDP_PATHS_MAX];
};

/* The path to a peer; of one that is not known, a new one. */
struct udp_path *udp_paths_find(struct udp_paths *paths, const struct te_endpoint *remote);
/* Whether the next run may go as one message; if so, counts it. */
bool udp_path_may_carry(struct udp_path *path);
/* Notes that something was lost or refused. */
void udp_path_failed(struct udp_path *path);

#endif
