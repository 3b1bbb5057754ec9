/* Messages into a ring: from where they lie, while nothing is queued before them and there is room.
 *
 * What does not fit goes to the queue in Python, whose turn it is then until it is empty.
 */
#include <string.h>

#include "crossing.h"

enum { POST_ARGUMENTS = 10 };

static bool read_uint64(PyObject *number, uint64_t max, uint64_t *value) {
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

static PyObject *queue_rest(struct crossing *self, PyObject *const *args, uint64_t offset) {
    PyObject *all[POST_ARGUMENTS + 1];
    PyObject *at = PyLong_FromUnsignedLongLong(offset);
    if (at == NULL || (offset != 0 && !note_progress(args[0], "started"))) {
        Py_XDECREF(at);
        return NULL;
    }
    memcpy(all, args, POST_ARGUMENTS * sizeof *args);
    all[POST_ARGUMENTS] = at;
    PyObject *tuple = PyTuple_New(POST_ARGUMENTS + 1);
    for (Py_ssize_t i = 0; tuple != NULL && i <= POST_ARGUMENTS; i++) {
        PyTuple_SetItem(tuple, i, Py_NewRef(all[i]));
    }
    PyObject *queued = tuple == NULL ? NULL : PyObject_CallObject(self->queue, tuple);
    Py_XDECREF(tuple);
    Py_DECREF(at);
    self->is_blocked = 1;
    return queued;
}

static PyObject *post_payload(struct crossing *self, PyObject *const *args, const uint8_t *payload,
                              uint64_t size_bytes) {
    struct te_record record = {0};
    uint64_t taken = 0;
    if (!read_record(args, &record)) {
        return NULL;
    }
    if (!self->is_blocked && self->channel != NULL && size_bytes <= TE_MESSAGE_BYTES_MAX) {
        record.total_bytes = (uint32_t)size_bytes;
        taken = put_message(self, &record, payload);
        if (taken != 0) {
            engine.ring(self->channel);
        }
    }
    if (taken <= size_bytes) {
        return queue_rest(self, args, taken);
    }
    if (Py_TYPE(args[0]) == call_type && !note_progress(args[0], "sent")) {
        return NULL;
    }
    return self->is_watched ? Py_NewRef(Py_None) : PyObject_CallObject(self->rouse, NULL);
}

PyObject *crossing_post(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct crossing *self = (struct crossing *)object;
    if (count != POST_ARGUMENTS) {
        PyErr_SetString(PyExc_TypeError, "post takes ten arguments");
        return NULL;
    }
    if (PyBytes_CheckExact(args[1])) {
        char *bytes;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(args[1], &bytes, &size) != 0) {
            return NULL;
        }
        return post_payload(self, args, (const uint8_t *)bytes, (uint64_t)size);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(args[1], &view, PyBUF_SIMPLE) != 0) {
        return NULL;
    }
    PyObject *done = post_payload(self, args, view.buf, (uint64_t)view.len);
    PyBuffer_Release(&view);
    return done;
}

