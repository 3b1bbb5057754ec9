/* A flow: a two-way conversation of messages between two endpoints, reliable and paced.
 *
 * A state machine that is handed datagrams, messages and the time, and asked for datagrams,
 * messages and its next timeout. It reads no clock, does no I/O and allocates nothing: packets in
 * flight and messages under way live in the store that the caller passes.
 * Does not know channels, tenants, Ethernet or what a message means.
 * Source: docs/wire.md; loss detection and timeouts after RFC 9002 and RFC 8985.
 */
#ifndef FLOW_FLOW_H
#define FLOW_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow/congestion.h"
#include "flow/ledger.h"
#include "flow/messages.h"
#include "flow/pacer.h"
#include "flow/packet.h"
#include "flow/reassembly.h"
#include "flow/rebinding.h"
#include "flow/rtt.h"
#include "flow/sack.h"
#include "flow/store.h"
#include "transport_engine.h"

enum flow_limit {
    FLOW_NUMBERS_AHEAD_MAX = 1 << 30, /* of the floor; farther is no packet of this flow */
    FLOW_SPREAD_NS = 16384 /* within which the first INITs leave of flows that open at once */
};

enum flow_state {
    FLOW_FREE = 0,
    FLOW_CONNECTING, /* INIT is out */
    FLOW_OPEN,
    FLOW_CLOSING, /* the local side has closed: delivers what was sent, then says CLOSE */
    FLOW_CLOSED   /* over; `reason` says why. One last acknowledgement may be due */
};

/* Counted over all flows that share a configuration. */
struct flow_counters {
    uint64_t packets_retransmitted;
    uint64_t packets_lost;
    uint64_t packets_spurious; /* declared lost, and acknowledged after all */
    uint64_t packets_duplicate;
    uint64_t packets_marked; /* received with the ECN mark CE */
    uint64_t rebinds;        /* a peer went on from another address or port */
    uint64_t packets_no_memory;
    uint64_t probes;
    uint64_t timeouts; /* losses so persistent that the window was given up */
    uint64_t narrowed; /* flows on whose way longer packets were lost: flow_is_narrowed */
    uint64_t stalls;   /* flows that ended for a message that was not finished, or not taken */
};

struct flow_config {
    struct parameters parameters; /* what we tell peers of ourselves */
    const struct congestion_ops *congestion;
    struct flow_counters *counters;
    uint64_t rto_min_ns;
    uint64_t hello_wait_ns; /* before INIT is repeated the first time */
    uint64_t ack_delay_ns; /* an acknowledgement waits so long for a packet to ride on */
    uint64_t keep_alive_ns;
    uint64_t dead_ns;
    uint64_t unfinished_ns; /* that a message that was begun may wait for its next bytes */
    uint64_t handshake_timeout_ns;
    uint32_t packet_bytes; /* largest UDP payload */
    uint32_t burst_bytes;  /* that had better leave at once, if more than PACER_BURST_BYTES */
    uint8_t profile;       /* enum profile */
};

/* The least that the largest IP packet may have, for any peer to talk to us. */
uint32_t flow_mtu_bytes_min(void);
/* The next shorter packets to try on a way that drops those; 0: there are none. */
uint32_t flow_narrower_bytes(uint32_t packet_bytes);
/* Sets packet_bytes, the segment size and the shortest timeouts, from `profile` and the largest IP
 * packet. Units: mtu_bytes >= flow_mtu_bytes_min(). */
void flow_config_derive(struct flow_config *config, uint32_t mtu_bytes);

struct flow {
    uint8_t state;  /* enum flow_state */
    uint8_t reason; /* enum te_reason, once closing or closed */
    bool is_server;
    bool hello_due; /* INIT or ACCEPT */
    bool ping_due;
    bool credit_due;
    bool close_due;
    bool close_sent;
    bool is_limited;  /* by window or pacing, at the last transmission */
    bool was_limited; /* at any since congestion control last heard of an acknowledgement */
    uint8_t ack_count;   /* packets to acknowledge since the last ACK went out */
    uint8_t probes_due; /* while it is connecting: the next INIT is a short one */
    uint8_t probe_count; /* in a row without an acknowledgement */
    uint8_t hello_count;
    uint16_t marked_received;  /* packets with the ECN mark CE, mod 2^16 */
    uint16_t marked_reported;  /* the same of ours, as the peer last said */
    uint16_t doubtful_losses; /* behind the last reduction, and not yet proven wrong */
    uint32_t untaken_at; /* credit and whole messages, mod 2^32, at `untaken_since_ns` */

    uint64_t local_id;
    uint64_t remote_id;
    struct te_endpoint local;
    struct te_endpoint remote;
    const struct flow_config *config;
    uint32_t peer_message_bytes_max;
    uint8_t token[TOKEN_BYTES]; /* zeros: none yet */
    uint16_t packet_bytes; /* largest UDP payload: as offered, and once it is open as agreed */
    /* Answering: of the INIT, so that ACCEPT is not longer. Calling: what packet_bytes would be if
     * the way carried all that both sides take. */
    uint16_t hello_bytes;

