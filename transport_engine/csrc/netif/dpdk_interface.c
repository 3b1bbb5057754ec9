#include "netif/dpdk_interface.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_ethdev.h>

/* mlx5 has an interface beside its port, and does without it. */
static bool is_bound(const char *driver_name) {
    return strcmp(driver_name, "net_af_packet") == 0 || strcmp(driver_name, "net_af_xdp") == 0;
}

void dpdk_interface_of(uint16_t port, const struct rte_eth_dev_info *info,
                       struct dpdk_interface *interface) {
    memset(interface, 0, sizeof *interface);
    const struct rte_devargs *made = rte_dev_devargs(info->device);
    char path[DPDK_SOCKET_PATH_BYTES];
    if (info->if_index != 0 && is_bound(info->driver_name) &&
        if_indextoname(info->if_index, interface->name) != NULL) {
        interface->index = info->if_index;
    } else if (strcmp(info->driver_name, "net_virtio_user") == 0 && made != NULL &&
               made->args != NULL && dpdk_sockets_other_side(made->args, path) &&
               dpdk_sockets_has_listener(path)) { /* not at the kernel's vhost */
        memcpy(interface->name, path, sizeof interface->name);
        interface->port = port;
    }
}

/* By the name in `request`. */
static bool is_up(int fd, struct ifreq *request) {
    const int wanted = IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCGIFFLAGS, request) == 0 && (request->ifr_flags & wanted) == wanted;
}

static enum interface_state look_at_kernel(const struct dpdk_interface *interface) {
    struct ifreq request = {.ifr_ifindex = (int)interface->index};
    enum interface_state state = INTERFACE_UP;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return state;
    }
    if (ioctl(fd, SIOCGIFNAME, &request) == 0) {
        state = is_up(fd, &request) ? INTERFACE_UP : INTERFACE_DOWN;
    } else if (errno == ENODEV) {
        memcpy(request.ifr_name, interface->name, sizeof request.ifr_name);
        state = is_up(fd, &request) ? INTERFACE_REPLACED : INTERFACE_GONE;
    }
    close(fd);
    return state;
}

enum interface_state dpdk_interface_look(const struct dpdk_interface *interface) {
    struct rte_eth_link link;
    if (interface->index != 0) {
        return look_at_kernel(interface);
    }
    bool is_down = rte_eth_link_get_nowait(interface->port, &link) == 0 &&
                   link.link_status == RTE_ETH_LINK_DOWN;
    return is_down ? INTERFACE_GONE : INTERFACE_UP;
}

bool dpdk_interface_is_back(const struct dpdk_interface *interface) {
    return interface->index != 0 ? look_at_kernel(interface) == INTERFACE_REPLACED
                                 : dpdk_sockets_has_listener(interface->name);
}
