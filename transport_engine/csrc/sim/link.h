/* One way of a wire as a calculation: when a packet leaves its queue, when it arrives, and whether.
 *
 * Everything about a packet is decided when it enters; nothing happens in between. Draws come from
 * the link's own stream, so that one link's faults are the same whatever other links there are.
 * Does not know packets' contents, nodes or events.
 * Source: E. N. Gilbert, "Capacity of a Burst-Noise Channel", 1960, and E. O. Elliott, 1963
 * (bursts); ITU-T I.371 (the policer, a virtual scheduling algorithm).
 */
#ifndef SIM_LINK_H
#define SIM_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/prng.h"
#include "sim/tally.h"
#include "transport_sim.h"

struct link {
    struct te_sim_link model;
    struct prng prng;
    struct tally *queue; /* bytes that packets found */
    uint64_t ps_per_byte;
    uint64_t police_ps_per_byte;
    uint64_t busy_ps;    /* the queue is empty from then on */
    uint64_t policed_ps; /* when the policer would expect the next byte */
    uint64_t last_arrival_ns;
    uint64_t packet_count;
    uint64_t measure_from_ns, measure_to_ns;
    uint32_t loss_next; /* in loss_list */
    uint32_t bad_packets; /* so far in this burst; 0: the channel is good */
    uint32_t down_count;
    uint32_t line_first, line_last; /* packets on the wire in order of arrival */
    struct te_sim_link_result result;
};

enum link_fate {
    LINK_PASSED = 0,
    LINK_LOST = 1,
    LINK_OVERFLOWED = 2,
    LINK_POLICED = 3,
    LINK_BLACKED_OUT = 4
};

struct passage {
    uint64_t arrives_ns;
    uint64_t copy_arrives_ns;
    bool is_marked;
    bool is_corrupt;
    bool has_copy;
    bool is_late; /* overtaken by others: not in the line */
};

void link_init(struct link *link, const struct te_sim_link *model, uint64_t seed);
void link_fini(struct link *link);
void link_set_rate(struct link *link, uint64_t rate_bps);
/* Takes away every fault, a policer and a short queue; rate and delay stay. */
void link_heal(struct link *link);

enum link_fate link_pass(struct link *link, uint64_t now_ns, uint32_t size_bytes,
                         struct passage *passage);
/* When the next packet of that size can enter a link that makes its senders wait. */
uint64_t link_room_ns(const struct link *link, uint64_t now_ns, uint32_t size_bytes);
/* Time to put a packet on the wire, rounded up. */
uint64_t link_serial_ns(const struct link *link, uint64_t size_bytes);

#endif
