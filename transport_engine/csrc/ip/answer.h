/* What a host says on its own account: answers to ARP, neighbour solicitations and pings, and
 * questions for next hops. Part of host; nobody else calls it. */
#ifndef IP_ANSWER_H
#define IP_ANSWER_H

#include "ip/host.h"
#include "ip/verdict.h"

/* Both learn from the message, and leave an answer for host_poll if one is due. A full waiting
 * room gives no answer: who asks will ask again. */
enum verdict answer_arp(struct host *host, uint64_t now_ns, const struct ethernet *ethernet);
enum verdict answer_icmp(struct host *host, uint64_t now_ns, const struct ethernet *ethernet,
                         const struct ip_header *ip);

/* Leaves an announcement for host_poll, if there is room for it. */
void answer_announce(struct host *host);

/* Writes the ARP request or neighbour solicitation for `asked`. Returns the frame's size. */
size_t answer_write_question(const struct host *host, const struct neighbour *asked, uint8_t *out);

/* Where a frame of that size may be written that leaves with a later host_poll, at once or
 * (next_hop given) when its neighbour is known. NULL: no room. Defined in host.c. */
uint8_t *host_wait(struct host *host, size_t size_bytes, const uint8_t *next_hop);

#endif
