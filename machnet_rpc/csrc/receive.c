/* Messages out of a ring, a burst at a time.
 *
 * Replies end the calls that wait for them, and resume whoever awaits those; everything else comes
 * back as (header, payload), for the state machine in Python. A message of several records becomes
 * one object, filled in place. The channel has checked what the other side wrote (docs/channel.md
 * §3); here is no second look at its memory.
 */
#include <poll.h>
#include <string.h>

#include "crossing.h"

enum {
    BURST_MAX = 64,
    STAY_NS = 75000, /* by which a turn may be longer; so long the loop's timers may be late */
    SIGNALS_NS = 1000000 /* between looks for signals, while a call is waited for */
};

struct request {
    struct te_record record;
    struct flow *flow;
    PyObject *payload;
};

struct burst {
    PyObject *others; /* (header, payload) of all that is for Python; or NULL */
    Py_ssize_t requests_begun;
    Py_ssize_t requests_count;
    struct request requests[BURST_MAX]; /* for a desk; all came before `others` */
    Py_ssize_t ended_count;
    struct call *ended[BURST_MAX];
};

PyObject *header_of(const struct te_record *record) {
    const unsigned long long fields[] = {
        record->call_id,    record->method_id,    record->remaining_ns, record->flow,
        record->size_bytes, record->offset_bytes, record->total_bytes,  record->kind,
        record->flags,      record->lane,         record->priority,     record->status,
        record->progress,   record->zero,
    };
    const Py_ssize_t count = sizeof fields / sizeof fields[0];
    PyObject *header = PyTuple_New(count);
    for (Py_ssize_t i = 0; header != NULL && i < count; i++) {
        PyObject *field = PyLong_FromUnsignedLongLong(fields[i]);
        if (field == NULL || PyTuple_SetItem(header, i, field) != 0) {
            Py_CLEAR(header);
        }
    }
    return header;
}

static bool is_lent(const struct crossing *self, const struct te_record *record) {
    const bool is_plain = record->kind == TE_REQUEST
                          || (record->kind == TE_REPLY
                              && (record->flags & (TE_ERROR | TE_METADATA)) == 0);
    if (!is_plain || self->lent == NULL || self->lent == Py_None) {
        return false;
    }
    PyObject *method_id = PyLong_FromUnsignedLongLong(record->method_id);
    const int found = method_id == NULL ? -1 : PySet_Contains(self->lent, method_id);
    Py_XDECREF(method_id);
    if (found < 0) {
        PyErr_Clear();
    }
    return found > 0;
}

/* Makes the object that the message's records will fill. False: an exception. */
static bool whole_begin(struct crossing *self, const struct te_record *record) {
    struct whole whole = {.total_bytes = record->total_bytes};
    if (is_lent(self, record)) {
        whole.object = received_make(record->total_bytes, &whole.bytes);
    } else {
        whole.object = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)record->total_bytes);
        if (whole.object != NULL) {
            whole.bytes = (uint8_t *)PyBytes_AsString(whole.object);
        }
    }
    Py_CLEAR(self->whole.object);
    self->whole = whole;
    return whole.object != NULL;
}

/* Copies the record's payload to its place. 1: `*payload` is whole; 0: more is to come. */
static int take_payload(struct crossing *self, const struct te_record *record, const uint8_t *from,
                        PyObject **payload) {
    const uint8_t place = record->flags & (TE_FIRST | TE_LAST);
    if (place == (TE_FIRST | TE_LAST)) {
        *payload = PyBytes_FromStringAndSize((const char *)from, (Py_ssize_t)record->size_bytes);
        return *payload == NULL ? -1 : 1;
    }
    if (place == TE_FIRST && !whole_begin(self, record)) {
        return -1;
    }
    struct whole *whole = &self->whole;
    if (whole->object == NULL) {
        return 0; /* there was no memory for it */
    }
    if (record->offset_bytes != whole->filled_bytes || record->total_bytes != whole->total_bytes) {
        Py_CLEAR(whole->object);
        return 0;
    }
    memcpy(whole->bytes + record->offset_bytes, from, record->size_bytes);
    whole->filled_bytes += record->size_bytes;
    if ((place & TE_LAST) == 0) {
        return 0;
    }
    *payload = whole->object;
    whole->object = NULL;
    return 1;
}

/* Ends the call that the reply is for. 1: done; 0: the state machine must see it; -1: exception. */
static int end_call(const struct crossing *self, const struct te_record *record, PyObject *payload,
                    struct burst *burst) {
    if (record->kind != TE_REPLY || (record->flags & (TE_ERROR | TE_METADATA)) != 0) {
        return 0;
    }
    PyObject *flow = PyLong_FromUnsignedLong(record->flow);
    PyObject *call_id = PyLong_FromUnsignedLongLong(record->call_id);
    PyObject *calls = NULL;
    PyObject *call = NULL;
    int done = -1;
    if (flow != NULL && call_id != NULL) {
        calls = PyDict_GetItemWithError(self->flows, flow);
        call = calls == NULL ? NULL : PyDict_GetItemWithError(calls, call_id);
        done = PyErr_Occurred() ? -1 : 0;
    }
    if (call != NULL && Py_TYPE(call) == call_type) {
        struct call *ended = (struct call *)Py_NewRef(call);
        burst->ended[burst->ended_count++] = ended;
        done = PyDict_DelItem(calls, call_id) == 0 ? 1 : -1;
        timed_stop(&ended->timed);
        ended->gone = 1;
        call_end(ended, payload);
    }
    Py_XDECREF(flow);
    Py_XDECREF(call_id);
    return done;
}

