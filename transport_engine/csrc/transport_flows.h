/* The public C interface to an engine's open flows: what each is doing, for people who look.
 *
 * Like transport_engine.h this header is the one definition of its layouts.
 */
#ifndef TRANSPORT_FLOWS_H
#define TRANSPORT_FLOWS_H

#include "transport_engine.h"

/* cffi: begin */

enum te_flows_limit {
    TE_FLOWS_PAGE = 16,
    TE_FLOWS_LOOKED_AT = 256 /* slots of the table, for one page */
};

struct te_flow_report {
    struct te_endpoint local;
    struct te_endpoint remote;
    uint32_t channel;         /* whose it is; UINT32_MAX: of an application that is gone */
    uint32_t messages;        /* that are not whole at the peer */
    uint64_t open_ns;         /* since it was opened */
    uint64_t srtt_ns;         /* 0: not measured yet */
    uint64_t rtt_min_ns;      /* 0: not measured yet */
    uint64_t window_bytes;    /* of congestion control */
    uint64_t in_flight_bytes; /* sent, and neither acknowledged nor lost */
    uint64_t packets_sent;
    uint64_t packets_lost;
    uint64_t packet_bytes;    /* UDP payload of the longest */
};

/* What TE_FLOWS fills in; in: `next`, the slot to begin with. */
struct te_flow_page {
    uint32_t next; /* where the following page begins; UINT32_MAX: there is none */
    uint32_t count;
    struct te_flow_report flows[16]; /* TE_FLOWS_PAGE */
};

/* cffi: end */

#endif
