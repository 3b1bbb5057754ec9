/* An engine on virtual time whose netif a test holds by the other end: what it receives is handed
 * to it one datagram at a time, what it sends goes to a function.
 *
 * Randomness is seeded and the keyed hash is a mixture that nobody attacks, so that a run is the
 * same each time. Does not know what the datagrams say.
 */
#ifndef TESTS_ENGINE_WIRE_H
#define TESTS_ENGINE_WIRE_H

#include <string.h>

#include "base/prng.h"
#include "engine/engine.h"

struct wire {
    struct netif netif; /* first, so that the engine's pointer converts */
    struct engine engine;
    struct prng prng;
    uint64_t now_ns;
    uint64_t read_ns; /* that it takes to read a datagram, ... */
    uint64_t work_ns; /* ... and then to do what it asks for */
    bool has_work;
    const struct netif_datagram *next; /* to be received; NULL: nothing */
    void (*sent)(struct wire *wire, const struct netif_datagram *datagram); /* NULL: lost */
    void *context;
};

static inline int wire_rx_burst(struct netif *netif, uint64_t now_ns,
                                struct netif_datagram *datagrams, int count) {
    struct wire *wire = (struct wire *)netif;
    (void)now_ns;
    if (wire->next == NULL || count == 0) {
        return 0;
    }
    wire->now_ns += wire->read_ns;
    datagrams[0] = *wire->next;
    datagrams[0].waited_ns += wire->read_ns;
    wire->next = NULL;
    wire->has_work = true;
    return 1;
}

static inline int wire_tx_burst(struct netif *netif, uint64_t now_ns,
                                const struct netif_datagram *datagrams, int count) {
    struct wire *wire = (struct wire *)netif;
    (void)now_ns;
    for (int i = 0; i < count && wire->sent != NULL; i++) {
        wire->sent(wire, &datagrams[i]);
    }
    return count;
}

static inline int wire_listen(struct netif *netif, uint16_t port) {
    (void)netif;
    (void)port;
    return TE_OK;
}

static inline void wire_unlisten(struct netif *netif, uint16_t port) {
    (void)netif;
    (void)port;
}

static inline bool wire_arm(struct netif *netif) {
    (void)netif;
    return true;
}

static inline uint64_t wire_next_ns(const struct netif *netif) {
    (void)netif;
    return UINT64_MAX;
}

static inline void wire_close(struct netif *netif) {
    (void)netif;
}

static inline uint64_t wire_random(void *context) {
    return prng_next(&((struct wire *)context)->prng);
}

/* When it is looked at for the first time after a datagram was read, the work lies ahead. */
static inline uint64_t wire_clock(void *context) {
    struct wire *wire = context;
    uint64_t now_ns = wire->now_ns;
    wire->now_ns += wire->has_work ? wire->work_ns : 0;
    wire->has_work = false;
    return now_ns;
}

static inline uint64_t wire_mac(void *context, const uint8_t *bytes, size_t size_bytes) {
    struct prng prng;
    (void)context;
    prng_init(&prng, size_bytes);
    for (size_t i = 0; i < size_bytes; i++) {
        prng.state = prng_next(&prng) ^ bytes[i];
    }
    return prng_next(&prng);
}

/* Returns an error, as engine_init does. */
static inline int wire_open(struct wire *wire, const struct te_engine_config *config) {
    static const struct netif_ops ops = {
        .name = "wire",
        .rx_burst = wire_rx_burst,
        .tx_burst = wire_tx_burst,
        .listen = wire_listen,
        .unlisten = wire_unlisten,
        .arm = wire_arm,
        .next_ns = wire_next_ns,
        .close = wire_close,
    };
    char why[TE_WHY_BYTES];
    prng_init(&wire->prng, 1);
    wire->now_ns = UINT64_C(1) << 40;
    wire->netif = (struct netif){.ops = &ops, .local = config->local,
                                 .mtu_bytes = config->mtu_bytes, .caps = NETIF_STAMPS, .fd = -1};
    const struct engine_world world = {wire_random, wire_mac, wire_clock, wire};
    return engine_init(&wire->engine, config, &world, &wire->netif, wire->now_ns, why);
}

static inline void wire_poll(struct wire *wire) {
    engine_poll(&wire->engine, wire->now_ns);
}

static inline void wire_receive(struct wire *wire, const struct netif_datagram *datagram) {
    wire->next = datagram;
    wire_poll(wire);
}

/* When the engine wants to be polled next; UINT64_MAX: never without input. */
static inline uint64_t wire_due_ns(const struct wire *wire) {
    return engine_is_busy(&wire->engine) ? wire->now_ns : timers_next_ns(&wire->engine.timers);
}

#endif
