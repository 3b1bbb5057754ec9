/* OutgoingCall: a call that was made here; whoever made it awaits it.
 *
 * The same as the class in machnet_rpc/_protocol/calls.py. A task that awaits it is resumed right
 * where the reply is taken from the ring, without a trip through the event loop; for that it
 * answers to the protocol that asyncio's tasks have with what they wait for.
 * Source: asyncio/futures.py and asyncio/tasks.py of Python 3.11, _asyncio_future_blocking
 */
#include <stddef.h>

#include "crossing.h"

PyTypeObject *call_type;

static PyObject *name_call_exception_handler;
static PyObject *name_call_soon;
static PyObject *name_context; /* ("context",) */
static PyObject *cancelled_error;
static PyObject *copy_context;

struct call *call_make(uint64_t method_id, int64_t deadline_ns, PyObject *loop) {
    struct call *self = (struct call *)PyType_GenericAlloc(call_type, 0);
    if (self != NULL) {
        self->method_id = method_id;
        self->timed.deadline_ns = deadline_ns;
        self->priority = TE_PRIORITY_USUAL;
        self->loop = Py_NewRef(loop);
        self->connection = Py_NewRef(Py_None);
    }
    return self;
}

static PyObject *call_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    if ((kwargs != NULL && PyDict_Size(kwargs) != 0) || PyTuple_Size(args) != 3) {
        PyErr_SetString(PyExc_TypeError, "OutgoingCall(method_id, deadline_ns, loop)");
        return NULL;
    }
    const unsigned long long method_id = PyLong_AsUnsignedLongLong(PyTuple_GetItem(args, 0));
    const long long deadline_ns = PyLong_AsLongLong(PyTuple_GetItem(args, 1));
    PyObject *loop = PyTuple_GetItem(args, 2);
    if (PyErr_Occurred()) {
        return NULL;
    }
    (void)type; /* it cannot be subclassed */
    return (PyObject *)call_make(method_id, deadline_ns, loop);
}

static int call_traverse(PyObject *object, visitproc visit, void *arg) {
    struct call *self = (struct call *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->connection);
    Py_VISIT(self->loop);
    Py_VISIT(self->wakeup);
    Py_VISIT(self->context);
    Py_VISIT(self->result);
    return 0;
}

static int call_clear(PyObject *object) {
    struct call *self = (struct call *)object;
    Py_CLEAR(self->connection);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->wakeup);
    Py_CLEAR(self->context);
    Py_CLEAR(self->result);
    return 0;
}

static void call_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    call_clear(object);
    object_free(object);
}

void call_end(struct call *call, PyObject *result) {
    if (call->state == CALL_WAITS) {
        call->state = CALL_ENDED;
        Py_INCREF(result);
        slot_set(&call->result, result);
    }
}

/* loop.call_soon(wakeup, call, context=context) */
static bool wake_soon(struct call *call, PyObject *wakeup, PyObject *context) {
    PyObject *call_soon = PyObject_GetAttr(call->loop, name_call_soon);
    PyObject *args = PyTuple_Pack(2, wakeup, (PyObject *)call);
    PyObject *kwargs = context == Py_None ? NULL : Py_BuildValue("{OO}", name_context, context);
    PyObject *done = NULL;
    if (call_soon != NULL && args != NULL && !PyErr_Occurred()) {
        done = PyObject_Call(call_soon, args, kwargs);
    }
    Py_XDECREF(call_soon);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    Py_XDECREF(done);
    return done != NULL;
}

bool call_wake_soon(struct call *call) {
    PyObject *wakeup = call->wakeup;
    PyObject *context = call->context;
    if (wakeup == NULL) {
        return true;
    }
    call->wakeup = NULL;
    call->context = NULL;
    const bool is_done = wake_soon(call, wakeup, context);
    Py_DECREF(wakeup);
    Py_DECREF(context);
    return is_done;
}

/* What an awaiter raised concerns nobody else: the loop tells of it, as of any callback. False: it
 * ends the process. */
static bool tell_loop(const struct call *call) {
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return false;
    }
    PyObject *error = caught();
    PyObject *context = Py_BuildValue("{sssO}", "message", "an exception in who awaits a call",
                                      "exception", error);
    const bool is_told = context != NULL
                         && told(call->loop, name_call_exception_handler, context, NULL);
    Py_XDECREF(context);
    Py_DECREF(error);
    return is_told;
}

