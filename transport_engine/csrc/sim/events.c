/* A heap of events. */
#include "sim/events.h"

#include <stdlib.h>

enum { CHILDREN = 4, CAPACITY_FIRST = 1024 };

static bool is_before(const struct event *a, const struct event *b) {
    return a->time_ns < b->time_ns || (a->time_ns == b->time_ns && a->order < b->order);
}

static bool grow(struct events *events) {
    uint32_t capacity = events->capacity == 0 ? CAPACITY_FIRST : 2 * events->capacity;
    struct event *heap = realloc(events->heap, capacity * sizeof *heap);
    if (heap == NULL) {
        return false;
    }
    events->heap = heap;
    events->capacity = capacity;
    return true;
}

bool events_push_ordered(struct events *events, const struct event *event) {
    if (events->count == events->capacity && !grow(events)) {
        return false;
    }
    uint32_t at = events->count++;
    while (at > 0) {
        uint32_t parent = (at - 1) / CHILDREN;
        if (!is_before(event, &events->heap[parent])) {
            break;
        }
        events->heap[at] = events->heap[parent];
        at = parent;
    }
    events->heap[at] = *event;
    return true;
}

bool events_push(struct events *events, uint64_t time_ns, enum event_kind kind, uint32_t index) {
    struct event event = {time_ns, events->next_order++, kind, index};
    return events_push_ordered(events, &event);
}

static uint32_t first_child(const struct events *events, uint32_t parent) {
    uint32_t best = CHILDREN * parent + 1;
    uint32_t end = best + CHILDREN < events->count ? best + CHILDREN : events->count;
    for (uint32_t child = best + 1; child < end; child++) {
        if (is_before(&events->heap[child], &events->heap[best])) {
            best = child;
        }
    }
    return best;
}

bool events_pop(struct events *events, struct event *event) {
    if (events->count == 0) {
        return false;
    }
    *event = events->heap[0];
    struct event last = events->heap[--events->count];
    uint32_t at = 0;
    while (CHILDREN * at + 1 < events->count) {
        uint32_t child = first_child(events, at);
        if (!is_before(&events->heap[child], &last)) {
            break;
        }
        events->heap[at] = events->heap[child];
        at = child;
    }
    events->heap[at] = last;
    return true;
}

void events_fini(struct events *events) {
    free(events->heap);
    *events = (struct events){0};
}
