/* The public C interface of the message generator: how fast an engine carries messages between
 * two applications in C.
 *
 * A generator is an application: it knows its channel and nothing of the engine behind it. Like
 * transport_engine.h this header is the one definition of its layouts.
 */
#ifndef TRANSPORT_MSGGEN_H
#define TRANSPORT_MSGGEN_H

#include "transport_engine.h"

/* cffi: begin */

enum te_msggen_limit {
    TE_MSGGEN_BYTES_MIN = 16, /* a mark at either end */
    TE_MSGGEN_BYTES_MAX = TE_RECORD_PAYLOAD_MAX,
    TE_MSGGEN_WINDOW_MAX = 4096,
    TE_MSGGEN_PARTS_MAX = 4 /* generators, and engines, that one thread drives */
};

enum te_msggen_role {
    TE_MSGGEN_CLIENT = 1, /* keeps `window` requests under way, and checks every reply */
    TE_MSGGEN_SERVER = 2  /* sends every request back as a reply */
};

struct te_msggen_config {
    struct te_channel *channel; /* Owner: the caller; nobody else may use it meanwhile */
    uint32_t role;              /* enum te_msggen_role */
    uint32_t flow;              /* client: an open flow of the channel */
    uint32_t message_bytes;     /* client */
    uint32_t window;            /* client: requests under way */
};

struct te_msggen_counts {
    uint64_t elapsed_ns; /* in te_msggen_run */
    uint64_t requests;   /* client: sent; server: received */
    uint64_t replies;    /* client: right ones received; server: sent */
    uint64_t wrong_length; /* replies of another length than their request */
    uint64_t wrong_mark;   /* replies whose content is not that of their request */
    uint64_t wrong_call;   /* replies to no request under way, errors, other kinds */
    uint64_t flows_opened; /* server: that clients opened */
    uint64_t flows_closed;
    uint32_t close_reason; /* enum te_reason, of the flow that was closed last */
    uint32_t zero;
};

struct te_msggen;

/* Errors: TE_E_INVALID, TE_E_NO_MEMORY; `why` (TE_WHY_BYTES) says what to do. */
int te_msggen_open(const struct te_msggen_config *config, struct te_msggen **msggen, char *why);
void te_msggen_close(struct te_msggen *msggen);

/* What one thread drives by turns: generators, and engines that have no thread of their own. */
struct te_msggen_parts {
    struct te_msggen *msggens[TE_MSGGEN_PARTS_MAX];
    struct te_engine *engines[TE_MSGGEN_PARTS_MAX];
    uint32_t msggen_count;
    uint32_t engine_count;
    uint64_t spin_ns; /* polling that finds nothing before the thread sleeps */
    uint32_t is_sharing; /* with engines: others need the processor, and have it after each look
                          * in vain */
    uint32_t zero;
};

/* Drives them for `duration_ns`. Errors: TE_E_CLOSED (the client's flow, or an engine, is gone),
 * TE_E_CORRUPT (a ring holds what no engine writes), TE_E_INVALID. */
int te_msggen_run(const struct te_msggen_parts *parts, uint64_t duration_ns);
/* Sends no new requests, and waits `duration_ns` at most for those under way.
 * Errors: TE_E_AGAIN (some are not answered yet), and those of te_msggen_run. */
int te_msggen_settle(const struct te_msggen_parts *parts, uint64_t duration_ns);

void te_msggen_count(const struct te_msggen *msggen, struct te_msggen_counts *counts);
/* The round trip that `ppm` parts per million of all do not exceed, to a 64th; 0: none yet. */
uint64_t te_msggen_latency_ns(const struct te_msggen *msggen, uint32_t ppm);
/* Forgets counts and latencies so far, as those of a warm-up. */
void te_msggen_forget(struct te_msggen *msggen);

/* cffi: end */

#endif