bool call_wake(struct call *call) {
    PyObject *wakeup = call->wakeup;
    PyObject *context = call->context;
    if (wakeup == NULL) {
        return true;
    }
    if (PyContext_Enter(context) != 0) {
        PyErr_Clear(); /* whoever runs in it gives it back to the loop */
        return call_wake_soon(call);
    }
    call->wakeup = NULL;
    call->context = NULL;
    PyObject *done = PyObject_CallFunctionObjArgs(wakeup, call, NULL);
    const bool is_well = done != NULL || tell_loop(call);
    const bool has_left = PyContext_Exit(context) == 0;
    Py_DECREF(wakeup);
    Py_DECREF(context);
    Py_XDECREF(done);
    return is_well && has_left;
}

static PyObject *call_complete(PyObject *object, PyObject *result) {
    struct call *self = (struct call *)object;
    call_end(self, result);
    return call_wake_soon(self) ? Py_NewRef(Py_None) : NULL;
}

static PyObject *call_result(PyObject *object, PyObject *unused) {
    (void)unused;
    struct call *self = (struct call *)object;
    PyObject *error;
    switch (self->state) {
    case CALL_ENDED:
        return Py_NewRef(self->result);
    case CALL_CANCELLED: /* with the message as it is, which PyErr_SetObject would take apart */
        error = PyObject_CallFunctionObjArgs(
            cancelled_error, self->result == Py_None ? NULL : self->result, NULL);
        if (error != NULL) {
            PyErr_SetObject(cancelled_error, error);
            Py_DECREF(error);
        }
        return NULL;
    case CALL_WAITS:
    default:
        PyErr_SetString(PyExc_RuntimeError, "the call has not ended");
        return NULL;
    }
}

static PyObject *call_cancel(PyObject *object, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"msg", NULL};
    struct call *self = (struct call *)object;
    PyObject *message = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:cancel", names, &message)) {
        return NULL;
    }
    self->blocking = 0;
    if (self->state != CALL_WAITS) {
        Py_RETURN_FALSE;
    }
    self->state = CALL_CANCELLED;
    Py_INCREF(message);
    slot_set(&self->result, message);
    return call_wake_soon(self) ? Py_NewRef(Py_True) : NULL;
}

