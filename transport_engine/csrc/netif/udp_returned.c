#define _GNU_SOURCE
#include "netif/udp_returned.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h> /* struct timespec, which the next one wants */

#include <linux/errqueue.h>

#include "netif/sockaddr.h"

enum { CONTROL_BYTES = 512 };

void udp_returned_ask(int fd, int family) {
    int yes = 1;
    setsockopt(fd, IPPROTO_IP, IP_RECVERR, &yes, sizeof yes);
    if (family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &yes, sizeof yes);
    }
}

static bool is_port_unreachable(const struct sock_extended_err *error) {
    switch (error->ee_origin) {
    case SO_EE_ORIGIN_ICMP:
        return error->ee_type == ICMP_DEST_UNREACH && error->ee_code == ICMP_PORT_UNREACH;
    case SO_EE_ORIGIN_ICMP6:
        return error->ee_type == ICMP6_DST_UNREACH && error->ee_code == ICMP6_DST_UNREACH_NOPORT;
    default:
        return false;
    }
}

static bool says_so(struct msghdr *header) {
    for (struct cmsghdr *each = CMSG_FIRSTHDR(header); each != NULL;
         each = CMSG_NXTHDR(header, each)) {
        bool is_error =
            (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_RECVERR) ||
            (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_RECVERR);
        if (is_error) {
            struct sock_extended_err error;
            memcpy(&error, CMSG_DATA(each), sizeof error);
            return is_port_unreachable(&error);
        }
    }
    return false;
}

void udp_returned_take(struct udp_returned *returned, int fd, const struct te_endpoint *local) {
    for (int look = 0; look < UDP_RETURNED_LOOKS_MAX; look++) {
        _Alignas(struct cmsghdr) uint8_t control[CONTROL_BYTES];
        uint8_t unwanted[1];
        struct sockaddr_storage name;
        bool has_room = returned->count < UDP_RETURNED_MAX;
        struct iovec vector = {unwanted, sizeof unwanted};
        if (has_room) {
            vector = (struct iovec){returned->bytes[returned->count], UDP_RETURNED_BYTES_MAX};
        }
        struct msghdr header = {.msg_name = &name, .msg_namelen = sizeof name,
                                .msg_iov = &vector, .msg_iovlen = 1,
                                .msg_control = control, .msg_controllen = sizeof control};
        ssize_t size_bytes = recvmsg(fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT);
        if (size_bytes < 0) {
            return;
        }
        bool is_known = header.msg_namelen != 0 &&
                        (name.ss_family == AF_INET || name.ss_family == AF_INET6);
        if (!has_room || !is_known || (header.msg_flags & MSG_TRUNC) != 0 || !says_so(&header)) {
            continue;
        }
        struct netif_datagram *datagram = &returned->datagrams[returned->count++];
        *datagram = (struct netif_datagram){.local = *local, .bytes = vector.iov_base,
                                            .size_bytes = (uint32_t)size_bytes,
                                            .is_returned = true};
        sockaddr_read(&name, &datagram->remote);
    }
}

int udp_returned_deal(struct udp_returned *returned, struct netif_datagram *datagrams, int count) {
    int dealt = returned->count < count ? returned->count : count;
    memcpy(datagrams, returned->datagrams, (size_t)dealt * sizeof *datagrams);
    returned->count = 0;
    return dealt;
}
