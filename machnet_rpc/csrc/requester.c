/* Requester: begins the usual calls of one method: bytes, on a flow that has room.
 *
 * The same as Sending._begun in machnet_rpc/_sending.py, which is for whatever is not usual.
 */
#include <stddef.h>

#include "crossing.h"

struct requester {
    PyObject ob_base; /* PyObject_HEAD */
    struct how how;
    PyObject *fields;  /* of which `how` was read, and whose references it borrows */
    PyObject *current; /* CURRENT */
};

static PyTypeObject *requester_type;
static PyObject *name_deadline;
static PyObject *name_exchanger;
static PyObject *name_usable;

/* The flow by which a call can be sent at once; a new reference. NULL: none, or an exception. */
static struct flow *flow_for(PyObject *connection, Py_ssize_t size_bytes) {
    if (connection == Py_None) {
        return NULL;
    }
    PyObject *usable = PyObject_GetAttr(connection, name_usable);
    PyObject *flow = usable == Py_True ? PyObject_GetAttr(connection, name_exchanger) : NULL;
    Py_XDECREF(usable);
    if (flow == NULL || Py_TYPE(flow) != flow_type) {
        Py_XDECREF(flow);
        return NULL;
    }
    const struct flow *found = (const struct flow *)flow;
    if (found->crossing->is_blocked || (uint64_t)size_bytes > found->message_bytes_max) {
        Py_DECREF(flow);
        return NULL;
    }
    return (struct flow *)flow;
}

/* Of the handler that makes the call; INT64_MAX: of none. -1: an exception. */
static int64_t deadline_around(const struct requester *self) {
    PyObject *current = NULL;
    if (PyContextVar_Get(self->current, Py_None, &current) != 0) {
        return -1;
    }
    int64_t deadline_ns = INT64_MAX;
    if (current != Py_None) {
        PyObject *value = PyObject_GetAttr(current, name_deadline);
        deadline_ns = value == NULL ? -1 : PyLong_AsLongLong(value);
        Py_XDECREF(value);
    }
    Py_DECREF(current);
    return deadline_ns;
}

/* begin(connection, payload) -> OutgoingCall; None: something is not usual, and nothing was sent */
static PyObject *requester_begin(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    const struct requester *self = (const struct requester *)object;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "begin(connection, payload)");
        return NULL;
    }
    if (!PyBytes_CheckExact(args[1])) {
        Py_RETURN_NONE;
    }
    const int64_t around_ns = deadline_around(self);
    struct flow *flow = around_ns < 0 ? NULL : flow_for(args[0], PyBytes_Size(args[1]));
    if (flow == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    const int64_t now_ns = clock_ns();
    int64_t deadline_ns = now_ns + (int64_t)self->how.timeout_ns;
    deadline_ns = around_ns < deadline_ns ? around_ns : deadline_ns;
    PyObject *call = Py_None;
    if (deadline_ns > now_ns) {
        struct te_record record = {
            .kind = TE_REQUEST,
            .flow = flow->number,
            .method_id = self->how.method_id,
            .remaining_ns = (uint64_t)(deadline_ns - now_ns),
            .lane = (uint8_t)self->how.lane,
            .priority = (uint8_t)self->how.priority,
        };
        call = (PyObject *)flow_begin(flow, args[1], &record, deadline_ns, self->how.loop);
    } else {
        Py_INCREF(call);
    }
    Py_DECREF((PyObject *)flow);
    return call;
}

/* Requester((method_id, timeout_ns, lane, priority, loop, spin_ns), CURRENT) */
static PyObject *requester_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *fields;
    PyObject *current;
    struct how how;
    if ((kwargs != NULL && PyDict_Size(kwargs) != 0)
        || !PyArg_ParseTuple(args, "OO:Requester", &fields, &current) || !how_read(fields, &how)) {
        return NULL;
    }
    struct requester *self = (struct requester *)PyType_GenericAlloc(type, 0);
    if (self != NULL) {
        self->how = how;
        self->fields = Py_NewRef(fields);
        self->current = Py_NewRef(current);
    }
    return (PyObject *)self;
}

static int requester_traverse(PyObject *object, visitproc visit, void *arg) {
    struct requester *self = (struct requester *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->fields);
    Py_VISIT(self->current);
    return 0;
}

static void requester_dealloc(PyObject *object) {
    struct requester *self = (struct requester *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_CLEAR(self->fields);
    Py_CLEAR(self->current);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyMethodDef requester_methods[] = {
    {"begin", (PyCFunction)(void (*)(void))requester_begin, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot requester_slots[] = {
    {Py_tp_new, (void *)requester_new},
    {Py_tp_dealloc, (void *)requester_dealloc},
    {Py_tp_traverse, (void *)requester_traverse},
    {Py_tp_methods, requester_methods},
    {0, NULL},
};

static PyType_Spec requester_spec = {
    .name = "machnet_rpc._crossing.Requester",
    .basicsize = sizeof(struct requester),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = requester_slots,
};

int requester_register(PyObject *module) {
    name_deadline = PyUnicode_InternFromString("deadline_ns");
    name_exchanger = PyUnicode_InternFromString("exchanger");
    name_usable = PyUnicode_InternFromString("is_usable");
    if (name_deadline == NULL || name_exchanger == NULL || name_usable == NULL) {
        return -1;
    }
    requester_type = (PyTypeObject *)PyType_FromSpec(&requester_spec);
    return requester_type == NULL
               ? -1
               : PyModule_AddObjectRef(module, "Requester", (PyObject *)requester_type);
}