static PyObject *call_add_done_callback(PyObject *object, PyObject *const *args, Py_ssize_t count,
                                        PyObject *names) {
    struct call *self = (struct call *)object;
    const Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
    if (count != 1 || named > 1
        || (named == 1
            && PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0), "context") != 0)) {
        PyErr_SetString(PyExc_TypeError, "add_done_callback(callback, *, context=None)");
        return NULL;
    }
    PyObject *wakeup = args[0];
    PyObject *context = named == 1 ? args[1] : NULL;
    PyObject *into = context == NULL || context == Py_None
                         ? PyObject_CallObject(copy_context, NULL) /* or a collection before it */
                         : Py_NewRef(context);
    if (into == NULL) {
        return NULL;
    }
    if (self->wakeup != NULL) {
        Py_DECREF(into);
        PyErr_SetString(PyExc_RuntimeError, "a call is awaited once");
        return NULL;
    }
    self->wakeup = Py_NewRef(wakeup);
    self->context = into;
    if (self->state != CALL_WAITS && !call_wake_soon(self)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *call_remove_done_callback(PyObject *object, PyObject *wakeup) {
    struct call *self = (struct call *)object;
    if (self->wakeup == NULL) {
        return PyLong_FromLong(0);
    }
    PyObject *own = Py_NewRef(self->wakeup); /* who compares may end the call */
    const int is_same = PyObject_RichCompareBool(own, wakeup, Py_EQ);
    if (is_same > 0 && self->wakeup == own) {
        PyObject *context = self->context;
        self->wakeup = self->context = NULL; /* both, before anything is freed */
        Py_DECREF(own);
        Py_XDECREF(context);
    }
    Py_DECREF(own);
    return is_same < 0 ? NULL : PyLong_FromLong(is_same);
}

static PyObject *call_done(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(((struct call *)object)->state != CALL_WAITS);
}

static PyObject *call_cancelled(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(((struct call *)object)->state == CALL_CANCELLED);
}

static PyObject *call_get_loop(PyObject *object, PyObject *unused) {
    (void)unused;
    return Py_NewRef(((struct call *)object)->loop);
}

static PyObject *call_await(PyObject *object) {
    return Py_NewRef(object);
}

static PySendResult call_send(PyObject *object, PyObject *value, PyObject **result) {
    (void)value;
    struct call *self = (struct call *)object;
    if (self->state == CALL_WAITS) {
        self->blocking = 1;
        *result = Py_NewRef(object);
        return PYGEN_NEXT;
    }
    *result = call_result(object, NULL);
    return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

static PyObject *call_next(PyObject *object) {
    PyObject *result = NULL;
    const PySendResult sent = call_send(object, Py_None, &result);
    if (sent == PYGEN_RETURN) {
        PyObject *stop = PyObject_CallFunctionObjArgs(PyExc_StopIteration, result, NULL);
        if (stop != NULL) {
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *call_executed(PyObject *object, void *unused) {
    (void)unused;
    const struct call *self = (const struct call *)object;
    if (self->heard == HEARD_STARTED) {
        return PyUnicode_FromString("yes");
    }
    const bool may_be = self->heard != HEARD_NEVER && (self->started || self->sent);
    return PyUnicode_FromString(may_be ? "maybe" : "no");
}

static PyObject *call_stage(PyObject *object, void *unused) {
    (void)unused;
    const struct call *self = (const struct call *)object;
    if (self->heard == HEARD_STARTED || self->heard == HEARD_TAKEN) {
        return PyUnicode_FromString(self->heard == HEARD_TAKEN ? "taken" : "handler started");
    }
    return PyUnicode_FromString(self->sent ? "sent" : "local ring");
}

static PyMemberDef call_members[] = {
    {"call_id", T_ULONGLONG, offsetof(struct call, call_id), 0, NULL},
    {"method_id", T_ULONGLONG, offsetof(struct call, method_id), 0, NULL},
    {"connection", T_OBJECT, offsetof(struct call, connection), 0, NULL},
    {"priority", T_UBYTE, offsetof(struct call, priority), 0, NULL},
    {"gone", T_BOOL, offsetof(struct call, gone), 0, NULL},
    {"started", T_BOOL, offsetof(struct call, started), 0, NULL},
    {"sent", T_BOOL, offsetof(struct call, sent), 0, NULL},
    {"heard", T_BYTE, offsetof(struct call, heard), 0, NULL},
    {"_asyncio_future_blocking", T_BOOL, offsetof(struct call, blocking), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef call_properties[] = {
    {"executed", call_executed, NULL, NULL, NULL},
    {"stage", call_stage, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef call_methods[] = {
    {"complete", call_complete, METH_O, NULL},
    {"result", call_result, METH_NOARGS, NULL},
    {"cancel", (PyCFunction)(void (*)(void))call_cancel, METH_VARARGS | METH_KEYWORDS, NULL},
    {"add_done_callback", (PyCFunction)(void (*)(void))call_add_done_callback,
     METH_FASTCALL | METH_KEYWORDS, NULL},
    {"remove_done_callback", call_remove_done_callback, METH_O, NULL},
    {"done", call_done, METH_NOARGS, NULL},
    {"cancelled", call_cancelled, METH_NOARGS, NULL},
    {"get_loop", call_get_loop, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_new, (void *)call_new},
    {Py_tp_dealloc, (void *)call_dealloc},
    {Py_tp_traverse, (void *)call_traverse},
    {Py_tp_clear, (void *)call_clear},
    {Py_tp_members, call_members},
    {Py_tp_getset, call_properties},
    {Py_tp_methods, call_methods},
    {Py_tp_iter, (void *)call_await},
    {Py_tp_iternext, (void *)call_next},
    {Py_am_await, (void *)call_await},
    {Py_am_send, (void *)call_send},
    {0, NULL},
};

static PyType_Spec call_spec = {
    .name = "machnet_rpc._crossing.OutgoingCall",
    .basicsize = sizeof(struct call),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = call_slots,
};

PyObject *imported(const char *module_name, const char *name) {
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *object = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    Py_XDECREF(module);
    return object;
}

int call_register(PyObject *module) {
    name_call_exception_handler = PyUnicode_InternFromString("call_exception_handler");
    name_call_soon = PyUnicode_InternFromString("call_soon");
    name_context = PyUnicode_InternFromString("context");
    cancelled_error = imported("asyncio.exceptions", "CancelledError");
    copy_context = imported("contextvars", "copy_context");
    if (name_call_exception_handler == NULL || name_call_soon == NULL || name_context == NULL
        || cancelled_error == NULL || copy_context == NULL) {
        return -1;
    }
    call_type = (PyTypeObject *)PyType_FromSpecWithBases(&call_spec, (PyObject *)timed_type);
    return call_type == NULL ? -1 : PyModule_AddType(module, call_type);
}
