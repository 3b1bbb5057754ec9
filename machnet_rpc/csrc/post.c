/* Messages into a ring: from where they lie, while nothing is queued before them and there is room.
 *
 * What does not fit goes to the queue in Python, whose turn it is then until it is empty.
 */
#include "crossing.h"

enum { POST_ARGUMENTS = 10 };

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
        || !read_uint64(args[9], UINT16_MAX, &status)) {
        return false;
    }
    record->kind = (uint8_t)kind;
    record->flow = (uint32_t)flow;
    record->flags = (uint8_t)flags;
    record->lane = (uint8_t)lane;
    record->status = (uint16_t)status;
    return true;
}

/* Puts as many records of the message as the ring takes; returns the payload bytes that it took,
 * `total` + 1 when it took all of it. */
static uint64_t put_message(const struct crossing *self, struct te_record *record,
                            const uint8_t *payload) {
    const uint32_t total = record->total_bytes;
    const uint8_t flags = record->flags;
    uint32_t offset = 0;
    do {
        const uint32_t left = total - offset;
        record->offset_bytes = offset;
        record->size_bytes = left < TE_RECORD_PAYLOAD_MAX ? left : TE_RECORD_PAYLOAD_MAX;
        record->flags = flags;
        if (offset == 0) {
            record->flags |= TE_FIRST;
        }
        if (record->size_bytes == left) {
            record->flags |= TE_LAST;
        }
        if (engine.put(self->channel, record, payload + offset) <= 0) {
            return offset;
        }
        offset += record->size_bytes;
    } while (offset < total);
    return (uint64_t)total + 1;
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
        self->queue, "OOiIKKKiiiK", ticket, payload, (int)record->kind, (unsigned)record->flow,
        (unsigned long long)record->call_id, (unsigned long long)record->method_id,
        (unsigned long long)record->remaining_ns,
        (int)record->flags & ~(TE_FIRST | TE_LAST), (int)record->lane, (int)record->status,
        (unsigned long long)offset);
    Py_XDECREF(queued);
    return queued != NULL;
}

static bool post_bytes(struct crossing *self, PyObject *ticket, PyObject *payload,
                       struct te_record *record, const uint8_t *bytes, uint64_t size_bytes) {
    uint64_t taken = 0;
    if (!self->is_blocked && self->channel != NULL && size_bytes <= TE_MESSAGE_BYTES_MAX) {
        record->total_bytes = (uint32_t)size_bytes;
        taken = put_message(self, record, bytes);
        if (taken != 0) {
            engine.ring(self->channel);
        }
    }
    if (taken <= size_bytes) {
        return queue_rest(self, ticket, payload, record, taken);
    }
    if (Py_TYPE(ticket) == call_type && !note_progress(ticket, "sent")) {
        return false;
    }
    if (self->is_watched) {
        return true;
    }
    PyObject *roused = PyObject_CallObject(self->rouse, NULL);
    Py_XDECREF(roused);
    return roused != NULL;
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
        PyErr_SetString(PyExc_TypeError, "post takes ten arguments");
        return NULL;
    }
    if (!read_record(args, &record)
        || !post_message((struct crossing *)object, args[0], args[1], &record)) {
        return NULL;
    }
    Py_RETURN_NONE;
}
