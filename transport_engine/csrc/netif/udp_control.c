/* Ancillary data of UDP sockets: pktinfo, ECN, arrival stamps, segments. */
#define _GNU_SOURCE
#include "netif/udp_control.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <time.h>

#include "ip/address.h"

static const uint64_t wait_max_ns = 60000000000; /* more: somebody has set the clock */

uint64_t udp_control_now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t waited_ns(const struct cmsghdr *stamp, uint64_t burst_ns) {
    struct timespec time;
    memcpy(&time, CMSG_DATA(stamp), sizeof time);
    uint64_t arrived_ns = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
    uint64_t waited = burst_ns > arrived_ns ? burst_ns - arrived_ns : 0;
    return waited < wait_max_ns ? waited : 0;
}

static void read_one(const struct cmsghdr *control, uint64_t burst_ns,
                     struct netif_datagram *datagram) {
    if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_TIMESTAMPNS) {
        datagram->waited_ns = waited_ns(control, burst_ns);
    } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        memcpy(&info, CMSG_DATA(control), sizeof info);
        address_from_ipv4(datagram->local.address, (const uint8_t *)&info.ipi_addr);
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(control), sizeof info);
        memcpy(datagram->local.address, &info.ipi6_addr, ADDRESS_BYTES);
    } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TOS) {
        datagram->ecn = *CMSG_DATA(control) & 3;
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_TCLASS) {
        int traffic_class;
        memcpy(&traffic_class, CMSG_DATA(control), sizeof traffic_class);
        datagram->ecn = (uint8_t)(traffic_class & 3);
    }
}

uint32_t udp_control_read(struct msghdr *header, uint64_t burst_ns,
                          struct netif_datagram *datagram) {
    int each_bytes = 0;
    for (struct cmsghdr *each = CMSG_FIRSTHDR(header); each != NULL;
         each = CMSG_NXTHDR(header, each)) {
        if (each->cmsg_level == IPPROTO_UDP && each->cmsg_type == UDP_GRO) {
            memcpy(&each_bytes, CMSG_DATA(each), sizeof each_bytes);
        } else {
            read_one(each, burst_ns, datagram);
        }
    }
    return each_bytes > 0 ? (uint32_t)each_bytes : 0;
}

static void add_control(struct msghdr *header, int level, int type, const void *value,
                        size_t size_bytes) {
    struct cmsghdr *control =
        (struct cmsghdr *)((uint8_t *)header->msg_control + header->msg_controllen);
    *control = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(size_bytes), .cmsg_level = level, .cmsg_type = type};
    memcpy(CMSG_DATA(control), value, size_bytes);
    header->msg_controllen += CMSG_SPACE(size_bytes);
}

void udp_control_write(struct msghdr *header, int family, bool wildcard,
                       const struct netif_datagram *datagram) {
    if (wildcard && !address_is_any(datagram->local.address)) {
        if (family == AF_INET) {
            struct in_pktinfo info = {0};
            memcpy(&info.ipi_spec_dst, datagram->local.address + ADDRESS_IPV4_OFFSET,
                   ADDRESS_IPV4_BYTES);
            add_control(header, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
        } else {
            struct in6_pktinfo info = {0};
            memcpy(&info.ipi6_addr, datagram->local.address, ADDRESS_BYTES);
            add_control(header, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
        }
    }
    if (datagram->ecn != 0) {
        int ecn = datagram->ecn;
        bool ipv4 = address_is_ipv4(datagram->remote.address);
        add_control(header, ipv4 ? IPPROTO_IP : IPPROTO_IPV6, ipv4 ? IP_TOS : IPV6_TCLASS, &ecn,
                    sizeof ecn);
    }
}

void udp_control_write_segment(struct msghdr *header, uint16_t size_bytes) {
    add_control(header, IPPROTO_UDP, UDP_SEGMENT, &size_bytes, sizeof size_bytes);
}
