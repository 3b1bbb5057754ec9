/* What travels beside a UDP datagram between the kernel and us: its local address, ECN bits, when
 * it came, and how several are cut from one message. */
#ifndef NETIF_UDP_CONTROL_H
#define NETIF_UDP_CONTROL_H

#include <stdbool.h>
#include <sys/socket.h>

#include "netif/netif.h"

enum udp_control_size { UDP_CONTROL_BYTES = 128 /* room for all of it */ };

/* The clock by which the kernel stamps datagrams. Ours is another, so only differences count. */
uint64_t udp_control_now_ns(void);

/* Takes over into `*datagram` what the kernel said; `burst_ns` is its clock now. Returns the bytes
 * of each datagram where the kernel gave several as one, else 0. */
uint32_t udp_control_read(struct msghdr *header, uint64_t burst_ns,
                          struct netif_datagram *datagram);

/* Adds to msg_control (UDP_CONTROL_BYTES, empty) what the kernel shall do for `datagram`: on a
 * wildcard socket send it from its local address, and set its ECN bits. */
void udp_control_write(struct msghdr *header, int family, bool wildcard,
                       const struct netif_datagram *datagram);
/* Adds that it shall cut the message into datagrams of that size. */
void udp_control_write_segment(struct msghdr *header, uint16_t size_bytes);

#endif
