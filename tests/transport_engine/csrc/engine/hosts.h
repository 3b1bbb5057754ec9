/* Two engines on virtual time, joined by a wire that takes so many bytes a microsecond from the
 * first: what tests of shares need. Applications send as fast as their rings take it. */
#ifndef TESTS_ENGINE_HOSTS_H
#define TESTS_ENGINE_HOSTS_H

#include "test.h"

#include "base/prng.h"
#include "engine/command.h"
#include "engine/engine.h"
#include "engine/tenants.h"

enum {
    STEP_NS = 10000,
    PORT_FIRST = 7000,
    PORTS = 4,
    APP_FLOWS_MAX = 1000,
    APP_MESSAGE_MAX = 8192,
    HEADS = 64
};

/* A netif before another one, with a rate. */
struct wire {
    struct netif netif; /* first, so that the engine's pointer converts */
    struct netif *inner;
    uint32_t bytes_per_us;
    uint64_t filled_ns;
    uint64_t room_bytes;
    bool is_cut; /* it takes everything, and nothing arrives */
    bool is_forged; /* what leaves says that it comes from another address */
    uint32_t longest_bytes[2]; /* that it carries from and to the first; 0: any */
    uint64_t unanswered; /* what the engine said of it */
    uint64_t datagrams;
    uint64_t bytes_to[PORTS];
};

struct app {
    struct engine *engine;
    struct te_channel *channel;
    uint32_t index;
    uint32_t flows[APP_FLOWS_MAX];
    uint32_t flow_count, flow_next;
    uint32_t message_bytes;
    uint32_t refused; /* flows that were closed before they opened */
    uint64_t messages_sent, messages_received, bytes_received;
};

static struct prng prng;
static struct wire wire;
static struct engine near, far;
static uint64_t now_ns;
static uint8_t payload[HEADS * APP_MESSAGE_MAX + TE_RECORD_PAYLOAD_MAX];

static uint64_t random_u64(void *context) {
    (void)context;
    return prng_next(&prng);
}

static uint64_t sum(void *context, const uint8_t *bytes, size_t size_bytes) {
    uint64_t total = 0;
    (void)context;
    for (size_t i = 0; i < size_bytes; i++) {
        total = total * 31 + bytes[i];
    }
    return total;
}

/* Moves those that the wire does not lose for their length to the front. Returns how many. */
static int wire_keep(struct wire *self, int way, struct netif_datagram *datagrams, int count) {
    uint32_t longest_bytes = self->longest_bytes[way];
    int kept = 0;
    for (int i = 0; i < count; i++) {
        if (longest_bytes == 0 || datagrams[i].size_bytes <= longest_bytes) {
            datagrams[kept++] = datagrams[i];
        }
    }
    return kept;
}

static int wire_rx(struct netif *netif, uint64_t at_ns, struct netif_datagram *datagrams,
                   int count) {
    struct netif *inner = ((struct wire *)netif)->inner;
    int received = inner->ops->rx_burst(inner, at_ns, datagrams, count);
    return wire_keep((struct wire *)netif, 1, datagrams, received);
}

static int wire_send(struct wire *self, uint64_t at_ns, const struct netif_datagram *datagrams,
                     int count) {
    struct netif_datagram sent[TE_BURST_MAX];
    for (int i = 0; i < count; i++) {
        sent[i] = datagrams[i];
        sent[i].local.address[0] ^= self->is_forged;
    }
    int kept = wire_keep(self, 0, sent, count);
    int taken = self->inner->ops->tx_burst(self->inner, at_ns, sent, kept);
    return taken == kept ? count : taken; /* the inner one takes all, where some were lost */
}

static int wire_tx(struct netif *netif, uint64_t at_ns, const struct netif_datagram *datagrams,
                   int count) {
    struct wire *self = (struct wire *)netif;
    int fits = 0;
    if (self->is_cut) {
        return count;
    }
    if (at_ns > self->filled_ns) {
        uint64_t came = (at_ns - self->filled_ns) / 1000 * self->bytes_per_us;
        self->room_bytes = self->room_bytes < came ? self->room_bytes + came : 2 * came;
        self->filled_ns = at_ns;
    }
    while (fits < count && datagrams[fits].size_bytes <= self->room_bytes) {
        self->room_bytes -= datagrams[fits++].size_bytes;
    }
    int taken = wire_send(self, at_ns, datagrams, fits);
    for (int i = 0; i < taken; i++) {
        uint32_t port = datagrams[i].remote.port - (uint32_t)PORT_FIRST;
        self->datagrams++;
        if (port < PORTS) {
            self->bytes_to[port] += datagrams[i].size_bytes;
        }
    }
    return taken;
}

static int wire_listen(struct netif *netif, uint16_t port) {
    (void)netif;
    (void)port;
    return TE_OK;
}

static void wire_unlisten(struct netif *netif, uint16_t port) {
    (void)netif;
    (void)port;
}

