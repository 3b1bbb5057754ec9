/* Endpoints as socket addresses and text; MTUs of the kernel's interfaces. */
#define _GNU_SOURCE
#include "netif/sockaddr.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ip/address.h"

socklen_t sockaddr_write(const struct te_endpoint *endpoint, int family,
                         struct sockaddr_storage *address) {
    if (family == AF_INET6) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(endpoint->port)};
        memcpy(&in6.sin6_addr, endpoint->address, sizeof in6.sin6_addr);
        memcpy(address, &in6, sizeof in6);
        return sizeof in6;
    }
    if (!address_is_ipv4(endpoint->address)) {
        return 0;
    }
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(endpoint->port)};
    memcpy(&in.sin_addr, endpoint->address + ADDRESS_IPV4_OFFSET, sizeof in.sin_addr);
    memcpy(address, &in, sizeof in);
    return sizeof in;
}

void sockaddr_read(const struct sockaddr_storage *address, struct te_endpoint *endpoint) {
    endpoint->zero = 0;
    if (address->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof in6);
        memcpy(endpoint->address, &in6.sin6_addr, sizeof endpoint->address);
        endpoint->port = ntohs(in6.sin6_port);
        return;
    }
    struct sockaddr_in in;
    memcpy(&in, address, sizeof in);
    address_from_ipv4(endpoint->address, (const uint8_t *)&in.sin_addr);
    endpoint->port = ntohs(in.sin_port);
}

void endpoint_text(const struct te_endpoint *endpoint, char text[ENDPOINT_TEXT_BYTES]) {
    char address[INET6_ADDRSTRLEN] = "?";
    if (address_is_ipv4(endpoint->address)) {
        inet_ntop(AF_INET, endpoint->address + ADDRESS_IPV4_OFFSET, address, sizeof address);
        snprintf(text, ENDPOINT_TEXT_BYTES, "%s:%u", address, endpoint->port);
    } else {
        inet_ntop(AF_INET6, endpoint->address, address, sizeof address);
        snprintf(text, ENDPOINT_TEXT_BYTES, "[%s]:%u", address, endpoint->port);
    }
}

uint32_t interface_mtu_bytes_by_name(const char *name) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return UINT32_MAX;
    }
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    bool known = ioctl(fd, SIOCGIFMTU, &request) == 0 && request.ifr_mtu > 0;
    close(fd);
    return known ? (uint32_t)request.ifr_mtu : UINT32_MAX;
}

static bool interface_carries(const struct ifaddrs *interface, const uint8_t address[16]) {
    if (interface->ifa_addr == NULL || (interface->ifa_flags & IFF_UP) == 0) {
        return false;
    }
    int family = interface->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) {
        return false;
    }
    if (address_is_any(address)) {
        return true;
    }
    struct sockaddr_storage storage = {0};
    memcpy(&storage, interface->ifa_addr,
           family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    struct te_endpoint carried;
    sockaddr_read(&storage, &carried);
    /* All of 127.0.0.0/8 is local, though the interface lists one address of it. */
    bool are_loopback = address_is_loopback(address) && address_is_loopback(carried.address);
    return are_loopback || address_equal(carried.address, address);
}

uint32_t interface_mtu_bytes(const uint8_t address[16]) {
    struct ifaddrs *interfaces;
    uint32_t smallest = UINT32_MAX;
    if (getifaddrs(&interfaces) != 0) {
        return smallest;
    }
    for (const struct ifaddrs *each = interfaces; each != NULL; each = each->ifa_next) {
        if (interface_carries(each, address)) {
            uint32_t mtu_bytes = interface_mtu_bytes_by_name(each->ifa_name);
            smallest = mtu_bytes < smallest ? mtu_bytes : smallest;
        }
    }
    freeifaddrs(interfaces);
    return smallest;
}
