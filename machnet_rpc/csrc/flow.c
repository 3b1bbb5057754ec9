/* Flow: the half of a Connection that makes calls, in one step from arguments to the ring.
 *
 * The same as Connection.request in machnet_rpc/_protocol/connection.py. Its calls have ids of
 * their own, beyond those that Python gives.
 */
#include <stddef.h>

#include "crossing.h"

enum { REQUEST_ARGUMENTS = 6 };

struct flow {
    PyObject ob_base; /* PyObject_HEAD */
    struct crossing *crossing;
    PyObject *connection;
    PyObject *awaited;
    PyObject *deadlines;
    uint64_t last_call_id;
    uint32_t number;
};

static PyTypeObject *flow_type;

static PyObject *flow_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *crossing;
    PyObject *connection;
    PyObject *awaited;
    PyObject *deadlines;
    unsigned number;
    if ((kwargs != NULL && PyDict_Size(kwargs) != 0)
        || !PyArg_ParseTuple(args, "O!IOO!O!:Flow", crossing_type, &crossing, &number, &connection,
                             &PyDict_Type, &awaited, deadlines_type, &deadlines)) {
        return NULL;
    }
    struct flow *self = (struct flow *)PyType_GenericAlloc(type, 0);
    if (self != NULL) {
        self->crossing = (struct crossing *)Py_NewRef(crossing);
        self->connection = Py_NewRef(connection);
        self->awaited = Py_NewRef(awaited);
        self->deadlines = Py_NewRef(deadlines);
        self->number = number;
        self->last_call_id = UINT64_C(1) << 32;
    }
    return (PyObject *)self;
}

static int flow_traverse(PyObject *object, visitproc visit, void *arg) {
    struct flow *self = (struct flow *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT((PyObject *)self->crossing);
    Py_VISIT(self->connection);
    Py_VISIT(self->awaited);
    Py_VISIT(self->deadlines);
    return 0;
}

static int flow_clear(PyObject *object) {
    struct flow *self = (struct flow *)object;
    PyObject *crossing = (PyObject *)self->crossing;
    self->crossing = NULL;
    Py_XDECREF(crossing);
    Py_CLEAR(self->connection);
    Py_CLEAR(self->awaited);
    Py_CLEAR(self->deadlines);
    return 0;
}

static void flow_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    flow_clear(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

/* Notes the call where its answer and its deadline will find it. */
static bool note_call(const struct flow *self, struct call *call) {
    PyObject *call_id = PyLong_FromUnsignedLongLong(call->call_id);
    bool is_noted = call_id != NULL
                    && PyDict_SetItem(self->awaited, call_id, (PyObject *)call) == 0;
    if (is_noted && !deadlines_start(self->deadlines, &call->timed)) {
        PyDict_DelItem(self->awaited, call_id);
        is_noted = false;
    }
    Py_XDECREF(call_id);
    return is_noted;
}

/* request(payload, method_id, deadline_ns, now_ns, lane, loop) -> OutgoingCall */
static PyObject *flow_request(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct flow *self = (struct flow *)object;
    struct te_record record = {.kind = TE_REQUEST, .flow = self->number};
    uint64_t deadline_ns;
    uint64_t now_ns;
    uint64_t lane;
    if (count != REQUEST_ARGUMENTS) {
        PyErr_SetString(PyExc_TypeError, "request takes six arguments");
        return NULL;
    }
    if (!read_uint64(args[1], UINT64_MAX, &record.method_id)
        || !read_uint64(args[2], INT64_MAX, &deadline_ns)
        || !read_uint64(args[3], INT64_MAX, &now_ns) || !read_uint64(args[4], UINT8_MAX, &lane)) {
        return NULL;
    }
    struct call *call = call_make(record.method_id, (int64_t)deadline_ns, args[5]);
    if (call == NULL) {
        return NULL;
    }
    call->call_id = ++self->last_call_id;
    slot_set(&call->connection, Py_NewRef(self->connection));
    record.call_id = call->call_id;
    record.remaining_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 1;
    record.lane = (uint8_t)lane;
    if (!note_call(self, call)
        || !post_message(self->crossing, (PyObject *)call, args[0], &record)) {
        Py_DECREF((PyObject *)call);
        return NULL;
    }
    return (PyObject *)call;
}

static PyMethodDef flow_methods[] = {
    {"request", (PyCFunction)(void (*)(void))flow_request, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot flow_slots[] = {
    {Py_tp_new, (void *)flow_new},
    {Py_tp_dealloc, (void *)flow_dealloc},
    {Py_tp_traverse, (void *)flow_traverse},
    {Py_tp_clear, (void *)flow_clear},
    {Py_tp_methods, flow_methods},
    {0, NULL},
};

static PyType_Spec flow_spec = {
    .name = "machnet_rpc._crossing.Flow",
    .basicsize = sizeof(struct flow),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = flow_slots,
};

int flow_register(PyObject *module) {
    flow_type = (PyTypeObject *)PyType_FromSpec(&flow_spec);
    return flow_type == NULL ? -1 : PyModule_AddObjectRef(module, "Flow", (PyObject *)flow_type);
}