    uint64_t first_number; /* of the packets sent */
    uint64_t packets_lost; /* of those */
    uint64_t opened_ns;
    uint64_t hello_sent_ns;
    uint64_t hello_next_ns;
    uint64_t ack_due_ns; /* UINT64_MAX: nothing to acknowledge */
    uint64_t largest_received_ns;
    uint64_t last_heard_ns;
    uint64_t waiting_since_ns; /* for an acknowledgement */
    uint64_t close_deadline_ns;
    uint64_t untaken_since_ns; /* what waits to be sent has not gone on, while memory was short */

    struct send_queue out;
    struct reassembly in;
    struct sack sack;
    struct ledger ledger;
    struct rtt rtt;
    struct congestion congestion;
    struct pacer pacer;
    struct rebinding rebinding;
};

struct flow_birth {
    struct te_endpoint local;
    struct te_endpoint remote;
    uint64_t local_id;     /* random, not 0 */
    uint64_t first_number; /* random, below 2^62 */
};

void flow_connect(struct flow *flow, const struct flow_config *config,
                  const struct flow_birth *birth, uint64_t now_ns);
/* Opens the answering side after an INIT whose token was good. */
void flow_accept(struct flow *flow, const struct flow_config *config,
                 const struct flow_birth *birth, const struct packet *init, uint64_t now_ns);
/* Returns all memory to the store. */
void flow_fini(struct flow *flow, struct store *store);

/* Takes one packet of this flow, whose ids and endpoint the caller has compared. Any body is
 * borne: it changes the flow, ends it with TE_R_PROTOCOL, or is dropped. */
void flow_receive(struct flow *flow, struct store *store, const struct packet *packet,
                  uint64_t now_ns);

/* Whether the packet, whose ids are the flow's, may come from an address that is not: it is newer
 * than all before it. Then the peer was given another address or port, and answers go there. */
bool flow_may_rebind(const struct flow *flow, const struct packet *packet);
/* `random`: 64 bits that nobody can guess. Shape: flow_receive follows, with that packet. */
void flow_rebind(struct flow *flow, const struct te_endpoint *remote, uint64_t random);

/* Writes the next datagram that may go now. Shape: `out` has config->packet_bytes.
 * Returns its size; 0: nothing now. */
size_t flow_transmit(struct flow *flow, struct store *store, uint64_t now_ns, uint8_t *out);

/* Whether the congestion window admits another packet. One may always be in flight: a window below
 * one packet only spaces packets out. */
bool flow_has_window(const struct flow *flow);

/* A number from 0 to 255 that differs between flows, and between their INITs and probes. */
static inline uint64_t flow_dither(const struct flow *flow) {
    uint64_t moment = flow->ledger.next_number + flow->hello_count;
    return (flow->local_id ^ moment) * UINT64_C(0x9E3779B97F4A7C15) >> 56;
}

/* Whether longer packets, which both sides would take, were lost on the way when it was opened. */
static inline bool flow_is_narrowed(const struct flow *flow) {
    return !flow->is_server && flow->packet_bytes < flow->hello_bytes;
}
/* The largest IP packet that such a way carried; 0: it is none. */
uint32_t flow_narrow_mtu_bytes(const struct flow *flow);

/* Whether nothing of what was sent lately was answered: an INIT, or a probe and what it repeats. */
static inline bool flow_is_unanswered(const struct flow *flow) {
    return flow->state == FLOW_CONNECTING ? flow->hello_count > 0 : flow->probe_count > 1;
}

/* When flow_timeout or flow_transmit has something to do; UINT64_MAX: never without input. */
uint64_t flow_next_ns(const struct flow *flow);
/* The same for a flow whose packets the netif does not take: it only waits for its end. */
uint64_t flow_patience_ns(const struct flow *flow);
void flow_timeout(struct flow *flow, struct store *store, uint64_t now_ns);

/* Frees the message that reassembly_ready showed, and extends the peer's credit. */
void flow_release(struct flow *flow, struct store *store);

/* When flow_timeout looks whether a message was begun and not finished in time, and ends the flow
 * if so, which is flow_end_stalled; UINT64_MAX: not before one is begun. */
uint64_t flow_stalled_ns(const struct flow *flow);
void flow_end_stalled(struct flow *flow, struct store *store, uint64_t now_ns);
/* Ends the flow if its peer takes nothing while memory to send with is short, for long: with
 * TE_R_NO_RESOURCES. To be asked while it is. */
void flow_end_untaken(struct flow *flow, struct store *store, uint64_t now_ns);

/* Ends the flow: with `drain` after all its messages are at the peer, else at once. */
void flow_close(struct flow *flow, struct store *store, uint8_t reason, bool drain,
                uint64_t now_ns);
/* Ends the flow without a word to the peer. */
void flow_abort(struct flow *flow, uint8_t reason);

/* Whether a closed flow can be freed: nothing more to send. */
bool flow_is_over(const struct flow *flow);

#endif