/* Notes a request that a desk takes. 1: done; 0: it is for Python; -1: exception. */
static int note_request(struct crossing *self, const struct te_record *record,
                        PyObject *payload, struct burst *burst) {
    if (record->kind != TE_REQUEST || (record->flags & TE_METADATA) != 0 || burst->others != NULL
        || !PyBytes_CheckExact(payload)) {
        return 0;
    }
    struct flow *flow = served_flow(self, record->flow);
    if (flow == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    burst->requests[burst->requests_count++] = (struct request){
        *record, (struct flow *)Py_NewRef((PyObject *)flow), Py_NewRef(payload)};
    return 1;
}

static bool hand_over(const struct te_record *record, PyObject *payload, struct burst *burst) {
    PyObject *header = header_of(record);
    PyObject *item = header == NULL ? NULL : PyTuple_Pack(2, header, payload);
    if (item != NULL && burst->others == NULL) {
        burst->others = PyList_New(0);
    }
    const bool is_done = item != NULL && burst->others != NULL
                         && PyList_Append(burst->others, item) == 0;
    Py_XDECREF(header);
    Py_XDECREF(item);
    return is_done;
}

/* As peek; of a message under way it gives the last record only, and takes the others. Nothing,
 * where that would keep messages waiting that have come. */
static int next_record(struct crossing *self, const struct burst *burst, struct te_record *record,
                       const uint8_t **from) {
    if (self->whole.object != NULL) {
        if (burst->others != NULL || burst->ended_count != 0
            || burst->requests_count != 0) {
            return 0;
        }
        take_pieces(self); /* without the GIL: it may have been closed */
    }
    return self->channel == NULL ? 0 : engine.peek(self->channel, record, from);
}

/* Takes at most a burst out of the ring, after what is `left` of the one before; returns the
 * records, or a negative error. */
static int take_burst(struct crossing *self, struct burst *burst, PyObject *left) {
    struct te_record record;
    const uint8_t *from;
    int count = 0;
    int found = 0;
    burst->others = left;
    burst->requests_begun = 0;
    burst->requests_count = 0;
    burst->ended_count = 0;
    while (self->channel != NULL && count < BURST_MAX
           && (found = next_record(self, burst, &record, &from)) > 0) {
        PyObject *payload = NULL;
        int whole = take_payload(self, &record, from, &payload);
        engine.pop(self->channel);
        count++;
        if (whole > 0) {
            int taken = end_call(self, &record, payload, burst);
            if (taken == 0) {
                taken = note_request(self, &record, payload, burst);
            }
            if (taken < 0 || (taken == 0 && !hand_over(&record, payload, burst))) {
                whole = -1;
            }
            Py_DECREF(payload);
        }
        if (whole < 0) {
            break; /* no memory: this message is lost, and the exception says so */
        }
        if (whole > 0 && (record.flags & TE_FIRST) == 0) {
            break; /* so that its memory may serve the next large one */
        }
    }
    if (count != 0 && burst->requests_count == 0 && self->channel != NULL) {
        crossing_ring(self); /* else after the first answer, or all that is served */
    }
    return count != 0 ? count : found;
}

/* Resumes those whose calls ended. They may do anything with this object. */
static bool wake_ended(struct burst *burst, bool (*wake)(struct call *)) {
    bool is_well = !PyErr_Occurred();
    for (Py_ssize_t i = 0; i < burst->ended_count; i++) {
        if (is_well) {
            is_well = wake(burst->ended[i]);
        } else {
            PyObject *type;
            PyObject *value;
            PyObject *trace;
            PyErr_Fetch(&type, &value, &trace);
            if (!call_wake_soon(burst->ended[i])) {
                PyErr_Clear();
            }
            PyErr_Restore(type, value, trace);
        }
        Py_DECREF((PyObject *)burst->ended[i]);
    }
    return is_well;
}

/* Has the requests answered, until there is an exception. */
static bool serve_requests(struct crossing *self, struct burst *burst) {
    bool is_well = true;
    while (is_well && burst->requests_begun < burst->requests_count) {
        struct request *request = &burst->requests[burst->requests_begun++];
        const bool is_served = served_flow(self, request->flow->number) == request->flow;
        is_well = is_served ? flow_serve(request->flow, &request->record, request->payload)
                            : !PyErr_Occurred();
        Py_DECREF((PyObject *)request->flow);
        Py_DECREF(request->payload);
    }
    return is_well;
}

/* Keeps what a burst has not come to, for the next one; an exception stays. What runs meanwhile may
 * have waited for a call of its own, and left what came with its answer. */
static void keep_rest(struct crossing *self, struct burst *burst) {
    PyObject *type;
    PyObject *value;
    PyObject *trace;
    PyErr_Fetch(&type, &value, &trace);
    struct burst rest;
    rest.others = NULL;
    for (Py_ssize_t i = burst->requests_begun; i < burst->requests_count; i++) {
        struct request *request = &burst->requests[i];
        if (!hand_over(&request->record, request->payload, &rest)) {
            PyErr_Clear(); /* no memory: it is lost, and the exception says so */
        }
        Py_DECREF((PyObject *)request->flow);
        Py_DECREF(request->payload);
    }
    PyObject *others = list_joined(rest.others, burst->others);
    PyObject *later = self->left;
    self->left = NULL;
    self->left = list_joined(others, later);
    PyErr_Restore(type, value, trace);
}

/* Takes a burst, and does with it what can be done here; `*others` is what cannot, or NULL. */
static bool receive_burst(struct crossing *self, PyObject **others) {
    self->streamed_ns = 0;
    struct burst burst;
    PyObject *left = self->left;
    self->left = NULL;
    const int count = take_burst(self, &burst, left);
    if (count < 0 && burst.others == NULL) { /* else what came before is first */
        PyErr_SetString(corrupt_error, "the other side wrote what breaks the channel's rules");
        return false;
    }
    const bool is_well = wake_ended(&burst, call_wake) && serve_requests(self, &burst);
    self->looked_ns = 0;
    if (self->channel != NULL) {
        crossing_ring(self);
    }
    if (!is_well) {
        keep_rest(self, &burst);
        return false;
    }
    *others = burst.others;
    return true;
}

/* Whether Python has to look at something before the next burst. */
static bool is_interrupted(const struct crossing *self, PyObject *ready) {
    return ready == NULL || self->channel == NULL || self->is_blocked || !self->is_watched
           || PyObject_Size(ready) != 0;
}

/* Whether the thread can stay here once its time is over, since nobody waits for it. */
static bool may_stay(const struct crossing *self, PyObject *ready, int waits_fd) {
    struct pollfd waits = {.fd = waits_fd, .events = POLLIN};
    return waits_fd >= 0 && !is_interrupted(self, ready) && poll(&waits, 1, 0) == 0;
}

PyObject *crossing_receive(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct crossing *self = (struct crossing *)object;
    if (count < 1 || count > 3) {
        PyErr_SetString(PyExc_TypeError, "receive(spin_ns, ready=None, waits_fd=-1)");
        return NULL;
    }
    const long long slice_ns = PyLong_AsLongLong(args[0]);
    const long waits_fd = count == 3 ? PyLong_AsLong(args[2]) : -1;
    if (PyErr_Occurred()) {
        return NULL;
    }
    PyObject *ready = count >= 2 && args[1] != Py_None ? args[1] : NULL;
    int64_t patience_ns = slice_ns, ends_ns = slice_ns > 0 ? clock_ns() + slice_ns : 0;
    const int64_t last_ns = ends_ns + (slice_ns > 0 ? STAY_NS : 0);
    PyObject *others = NULL;
    bool has_moved = false, has_traffic = false; /* in all, in this slice */
    for (;;) {
        if (self->left != NULL
            || (self->channel != NULL && crossings_spin(&self, 1, patience_ns))) {
            has_moved = has_traffic = true;
            if (!receive_burst(self, &others)) {
                return NULL;
            }
            self->moved_ns = clock_ns();
            if (others != NULL || is_interrupted(self, ready)) {
                break;
            }
            if ((patience_ns = ends_ns - self->moved_ns) > 0) {
                continue;
            }
        }
        if (!has_traffic || ends_ns >= last_ns || !may_stay(self, ready, (int)waits_fd)) {
            break;
        }
        has_traffic = false;
        patience_ns = slice_ns;
        ends_ns = clock_ns() + slice_ns;
    }
    if (PyErr_Occurred()) {
        Py_XDECREF(others);
        return NULL;
    }
    return others != NULL ? others : has_moved ? PyList_New(0) : Py_NewRef(Py_None);
}

bool crossing_await(struct crossing *self, const struct call *call, int64_t late_ns) {
    int64_t now_ns = clock_ns();
    for (;;) {
        const int64_t left_ns = late_ns - now_ns;
        if (crossings_spin(&self, 1, left_ns < SIGNALS_NS ? left_ns : SIGNALS_NS)) {
            struct burst burst;
            const int count = take_burst(self, &burst, NULL);
            keep_rest(self, &burst);
            if (self->channel != NULL) {
                crossing_ring(self);
            }
            if (!wake_ended(&burst, call_wake_soon)) { /* their loop does not run now */
                return false;
            }
            if (count < 0) {
                return true; /* the channel is corrupt, as the pump will find as well */
            }
        }
        if (call->state != CALL_WAITS || self->left != NULL || self->channel == NULL) {
            return true;
        }
        now_ns = clock_ns();
        if (PyErr_CheckSignals() != 0) {
            return false;
        }
        if (now_ns >= late_ns || spin_is_contended(now_ns) || self->channel == NULL) {
            return true;
        }
    }
}
