/* The table of drivers, and the one door through which an engine opens its netif. */
#include "netif/netif.h"

#include <stdio.h>
#include <string.h>

struct driver {
    const char *name;
    int (*open)(const struct te_engine_config *config, struct netif **netif, char *why);
    const char *install; /* what brings a driver that this build left out */
};

#ifdef TE_HAVE_DPDK
#define DPDK_OPEN netif_dpdk_open
#define DPDK_NAME " dpdk"
#else
#define DPDK_OPEN NULL
#define DPDK_NAME ""
#endif

static const struct driver drivers[] = {
    {"udp", netif_udp_open, ""},
    {"loopback", netif_loopback_open, ""},
    {"dpdk", DPDK_OPEN, "apt-get install libdpdk-dev, then build again"},
};

const char *te_drivers(void) {
    return "udp loopback" DPDK_NAME;
}

static bool fault_is_wanted(const struct te_fault *fault) {
    return (fault->loss_ppm | fault->duplicate_ppm | fault->corrupt_ppm | fault->reorder_ppm) != 0;
}

static const struct driver *find(const char *name) {
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
        if (strcmp(drivers[i].name, name) == 0) {
            return &drivers[i];
        }
    }
    return NULL;
}

int netif_open(const struct te_engine_config *config, struct netif **netif, char *why) {
    const char *name = config->driver == NULL ? "" : config->driver;
    const struct driver *driver = find(name);
    if (driver == NULL) {
        snprintf(why, TE_WHY_BYTES, "there is no driver \"%.32s\"; this build has: %s", name,
                 te_drivers());
        return TE_E_NO_DRIVER;
    }
    if (driver->open == NULL) {
        snprintf(why, TE_WHY_BYTES, "the driver \"%s\" was left out of this build: %s", name,
                 driver->install);
        return TE_E_NO_DRIVER;
    }
    struct netif *inner;
    int error = driver->open(config, &inner, why);
    if (error != TE_OK) {
        return error;
    }
    if (fault_is_wanted(&config->fault)) {
        return netif_fault_open(&config->fault, inner, netif, why);
    }
    *netif = inner;
    return TE_OK;
}
