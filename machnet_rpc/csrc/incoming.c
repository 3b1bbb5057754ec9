/* IncomingCall: a call that the peer made.
 *
 * The same as the class in machnet_rpc/_protocol/calls.py, which says what its fields are.
 */
#include <stddef.h>

#include "crossing.h"

PyTypeObject *incoming_type;

struct incoming *incoming_make(uint64_t call_id, uint64_t method_id, int64_t deadline_ns,
                               PyObject *connection) {
    struct incoming *self = (struct incoming *)PyType_GenericAlloc(incoming_type, 0);
    if (self != NULL) {
        self->call_id = call_id;
        self->method_id = method_id;
        self->timed.deadline_ns = deadline_ns;
        self->priority = TE_PRIORITY_USUAL;
        self->connection = Py_NewRef(connection);
    }
    return self;
}

static PyObject *incoming_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    if ((kwargs != NULL && PyDict_Size(kwargs) != 0) || PyTuple_Size(args) != 4) {
        PyErr_SetString(PyExc_TypeError,
                        "IncomingCall(call_id, method_id, deadline_ns, connection)");
        return NULL;
    }
    const unsigned long long call_id = PyLong_AsUnsignedLongLong(PyTuple_GetItem(args, 0));
    const unsigned long long method_id = PyLong_AsUnsignedLongLong(PyTuple_GetItem(args, 1));
    const long long deadline_ns = PyLong_AsLongLong(PyTuple_GetItem(args, 2));
    if (PyErr_Occurred()) {
        return NULL;
    }
    (void)type; /* it cannot be subclassed */
    return (PyObject *)incoming_make(call_id, method_id, deadline_ns, PyTuple_GetItem(args, 3));
}

static int incoming_traverse(PyObject *object, visitproc visit, void *arg) {
    struct incoming *self = (struct incoming *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->connection);
    Py_VISIT(self->binding);
    Py_VISIT(self->task);
    Py_VISIT(self->tally);
    Py_VISIT(self->metadata);
    Py_VISIT((PyObject *)self->flow);
    return 0;
}

static int incoming_clear(PyObject *object) {
    struct incoming *self = (struct incoming *)object;
    Py_CLEAR(self->connection);
    Py_CLEAR(self->binding);
    Py_CLEAR(self->task);
    Py_CLEAR(self->tally);
    Py_CLEAR(self->metadata);
    PyObject *flow = (PyObject *)self->flow;
    self->flow = NULL;
    Py_XDECREF(flow);
    return 0;
}

static void incoming_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    incoming_clear(object);
    object_free(object);
}

static PyMemberDef incoming_members[] = {
    {"call_id", T_ULONGLONG, offsetof(struct incoming, call_id), 0, NULL},
    {"method_id", T_ULONGLONG, offsetof(struct incoming, method_id), 0, NULL},
    {"connection", T_OBJECT, offsetof(struct incoming, connection), 0, NULL},
    {"binding", T_OBJECT, offsetof(struct incoming, binding), 0, NULL},
    {"task", T_OBJECT, offsetof(struct incoming, task), 0, NULL},
    {"tally", T_OBJECT, offsetof(struct incoming, tally), 0, NULL},
    {"taken_ns", T_LONGLONG, offsetof(struct incoming, taken_ns), 0, NULL},
    {"priority", T_UBYTE, offsetof(struct incoming, priority), 0, NULL},
    {"metadata", T_OBJECT, offsetof(struct incoming, metadata), 0, NULL},
    {"answered", T_BOOL, offsetof(struct incoming, answered), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot incoming_slots[] = {
    {Py_tp_new, (void *)incoming_new},
    {Py_tp_dealloc, (void *)incoming_dealloc},
    {Py_tp_traverse, (void *)incoming_traverse},
    {Py_tp_clear, (void *)incoming_clear},
    {Py_tp_members, incoming_members},
    {0, NULL},
};

static PyType_Spec incoming_spec = {
    .name = "machnet_rpc._crossing.IncomingCall",
    .basicsize = sizeof(struct incoming),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = incoming_slots,
};

int incoming_register(PyObject *module) {
    incoming_type =
        (PyTypeObject *)PyType_FromSpecWithBases(&incoming_spec, (PyObject *)timed_type);
    return incoming_type == NULL ? -1 : PyModule_AddType(module, incoming_type);
}
