/* Exchange: a call whose answer is looked for right where it was made, without an event loop.
 *
 * The same as Exchanger in machnet_rpc/_aio/exchange.py. Most answers come while nothing else can
 * happen in this process, for the GIL is held: of such a call there is nothing but its two records.
 * One that takes longer becomes an OutgoingCall, as if it had always been one.
 */
#define _GNU_SOURCE
#include <time.h>

#include "crossing.h"

enum { HOW_FIELDS = 6 };
static const int64_t IDLE_NS = 10000000; /* after which whoever sends looks at descriptors first */
static const uint8_t WHOLE = TE_FIRST | TE_LAST;

bool how_read(PyObject *fields, struct how *how) {
    if (!PyTuple_Check(fields) || PyTuple_Size(fields) != HOW_FIELDS) {
        PyErr_SetString(PyExc_TypeError, "six values say how to call");
        return false;
    }
    how->loop = PyTuple_GetItem(fields, 4);
    return read_uint64(PyTuple_GetItem(fields, 0), UINT64_MAX, &how->method_id)
           && read_uint64(PyTuple_GetItem(fields, 1), INT64_MAX / 2, &how->timeout_ns)
           && read_uint64(PyTuple_GetItem(fields, 2), UINT8_MAX, &how->lane)
           && read_uint64(PyTuple_GetItem(fields, 3), TE_PRIORITIES - 1, &how->priority)
           && read_uint64(PyTuple_GetItem(fields, 5), INT64_MAX / 2, &how->spin_ns);
}

/* Ends a call whose wait an exception cut short, as its awaiter would; the exception stays. */
static void give_up(struct call *call) {
    PyObject *type;
    PyObject *value;
    PyObject *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyObject *failed = PyObject_CallMethod(call->connection, "cancel", "O", (PyObject *)call);
    Py_XDECREF(failed);
    PyErr_Restore(type, value, trace);
}

/* The clock's last tick, some milliseconds ago at most. */
static int64_t rough_clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Whether a request may be sent now, past the pump: nothing waits to be seen or sent before it. */
static bool is_ready(struct crossing *crossing) {
    struct te_record record;
    const uint8_t *payload;
    const int64_t now_ns = rough_clock_ns();
    if (now_ns - crossing->exchanged_ns > IDLE_NS) {
        return false;
    }
    crossing->exchanged_ns = now_ns;
    return crossing->channel != NULL && !crossing->is_blocked
           && crossing->left == NULL && engine.peek(crossing->channel, &record, &payload) == 0;
}

/* Takes the answer, if it is what comes next and needs nobody else. None: it is not. */
static PyObject *answer_of(const struct flow *self, uint64_t call_id) {
    struct crossing *crossing = self->crossing;
    struct te_record record;
    const uint8_t *from;
    if (crossing->whole.object != NULL
        || engine.peek(crossing->channel, &record, &from) <= 0 || record.kind != TE_REPLY
        || record.flags != WHOLE || record.flow != self->number || record.call_id != call_id) {
        return Py_NewRef(Py_None);
    }
    PyObject *answer = PyBytes_FromStringAndSize((const char *)from,
                                                 (Py_ssize_t)record.size_bytes);
    engine.pop(crossing->channel);
    crossing_ring(crossing);
    return answer;
}

/* Makes an OutgoingCall of a request that was sent. Runs nothing of Python before it is noted. */
static PyObject *made_of(struct flow *self, const struct te_record *record,
                         const struct how *how) {
    struct call *call = self->spare;
    self->spare = NULL;
    call->call_id = record->call_id;
    call->method_id = record->method_id;
    call->timed.deadline_ns = clock_ns() + (int64_t)how->timeout_ns;
    call->priority = record->priority;
    call->sent = 1;
    slot_set(&call->loop, Py_NewRef(how->loop));
    slot_set(&call->connection, Py_NewRef(self->connection));
    if (!flow_expect(self, call)) {
        Py_DECREF((PyObject *)call);
        return NULL;
    }
    return (PyObject *)call;
}

bool exchange_prepare(struct flow *self, const struct how *how) {
    if (self->spare == NULL) {
        struct call *made = call_make(0, 0, how->loop);
        PyObject *meanwhile = (PyObject *)self->spare; /* by what that ran */
        self->spare = made;
        Py_XDECREF(meanwhile);
    }
    return self->spare != NULL;
}

