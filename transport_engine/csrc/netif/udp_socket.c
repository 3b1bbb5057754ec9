/* Opening and binding of UDP sockets, and sentences for what can go wrong there. */
#define _GNU_SOURCE
#include "netif/udp_socket.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ip/address.h"
#include "netif/netif.h"
#include "netif/sockaddr.h"
#include "netif/udp_returned.h"

enum udp_socket_limit { BUFFER_BYTES = 4 << 20 /* asked of the kernel, for each direction */ };

static int open_family(int *family, struct te_endpoint *local) {
    int kind = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(*family, kind, IPPROTO_UDP);
    if (fd < 0 && errno == EAFNOSUPPORT && *family == AF_INET6 && address_is_any(local->address)) {
        *family = AF_INET; /* a kernel without IPv6: :: can only mean 0.0.0.0 */
        address_from_ipv4(local->address, (const uint8_t[ADDRESS_IPV4_BYTES]){0});
        fd = socket(*family, kind, IPPROTO_UDP);
    }
    return fd;
}

static void set_int(int fd, int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof value);
}

static void set_buffers(int fd) {
    int bytes = BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0) {
        set_int(fd, SOL_SOCKET, SO_RCVBUF, bytes); /* the kernel cuts it to net.core.rmem_max */
    }
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0) {
        set_int(fd, SOL_SOCKET, SO_SNDBUF, bytes);
    }
}

/* Options are wishes: a kernel that lacks one gives a socket that still carries datagrams.
 * The way may carry less than the interface, or less by now than when flows agreed on the size of
 * their segments: rather fragments than nothing. Routers of IPv4 make them, and OMIT takes no
 * forged ICMP's word for the size of the path. Those of IPv6 do not: DONT has the kernel make
 * them, if need be, and 1280 bytes is the least that it believes. */
static void set_options(int fd, int family, bool wildcard) {
    set_buffers(fd);
    set_int(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    set_int(fd, IPPROTO_UDP, UDP_GRO, 1);
    set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
    set_int(fd, IPPROTO_IP, IP_RECVTOS, 1);
    udp_returned_ask(fd, family);
    if (family == AF_INET6) {
        set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
        set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, wildcard ? 0 : 1);
    }
    if (wildcard && family == AF_INET) {
        set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
    } else if (wildcard) {
        set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    }
}

int udp_socket_open(int *family, struct te_endpoint *local, enum udp_sharing sharing) {
    int fd = open_family(family, local);
    if (fd < 0) {
        return -1;
    }
    set_options(fd, *family, address_is_any(local->address));
    if (sharing == UDP_JOINS) {
        set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    struct sockaddr_storage address;
    socklen_t address_bytes = sockaddr_write(local, *family, &address);
    if (bind(fd, (struct sockaddr *)&address, address_bytes) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &address_bytes) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    sockaddr_read(&address, local);
    if (sharing == UDP_FIRST) { /* only now, so that it was refused where somebody else sits */
        set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    return fd;
}

void udp_socket_steer(int fd) {
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NETIF_HOME_OFFSET),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, NETIF_HOME_SHIFT),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    const struct sock_fprog program = {sizeof steps / sizeof steps[0], steps};
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
}

int udp_socket_error(int number) {
    switch (number) {
    case EADDRINUSE:
        return TE_E_IN_USE;
    case EADDRNOTAVAIL:
        return TE_E_INVALID;
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
        return TE_E_NO_MEMORY;
    default:
        return TE_E_SYSTEM;
    }
}

static const char *next_step(int number) {
    switch (number) {
    case EADDRINUSE:
        return "; choose another port";
    case EADDRNOTAVAIL:
        return "; choose an address of this machine (ip addr)";
    case EACCES:
        return "; ports below 1024 need CAP_NET_BIND_SERVICE";
    case EMFILE:
        return "; raise the limit on open files (ulimit -n)";
    default:
        return "";
    }
}

void udp_socket_explain(const struct te_endpoint *local, int number, char *why) {
    char text[ENDPOINT_TEXT_BYTES];
    endpoint_text(local, text);
    snprintf(why, TE_WHY_BYTES, "cannot bind a UDP socket to %s: %s%s", text, strerror(number),
             next_step(number));
}
