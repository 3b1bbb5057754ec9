/* Receive-side scaling: which of its queues a network card gives a UDP packet to.
 *
 * The hash, and the port from which to call so that answers come to a certain queue. Is handed the
 * key and the table that a card has; does not know cards.
 * Source: Microsoft, "RSS Hashing Types" and "RSS Hashing Functions" (the Toeplitz hash).
 */
#ifndef IP_RSS_H
#define IP_RSS_H

#include <stdint.h>

#include "transport_engine.h"

enum rss_limit {
    RSS_KEY_BYTES = 40,  /* what the longest input needs; what a longer key has beyond, no input */
    RSS_TABLE_MAX = 512, /* entries */
    RSS_PORTS = 256      /* from which to choose: the engine's own and those above it */
};

struct rss {
    uint8_t key[RSS_KEY_BYTES];
    uint16_t table[RSS_TABLE_MAX]; /* a queue for each value of the hash's lowest bits */
    uint32_t table_size;           /* a power of two; 0: nothing is known */
};

/* Of a packet's addresses and ports. */
uint32_t rss_hash(const struct rss *rss, const struct te_endpoint *from,
                  const struct te_endpoint *to);

/* The first port of `local` and those above it to which the card brings what `remote` sends there
 * by `queue`; that of `local`, where none does, or nothing is known. */
uint16_t rss_port(const struct rss *rss, const struct te_endpoint *local,
                  const struct te_endpoint *remote, uint16_t queue);

#endif
