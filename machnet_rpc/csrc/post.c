/* Messages into a ring: from where they lie, while nothing is queued before them and there is room.
 *
 * What does not fit goes to the queue in Python, whose turn it is then until it is empty.
 */
#include "crossing.h"

enum { POST_ARGUMENTS = 11, PUT_ARGUMENTS = 12 };

bool read_uint64(PyObject *number, uint64_t max, uint64_t *value) {
    *value = PyLong_AsUnsignedLongLong(number);
    if (*value == UINT64_MAX && PyErr_Occurred()) {
        return false;
    }
    if (*value > max) {
        PyErr_SetString(PyExc_OverflowError, "a field of the record is too large");
        return false;
    }
    return true;
}

bool read_priority(PyObject *number, uint8_t *priority) {
    uint64_t value = TE_PRIORITY_USUAL;
    if (number != Py_None && !read_uint64(number, TE_PRIORITIES - 1, &value)) {
        return false;
    }
    *priority = (uint8_t)value;
    return true;
}

/* Reads the arguments of `post` but the ticket and the payload. */
static bool read_record(PyObject *const *args, struct te_record *record) {
    uint64_t kind;
    uint64_t flow;
    uint64_t flags;
    uint64_t lane;
    uint64_t status;
    if (!read_uint64(args[2], UINT8_MAX, &kind) || !read_uint64(args[3], UINT32_MAX, &flow)
        || !read_uint64(args[4], UINT64_MAX, &record->call_id)
        || !read_uint64(args[5], UINT64_MAX, &record->method_id)
        || !read_uint64(args[6], UINT64_MAX, &record->remaining_ns)
        || !read_uint64(args[7], UINT8_MAX, &flags) || !read_uint64(args[8], UINT8_MAX, &lane)
        || !read_uint64(args[9], UINT16_MAX, &status)
        || !read_priority(args[10], &record->priority)) {
        return false;
    }
    record->kind = (uint8_t)kind;
    record->flow = (uint32_t)flow;
    record->flags = (uint8_t)flags;
    record->lane = (uint8_t)lane;
    record->status = (uint16_t)status;
    return true;
}

/* What the ring took is the ticket's to tell. */
static bool note_progress(PyObject *ticket, const char *what) {
    if (Py_TYPE(ticket) == call_type) {
        struct call *call = (struct call *)ticket;
        *(what[1] == 'e' ? &call->sent : &call->started) = 1;
        return true;
    }
    return PyObject_SetAttrString(ticket, what, Py_True) == 0;
}

/* Hands what the ring did not take, from `offset` on, to the queue in Python. */
static bool queue_rest(struct crossing *self, PyObject *ticket, PyObject *payload,
                       const struct te_record *record, uint64_t offset) {
    if (offset != 0 && !note_progress(ticket, "started")) {
        return false;
    }
    self->is_blocked = 1;
    PyObject *queued = PyObject_CallFunction(
        self->queue, "OOiIKKKiiiiK", ticket, payload, (int)record->kind, (unsigned)record->flow,
        (unsigned long long)record->call_id, (unsigned long long)record->method_id,
        (unsigned long long)record->remaining_ns,
        (int)record->flags & ~(TE_FIRST | TE_LAST), (int)record->lane, (int)record->status,
        (int)record->priority, (unsigned long long)offset);
    Py_XDECREF(queued);
    return queued != NULL;
}

/* Has the port take turns, whatever is raised there or was before: the other side, which was told
 * so, does not wake it. False: an exception. */
static bool rouse(struct crossing *self) {
    PyObject *type;
    PyObject *value;
    PyObject *trace;
    PyErr_Fetch(&type, &value, &trace);
    bool is_roused = false;
    for (int i = 0; i < 2 && !is_roused; i++) {
        PyObject *roused = PyObject_CallNoArgs(self->rouse);
        is_roused = roused != NULL;
        Py_XDECREF(roused);
        if (!is_roused && type == NULL) {
            PyErr_Fetch(&type, &value, &trace); /* of a signal's handler, which is run once */
        }
        PyErr_Clear();
    }
    const bool is_well = type == NULL;
    PyErr_Restore(type, value, trace);
    return is_well;
}