PyObject *exchange_bytes(struct flow *self, PyObject *payload, const struct how *how) {
    struct crossing *crossing = self->crossing;
    const Py_ssize_t size = PyBytes_Size(payload);
    if (!exchange_prepare(self, how)) {
        return NULL;
    }
    if (size > TE_RECORD_PAYLOAD_MAX || (uint64_t)size > self->message_bytes_max
        || !is_ready(crossing)) {
        return Py_NewRef(Py_None);
    }
    struct te_record record = {
        .call_id = self->last_call_id + 1,
        .method_id = how->method_id,
        .remaining_ns = how->timeout_ns,
        .flow = self->number,
        .size_bytes = (uint32_t)size,
        .total_bytes = (uint32_t)size,
        .kind = TE_REQUEST,
        .flags = WHOLE,
        .lane = (uint8_t)how->lane,
        .priority = (uint8_t)how->priority,
    };
    const uint8_t *bytes = (const uint8_t *)PyBytes_AsString(payload);
    if (engine.put(crossing->channel, &record, bytes) <= 0) {
        return Py_NewRef(Py_None); /* it is full, or what is wrong will show in the pump's turn */
    }
    const bool woke = crossing_ring(crossing); /* who sleeps does not answer at once */
    self->last_call_id = record.call_id;
    if (how->spin_ns != 0 && !woke && crossing_glance(crossing, (int64_t)how->timeout_ns)) {
        PyObject *answer = answer_of(self, record.call_id);
        if (answer != Py_None) {
            return answer;
        }
        Py_DECREF(answer);
    }
    return made_of(self, &record, how);
}

/* The same of what is no bytes, or large, of which the queue may take some. */
static PyObject *exchange_any(struct flow *self, PyObject *payload, const struct how *how) {
    struct te_record record = {.kind = TE_REQUEST,
                               .flow = self->number,
                               .method_id = how->method_id,
                               .remaining_ns = how->timeout_ns,
                               .lane = (uint8_t)how->lane,
                               .priority = (uint8_t)how->priority};
    const int64_t deadline_ns = clock_ns() + (int64_t)how->timeout_ns;
    return (PyObject *)flow_begin(self, payload, &record, deadline_ns, how->loop);
}

PyObject *flow_exchange(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct flow *self = (struct flow *)object;
    struct how how;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "exchange takes a payload, and six values that say how");
        return NULL;
    }
    if (!how_read(args[1], &how)) {
        return NULL;
    }
    const bool is_ready_for_it = is_ready(self->crossing);
    self->crossing->exchanged_ns = rough_clock_ns(); /* whoever calls here looks, if it is not */
    if (!is_ready_for_it) {
        Py_RETURN_NONE;
    }
    if (PyBytes_CheckExact(args[0]) && PyBytes_Size(args[0]) <= TE_RECORD_PAYLOAD_MAX) {
        return exchange_bytes(self, args[0], &how);
    }
    return exchange_any(self, args[0], &how);
}

/* The pump is roused here and not where the call was made: Python runs, and so may other threads,
 * of which one may be inside and asleep by then. False: an exception. */
static bool rouse_and_await(const struct flow *self, const struct call *call, int64_t late_ns) {
    struct crossing *crossing = self->crossing;
    if (!crossing->is_watched) {
        PyObject *roused = PyObject_CallObject(crossing->rouse, NULL);
        Py_XDECREF(roused);
        if (roused == NULL) {
            return false;
        }
    }
    return crossing->channel == NULL || crossing->left != NULL
           || crossing_await(crossing, call, late_ns);
}

PyObject *flow_wait(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct flow *self = (struct flow *)object;
    uint64_t spin_ns;
    if (count != 2 || Py_TYPE(args[0]) != call_type) {
        PyErr_SetString(PyExc_TypeError, "wait(call, nanoseconds)");
        return NULL;
    }
    struct call *call = (struct call *)args[0];
    if (!read_uint64(args[1], INT64_MAX / 2, &spin_ns)) {
        return NULL;
    }
    int64_t late_ns = clock_ns() + (int64_t)spin_ns;
    late_ns = late_ns < call->timed.deadline_ns ? late_ns : call->timed.deadline_ns;
    if (call->state == CALL_WAITS && !rouse_and_await(self, call, late_ns)) {
        give_up(call);
        return NULL;
    }
    const bool is_result = call->state == CALL_ENDED && PyBytes_CheckExact(call->result);
    return Py_NewRef(is_result ? call->result : (PyObject *)call);
}
