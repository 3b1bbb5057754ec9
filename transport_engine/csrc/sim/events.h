/* What will happen next: a heap of events in order of time, then of their making.
 *
 * Knows times and numbers only.
 * Shape: four children to a node, for short paths and few cache lines.
 */
#ifndef SIM_EVENTS_H
#define SIM_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

enum event_kind {
    EVENT_LINK,   /* the first packet of a link's line arrives; index: link */
    EVENT_PACKET, /* a packet that left its line arrives; index: packet */
    EVENT_TIMER,  /* of a flow's half; index: end */
    EVENT_OPEN,   /* a client opens a flow; index: flow */
    EVENT_WORK,   /* index: workload */
    EVENT_WAKE,   /* a stalled node goes on; index: node */
    EVENT_STALL,  /* a node stalls at random; index: node */
    EVENT_BOOT,   /* a crashed node is up again; index: node */
    EVENT_SCRIPT  /* index: event of the configuration */
};

struct event {
    uint64_t time_ns;
    uint64_t order; /* unique; decides between equal times */
    uint32_t kind;  /* enum event_kind */
    uint32_t index;
};

struct events {
    struct event *heap;
    uint32_t count;
    uint32_t capacity;
    uint64_t next_order;
};

/* Errors: false when memory ran out; the event is then not kept. */
bool events_push(struct events *events, uint64_t time_ns, enum event_kind kind, uint32_t index);
/* As above, with an order that was drawn before. */
bool events_push_ordered(struct events *events, const struct event *event);
/* False: there is none. */
bool events_pop(struct events *events, struct event *event);
void events_fini(struct events *events);

#endif