/* Into the ring, or what it does not take into the queue. */
static bool put_or_queue(struct crossing *self, PyObject *ticket, PyObject *payload,
                         struct te_record *record, const uint8_t *bytes, uint64_t size_bytes) {
    int64_t reached = 0;
    if (!self->is_blocked && self->channel != NULL && size_bytes <= TE_MESSAGE_BYTES_MAX) {
        record->total_bytes = (uint32_t)size_bytes;
        reached = put_message(self, record, bytes, 0);
        reached = reached < 0 ? 0 : reached; /* what is wrong shows where the queue is emptied */
    }
    if (reached <= (int64_t)size_bytes) {
        return queue_rest(self, ticket, payload, record, (uint64_t)reached);
    }
    return Py_TYPE(ticket) != call_type || note_progress(ticket, "sent");
}

static bool post_bytes(struct crossing *self, PyObject *ticket, PyObject *payload,
                       struct te_record *record, const uint8_t *bytes, uint64_t size_bytes) {
    if (!self->is_watched && self->channel != NULL) {
        engine.arm(self->channel, 0); /* before it rings: who answers at once need not ring back */
    }
    const bool is_well = put_or_queue(self, ticket, payload, record, bytes, size_bytes);
    return (self->is_watched || rouse(self)) && is_well;
}

bool post_message(struct crossing *self, PyObject *ticket, PyObject *payload,
                  struct te_record *record) {
    if (PyBytes_CheckExact(payload)) {
        char *bytes;
        Py_ssize_t size;
        return PyBytes_AsStringAndSize(payload, &bytes, &size) == 0
               && post_bytes(self, ticket, payload, record, (const uint8_t *)bytes,
                             (uint64_t)size);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE) != 0) {
        return false;
    }
    const bool done = post_bytes(self, ticket, payload, record, view.buf, (uint64_t)view.len);
    PyBuffer_Release(&view);
    return done;
}

PyObject *crossing_post(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct te_record record = {0};
    if (count != POST_ARGUMENTS) {
        PyErr_SetString(PyExc_TypeError, "post takes eleven arguments");
        return NULL;
    }
    if (!read_record(args, &record)
        || !post_message((struct crossing *)object, args[0], args[1], &record)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *put_said(int64_t reached) {
    if (reached == TE_E_CORRUPT) {
        PyErr_SetString(corrupt_error, "the other side moved a ring's position where none can be");
        return NULL;
    }
    if (reached < 0) {
        PyErr_SetString(PyExc_ValueError, "not a valid message (docs/channel.md)");
        return NULL;
    }
    return PyLong_FromLongLong(reached);
}

PyObject *crossing_put(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct crossing *self = (struct crossing *)object;
    struct te_record record = {0};
    uint64_t from;
    Py_buffer view;
    if (count != PUT_ARGUMENTS) {
        PyErr_SetString(PyExc_TypeError, "put takes twelve arguments");
        return NULL;
    }
    if (!read_record(args, &record) || !read_uint64(args[11], TE_MESSAGE_BYTES_MAX, &from)
        || PyObject_GetBuffer(args[1], &view, PyBUF_SIMPLE) != 0) {
        return NULL;
    }
    int64_t reached = TE_E_INVALID;
    if (self->channel == NULL) {
        reached = (int64_t)from;
    } else if (view.len <= TE_MESSAGE_BYTES_MAX && from <= (uint64_t)view.len) {
        record.total_bytes = (uint32_t)view.len;
        reached = put_message(self, &record, view.buf, (int64_t)from);
    }
    PyBuffer_Release(&view);
    return put_said(reached);
}
