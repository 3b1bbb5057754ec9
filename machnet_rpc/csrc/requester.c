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
    PyObject *keeper;  /* whose `connection` it is by, or None */
    PyObject *running_loop; /* asyncio's function */
};

static PyTypeObject *requester_type;
static PyObject *name_connection;
static PyObject *name_deadline;
static PyObject *name_exchanger;
static PyObject *name_usable;
static PyObject *name_noted;

/* What asyncio noted for the thread that asked last, and the loop that ran there, which it holds;
 * or NULL. Not one for each requester: the collector cannot see that a note holds a loop. */
static PyObject *seen;
static PyObject *seen_loop;

/* Whether the loop of `how` runs here; -1: an exception.
 *
 * asyncio before 3.14 notes what runs in the thread's dictionary, and anew whenever that changes;
 * where the note is the one seen before, it need not be asked, which may cost a system call.
 */
static int runs_here(const struct requester *self) {
    PyObject *thread = PyThreadState_GetDict(); /* borrowed, as what is in it */
    PyObject *noted = thread == NULL ? NULL : PyDict_GetItemWithError(thread, name_noted);
    if (noted != NULL && noted == seen) {
        return seen_loop == self->how.loop;
    }
    Py_XINCREF(noted);
    PyObject *loop = PyErr_Occurred() ? NULL : PyObject_CallNoArgs(self->running_loop);
    const int is_own = loop == NULL ? -1 : loop == self->how.loop;
    if (is_own > 0) {
        seen_loop = loop;
        slot_set(&seen, Py_XNewRef(noted));
    }
    Py_XDECREF(loop);
    Py_XDECREF(noted);
    return is_own;
}

/* The flow by which a call can be sent at once; a new reference. NULL: none, or an exception. */
static struct flow *flow_for(PyObject *keeper, Py_ssize_t size_bytes) {
    PyObject *connection = PyObject_GetAttr(keeper, name_connection);
    PyObject *usable = NULL;
    PyObject *flow = NULL;
    if (connection != NULL && connection != Py_None) {
        usable = PyObject_GetAttr(connection, name_usable);
        flow = usable == Py_True ? PyObject_GetAttr(connection, name_exchanger) : NULL;
    }
    Py_XDECREF(usable);
    Py_XDECREF(connection);
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

/* begin(payload) -> OutgoingCall; None: something is not usual, and nothing was sent */
static PyObject *requester_begin(PyObject *object, PyObject *payload) {
    struct requester *self = (struct requester *)object;
    const int is_here = PyBytes_CheckExact(payload) ? runs_here(self) : 0;
    if (is_here <= 0) {
        return is_here < 0 ? NULL : Py_NewRef(Py_None);
    }
    const int64_t around_ns = deadline_around(self);
    struct flow *flow = around_ns < 0 ? NULL : flow_for(self->keeper, PyBytes_Size(payload));
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
        call = (PyObject *)flow_begin(flow, payload, &record, deadline_ns, self->how.loop);
    } else {
        Py_INCREF(call);
    }
    Py_DECREF((PyObject *)flow);
    return call;
}

/* Requester((method_id, timeout_ns, lane, priority, loop, spin_ns), CURRENT, keeper,
 * running_loop) */
static PyObject *requester_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *fields;
    PyObject *current;
    PyObject *keeper;
    PyObject *running_loop;
    struct how how;
    if ((kwargs != NULL && PyDict_Size(kwargs) != 0)
        || !PyArg_ParseTuple(args, "OOOO:Requester", &fields, &current, &keeper,
                             &running_loop)
        || !how_read(fields, &how)) {
        return NULL;
    }
    struct requester *self = (struct requester *)PyType_GenericAlloc(type, 0);
    if (self != NULL) {
        self->how = how;
        self->fields = Py_NewRef(fields);
        self->current = Py_NewRef(current);
        self->keeper = Py_NewRef(keeper);
        self->running_loop = Py_NewRef(running_loop);
    }
    return (PyObject *)self;
}

static int requester_traverse(PyObject *object, visitproc visit, void *arg) {
    struct requester *self = (struct requester *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->fields);
    Py_VISIT(self->current);
    Py_VISIT(self->keeper);
    Py_VISIT(self->running_loop);
    return 0;
}

static void requester_dealloc(PyObject *object) {
    struct requester *self = (struct requester *)object;
    PyObject_GC_UnTrack(object);
    Py_CLEAR(self->fields);
    Py_CLEAR(self->current);
    Py_CLEAR(self->keeper);
    Py_CLEAR(self->running_loop);
    object_free(object);
}

static PyMethodDef requester_methods[] = {
    {"begin", requester_begin, METH_O, NULL},
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
    name_connection = PyUnicode_InternFromString("connection");
    name_deadline = PyUnicode_InternFromString("deadline_ns");
    name_exchanger = PyUnicode_InternFromString("exchanger");
    name_usable = PyUnicode_InternFromString("is_usable");
    name_noted = PyUnicode_InternFromString("__asyncio_running_event_loop__");
    if (name_connection == NULL || name_deadline == NULL || name_exchanger == NULL
        || name_usable == NULL || name_noted == NULL) {
        return -1;
    }
    requester_type = (PyTypeObject *)PyType_FromSpec(&requester_spec);
    return requester_type == NULL ? -1 : PyModule_AddType(module, requester_type);
}
