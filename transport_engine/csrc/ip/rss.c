#include "ip/rss.h"

#include "ip/address.h"

/* The hash while its input comes in, from the first byte to the last. */
struct toeplitz {
    const uint8_t *next; /* the byte of the key behind the window */
    uint32_t window;     /* of the key, at the bit of the input that comes next */
    uint32_t hash;
};

static void add_byte(struct toeplitz *toeplitz, uint8_t byte) {
    uint32_t coming = *toeplitz->next++;
    for (int bit = 7; bit >= 0; bit--) {
        if ((byte >> bit & 1) != 0) {
            toeplitz->hash ^= toeplitz->window;
        }
        toeplitz->window = toeplitz->window << 1 | (coming >> bit & 1u);
    }
}

static void add_address(struct toeplitz *toeplitz, const struct te_endpoint *endpoint, int begin) {
    for (int i = begin; i < ADDRESS_BYTES; i++) {
        add_byte(toeplitz, endpoint->address[i]);
    }
}

static void add_port(struct toeplitz *toeplitz, const struct te_endpoint *endpoint) {
    add_byte(toeplitz, (uint8_t)(endpoint->port >> 8));
    add_byte(toeplitz, (uint8_t)endpoint->port);
}

uint32_t rss_hash(const struct rss *rss, const struct te_endpoint *from,
                  const struct te_endpoint *to) {
    const uint8_t *key = rss->key;
    struct toeplitz toeplitz = {
        .next = key + sizeof toeplitz.window,
        .window = (uint32_t)key[0] << 24 | (uint32_t)key[1] << 16 | (uint32_t)key[2] << 8 | key[3],
    };
    int begin = address_is_ipv4(to->address) ? ADDRESS_IPV4_OFFSET : 0;
    add_address(&toeplitz, from, begin);
    add_address(&toeplitz, to, begin);
    add_port(&toeplitz, from);
    add_port(&toeplitz, to);
    return toeplitz.hash;
}

uint16_t rss_port(const struct rss *rss, const struct te_endpoint *local,
                  const struct te_endpoint *remote, uint16_t queue) {
    struct te_endpoint here = *local;
    for (uint32_t i = 0; i < RSS_PORTS && local->port + i <= UINT16_MAX && rss->table_size > 0;
         i++) {
        here.port = (uint16_t)(local->port + i);
        if (rss->table[rss_hash(rss, remote, &here) & (rss->table_size - 1)] == queue) {
            return here.port;
        }
    }
    return local->port;
}
