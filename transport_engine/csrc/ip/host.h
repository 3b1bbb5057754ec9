/* One IP host on an Ethernet: frames in, UDP datagrams out, and the other way round.
 *
 * Answers ARP, neighbour solicitations and pings; asks for next hops and keeps what waits for the
 * answer. Is handed frames and time; does not know network cards, flows, or other addresses than
 * its one. Any frame gives a datagram for an open port, or counts and nothing else.
 */
#ifndef IP_HOST_H
#define IP_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ip/ethernet.h"
#include "ip/ip_header.h"
#include "ip/neighbours.h"
#include "netif/netif.h"

enum host_limit {
    HOST_FRAME_BYTES_MAX = NETIF_DATAGRAM_BYTES_MAX + 62, /* Ethernet, IPv6 and UDP headers */
    HOST_WAITING_MAX = 32, /* frames that wait for a neighbour, and answers that wait to leave */
    HOST_PORTS = 65536
};

struct host_config {
    uint8_t mac[MAC_BYTES];
    uint8_t address[16];
    uint8_t gateway[16];  /* all zero: none */
    uint8_t prefix_bits;  /* of the local network, in the address's family */
    uint32_t mtu_bytes;   /* largest IP packet to send */
    bool offload;         /* the card completes the UDP checksums of what host_send writes */
};

struct host_counts {
    uint64_t bad;       /* malformed, or damaged */
    uint64_t fragments;
    uint64_t foreign;   /* for another host, port or protocol */
    uint64_t partial;   /* datagrams with a checksum that was left to hardware */
    uint64_t unsent;    /* to a neighbour that did not answer, an address with no route, too long */
};

struct host_waiting {
    uint64_t order; /* 0: free */
    uint8_t next_hop[16];
    bool awaits; /* its neighbour; else it leaves at once */
    uint16_t size_bytes;
    uint8_t bytes[HOST_FRAME_BYTES_MAX];
};

struct host {
    struct host_config config;
    struct host_counts counts;
    struct neighbours neighbours;
    uint64_t order; /* of the last frame that came to wait */
    uint32_t waiting_count;
    bool ipv4;
    bool has_rival;          /* that host_rival has not told of */
    uint8_t rival[MAC_BYTES];
    uint64_t rival_next_ns;  /* when another claim is news */
    uint8_t ports[HOST_PORTS / 8];
    struct host_waiting waiting[HOST_WAITING_MAX];
};

struct host_frame {
    uint8_t *bytes;
    size_t size_bytes;
    bool checked; /* the network card has verified the UDP checksum, or vouches for the bytes */
};

void host_init(struct host *host, const struct host_config *config);

/* Opens a port. Returns false if it is open already. */
bool host_listen(struct host *host, uint16_t port);
void host_unlisten(struct host *host, uint16_t port);

/* True if the frame carried a datagram for an open port; `*datagram` then points into it. */
bool host_receive(struct host *host, uint64_t now_ns, const struct host_frame *frame,
                  struct netif_datagram *datagram);

/* Writes the frame of a datagram to `out` (HOST_FRAME_BYTES_MAX), where its bytes may lie already,
 * behind host_header_bytes. Returns its size; 0 if it waits for its neighbour, or was counted as
 * unsent. */
size_t host_send(struct host *host, uint64_t now_ns, const struct netif_datagram *datagram,
                 uint8_t *out);

/* What stands before a datagram in its frame. */
size_t host_header_bytes(const struct host *host);

/* Has host_poll tell all neighbours once that this address is at this card: some may know another
 * one that had it before. Source: RFC 5227 §3, RFC 4861 §7.2.6. */
void host_announce(struct host *host);

/* The Ethernet address of another host that says it has this one's address, once a minute while it
 * does; NULL: no news. Source: RFC 5227 §2.4, RFC 4862 §5.4.4. */
const uint8_t *host_rival(struct host *host);

/* Says that what is sent to this address is not answered: who has its next hop is asked anew. */
void host_doubt(struct host *host, uint64_t now_ns, const uint8_t address[16]);

/* Writes the next frame that the host itself wants to send: answers, questions, datagrams whose
 * neighbour answered. Their checksums are complete. Returns its size; 0: none. */
size_t host_poll(struct host *host, uint64_t now_ns, uint8_t *out);

/* Whether host_poll has a frame by now that waited; not if all wait for their neighbours. */
bool host_has_frame(const struct host *host);

/* When host_poll wants to be called again; UINT64_MAX: not before a frame comes. */
uint64_t host_next_ns(const struct host *host);

#endif
