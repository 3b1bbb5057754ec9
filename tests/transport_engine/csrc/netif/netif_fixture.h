/* What the netif tests share: configurations, and a burst on the stack. */
#ifndef TEST_NETIF_FIXTURE_H
#define TEST_NETIF_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <string.h>

#include "netif/netif.h"

static inline struct te_endpoint ipv4_endpoint(uint8_t last, uint16_t port) {
    struct te_endpoint endpoint = {.port = port};
    const uint8_t address[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = last};
    memcpy(endpoint.address, address, sizeof address);
    return endpoint;
}

static inline struct te_engine_config config_for(const char *driver, struct te_endpoint local) {
    struct te_engine_config config;
    memset(&config, 0, sizeof config);
    config.driver = driver;
    config.local = local;
    config.mtu_bytes = 1500;
    return config;
}

static inline struct netif *open_or_fail(const struct te_engine_config *config) {
    char why[TE_WHY_BYTES] = "";
    struct netif *netif = NULL;
    int error = netif_open(config, &netif, why);
    if (error != TE_OK) {
        fail_msg("%s", why);
    }
    return netif;
}

static inline int send_one(struct netif *netif, uint16_t local_port, struct te_endpoint remote,
                           const char *text) {
    struct netif_datagram datagram = {
        .local = netif->local,
        .remote = remote,
        .bytes = (uint8_t *)(uintptr_t)text,
        .size_bytes = (uint32_t)strlen(text),
    };
    datagram.local.port = local_port;
    return netif->ops->tx_burst(netif, 0, &datagram, 1);
}

static inline void assert_holds(const struct netif_datagram *datagram, const char *text) {
    assert_int_equal(datagram->size_bytes, strlen(text));
    assert_memory_equal(datagram->bytes, text, strlen(text));
}

#endif
