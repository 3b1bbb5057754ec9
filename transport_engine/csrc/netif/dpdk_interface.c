#include "netif/dpdk_interface.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_ethdev.h>

/* mlx5 has an interface beside its port, and does without it. */
static bool is_bound(const char *driver_name) {
    return strcmp(driver_name, "net_af_packet") == 0 || strcmp(driver_name, "net_af_xdp") == 0;
}

void dpdk_interface_of(const struct rte_eth_dev_info *info, struct dpdk_interface *interface) {
    memset(interface, 0, sizeof *interface);
    if (info->if_index != 0 && is_bound(info->driver_name) &&
        if_indextoname(info->if_index, interface->name) != NULL) {
        interface->index = info->if_index;
    }
}

/* By the name in `request`. */
static bool is_up(int fd, struct ifreq *request) {
    const int wanted = IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCGIFFLAGS, request) == 0 && (request->ifr_flags & wanted) == wanted;
}

enum interface_state dpdk_interface_look(const struct dpdk_interface *interface) {
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