static void wire_unanswered(struct netif *netif, const struct te_endpoint *remote,
                            uint64_t at_ns) {
    assert_memory_equal(remote->address, netif->local.address, sizeof remote->address);
    assert_int_equal(at_ns, now_ns);
    ((struct wire *)netif)->unanswered++;
}

static void wire_close(struct netif *netif) {
    struct netif *inner = ((struct wire *)netif)->inner;
    inner->ops->close(inner);
}

static const struct netif_ops wire_ops = {.name = "wire", .rx_burst = wire_rx,
                                          .tx_burst = wire_tx, .listen = wire_listen,
                                          .unlisten = wire_unlisten,
                                          .unanswered = wire_unanswered, .close = wire_close};

static struct te_completion command(struct engine *engine, struct te_command request) {
    struct te_completion done;
    command_execute(engine, &request, &done);
    return done;
}

static void open_hosts_of(uint32_t bytes_per_us, uint32_t mtu_bytes) {
    struct te_engine_config config;
    struct engine_world world = {random_u64, sum, NULL, NULL};
    struct netif *pair[2];
    char why[TE_WHY_BYTES];
    te_engine_config_init(&config);
    config.mtu_bytes = mtu_bytes;
    config.pool_bytes = 64 << 20;
    config.flows_max = 2048;
    config.congestion = "fixed"; /* what the engine shares out, whatever flows ask for */
    config.local.address[15] = 1;
    prng_init(&prng, 1);
    now_ns = UINT64_C(1) << 40;
    assert_int_equal(netif_loopback_pair(&config, &config, pair, why), TE_OK);
    wire = (struct wire){.netif = *pair[0], .inner = pair[0], .bytes_per_us = bytes_per_us,
                         .filled_ns = now_ns};
    wire.netif.ops = &wire_ops;
    assert_int_equal(engine_init(&near, &config, &world, &wire.netif, now_ns, why), TE_OK);
    assert_int_equal(engine_init(&far, &config, &world, pair[1], now_ns, why), TE_OK);
}

static inline void open_hosts(uint32_t bytes_per_us) {
    open_hosts_of(bytes_per_us, 1500);
}

static inline void close_hosts(void) {
    engine_fini(&near, now_ns);
    engine_fini(&far, now_ns);
}

static inline void set_share(uint32_t share, struct te_share terms) {
    struct te_command request = {.op = TE_SHARE, .share = share, .terms = terms};
    assert_int_equal(command(&near, request).error, TE_OK);
}

static void open_app(struct app *app, struct engine *engine, uint32_t share) {
    char why[TE_WHY_BYTES];
    struct te_completion done =
        command(engine, (struct te_command){.op = TE_ATTACH, .ring_bytes = 1 << 18,
                                            .share = share});
    assert_int_equal(done.error, TE_OK);
    *app = (struct app){.engine = engine, .index = done.value, .message_bytes = 4096};
    assert_int_equal(te_channel_open(done.memory_fd, done.doorbell_fd, &app->channel, why), TE_OK);
}

/* Takes what the engine delivered. */
static void drain(struct app *app) {
    struct te_record heads[HEADS];
    int count;
    while ((count = te_channel_receive(app->channel, heads, HEADS, payload, sizeof payload)) > 0) {
        for (int i = 0; i < count; i++) {
            if (heads[i].kind == TE_FLOW_OPENED) {
                app->flows[app->flow_count++] = heads[i].flow;
            } else if (heads[i].kind == TE_FLOW_CLOSED) {
                app->refused += heads[i].call_id != 0;
            } else if (heads[i].kind <= TE_APP_KIND_LAST) {
                app->messages_received += heads[i].flags & TE_LAST ? 1 : 0;
                app->bytes_received += heads[i].size_bytes;
            }
        }
    }
    assert_int_equal(count, 0);
}

/* Sends to one flow after another until the ring is full. */
static inline void fill(struct app *app) {
    static uint8_t packed[sizeof(struct te_record) + APP_MESSAGE_MAX];
    while (app->flow_count > 0) {
        struct te_record record = {.kind = TE_REQUEST, .flags = TE_FIRST | TE_LAST,
                                   .flow = app->flows[app->flow_next],
                                   .size_bytes = app->message_bytes,
                                   .total_bytes = app->message_bytes};
        memcpy(packed, &record, sizeof record);
        if (te_channel_send(app->channel, packed, sizeof record + app->message_bytes) == 0) {
            return;
        }
        app->messages_sent++;
        app->flow_next = app->flow_next + 1 < app->flow_count ? app->flow_next + 1 : 0;
    }
}

static void step(void) {
    now_ns += STEP_NS;
    engine_poll(&near, now_ns);
    engine_poll(&far, now_ns);
}

static void connect_flows(struct app *app, uint16_t port, uint32_t count) {
    struct te_command request = {.op = TE_CONNECT, .channel = app->index, .token = 1,
                                 .endpoint = near.netif->local};
    request.endpoint.port = port;
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(command(app->engine, request).error, TE_OK);
    }
    for (int i = 0; app->flow_count < count; i++) {
        assert_true(i < 100000);
        step();
        drain(app);
    }
}

#endif
