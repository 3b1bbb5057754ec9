/* IncomingCall: a call that the peer made, and the step of a handler's coroutine.
 *
 * The same as the class in machnet_rpc/_protocol/calls.py, which says what its fields are.
 */
#include <stddef.h>

#include "crossing.h"

struct incoming {
    struct timed timed;
    uint64_t call_id;
    uint64_t method_id;
    PyObject *connection;
    PyObject *binding;
    PyObject *task;
    char answered;
};

static PyTypeObject *incoming_type;
static PyObject *enter_task;
static PyObject *leave_task;

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
    struct incoming *self = (struct incoming *)PyType_GenericAlloc(type, 0);
    if (self != NULL) {
        self->call_id = call_id;
        self->method_id = method_id;
        self->timed.deadline_ns = deadline_ns;
        self->connection = Py_NewRef(PyTuple_GetItem(args, 3));
        self->binding = Py_NewRef(Py_None);
        self->task = Py_NewRef(Py_None);
    }
    return (PyObject *)self;
}

static int incoming_traverse(PyObject *object, visitproc visit, void *arg) {
    struct incoming *self = (struct incoming *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->connection);
    Py_VISIT(self->binding);
    Py_VISIT(self->task);
    return 0;
}

static int incoming_clear(PyObject *object) {
    struct incoming *self = (struct incoming *)object;
    Py_CLEAR(self->connection);
    Py_CLEAR(self->binding);
    Py_CLEAR(self->task);
    return 0;
}

static void incoming_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    incoming_clear(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyMemberDef incoming_members[] = {
    {"call_id", T_ULONGLONG, offsetof(struct incoming, call_id), 0, NULL},
    {"method_id", T_ULONGLONG, offsetof(struct incoming, method_id), 0, NULL},
    {"connection", T_OBJECT, offsetof(struct incoming, connection), 0, NULL},
    {"binding", T_OBJECT, offsetof(struct incoming, binding), 0, NULL},
    {"task", T_OBJECT, offsetof(struct incoming, task), 0, NULL},
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

/* step(loop, task, coroutine) -> (True, what it returned) or (False, what it waits for). The task
 * is the current one meanwhile. */
PyObject *coroutine_step(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "step(loop, task, coroutine)");
        return NULL;
    }
    PyObject *entered = PyObject_CallFunctionObjArgs(enter_task, args[0], args[1], NULL);
    if (entered == NULL) {
        return NULL;
    }
    Py_DECREF(entered);
    PyObject *result = NULL;
    const PySendResult sent = PyIter_Send(args[2], Py_None, &result);
    PyObject *type = NULL;
    PyObject *value = NULL;
    PyObject *trace = NULL;
    if (sent == PYGEN_ERROR) {
        PyErr_Fetch(&type, &value, &trace);
    }
    PyObject *left = PyObject_CallFunctionObjArgs(leave_task, args[0], args[1], NULL);
    if (sent == PYGEN_ERROR) {
        Py_XDECREF(left);
        PyErr_Restore(type, value, trace); /* in place of one of leave_task */
        return NULL;
    }
    PyObject *pair = left == NULL
                         ? NULL
                         : PyTuple_Pack(2, sent == PYGEN_RETURN ? Py_True : Py_False, result);
    Py_XDECREF(left);
    Py_DECREF(result);
    return pair;
}

int incoming_register(PyObject *module) {
    enter_task = imported("asyncio.tasks", "_enter_task");
    leave_task = imported("asyncio.tasks", "_leave_task");
    PyObject *bases = PyTuple_Pack(1, (PyObject *)timed_type);
    if (enter_task == NULL || leave_task == NULL || bases == NULL) {
        return -1;
    }
    incoming_type = (PyTypeObject *)PyType_FromSpecWithBases(&incoming_spec, bases);
    Py_DECREF(bases);
    return incoming_type == NULL
               ? -1
               : PyModule_AddObjectRef(module, "IncomingCall", (PyObject *)incoming_type);
}
