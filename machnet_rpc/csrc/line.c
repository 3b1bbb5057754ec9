/* Line and Caller: calls of threads that have no event loop, without a step in Python between.
 *
 * A Line is open while nobody is inside of its client: then it has the flow by which calls go.
 * Whoever enters takes it away first, and puts it back, with the GIL held; so what is done here
 * without giving the GIL up needs no lock. All that is not usual is for the Python object behind a
 * Caller (machnet_rpc/sync.py).
 */
#include <stddef.h>

#include "crossing.h"

#ifndef Py_TPFLAGS_HAVE_VECTORCALL /* in the stable ABI from Python 3.12 on, the same since 3.9 */
#define Py_TPFLAGS_HAVE_VECTORCALL (1UL << 11)
#endif
typedef PyObject *(*call_function)(PyObject *, PyObject *const *, size_t, PyObject *);

struct line {
    PyObject ob_base;       /* PyObject_HEAD */
    PyObject *flow;         /* a `struct flow`; NULL: it is closed */
    PyObject *running_loop; /* asyncio's function */
    PyObject *current;      /* CURRENT */
};

struct caller {
    PyObject ob_base; /* PyObject_HEAD */
    call_function call;
    struct line *line;
    PyObject *fields; /* of which `how` was read */
    struct how how;
    PyObject *finish;   /* finish(call, spin_ns) waits for a call that takes longer */
    PyObject *give_up;  /* give_up(call): nobody waits for it any more */
    PyObject *method;   /* called for whatever is not usual; None where it only exchanges */
    PyObject *given;    /* given(payload, answer) -> what `method` would return */
    char takes_bytes;
    char gives_bytes;
};

static PyTypeObject *line_type;
static PyTypeObject *caller_type;

static PyObject *line_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *running_loop;
    PyObject *current;
    if ((kwargs != NULL && PyDict_Size(kwargs) != 0)
        || !PyArg_ParseTuple(args, "OO:Line", &running_loop, &current)) {
        return NULL;
    }
    struct line *self = (struct line *)PyType_GenericAlloc(type, 0);
    if (self != NULL) {
        self->running_loop = Py_NewRef(running_loop);
        self->current = Py_NewRef(current);
    }
    return (PyObject *)self;
}

static int line_traverse(PyObject *object, visitproc visit, void *arg) {
    struct line *self = (struct line *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->flow);
    Py_VISIT(self->running_loop);
    Py_VISIT(self->current);
    return 0;
}

static int line_clear(PyObject *object) {
    struct line *self = (struct line *)object;
    Py_CLEAR(self->flow);
    Py_CLEAR(self->running_loop);
    Py_CLEAR(self->current);
    return 0;
}

static void line_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    line_clear(object);
    object_free(object);
}

/* open(flow): calls go by it from now on */
static PyObject *line_open(PyObject *object, PyObject *flow) {
    if (Py_TYPE(flow) != flow_type) {
        PyErr_SetString(PyExc_TypeError, "open(flow)");
        return NULL;
    }
    slot_set(&((struct line *)object)->flow, Py_NewRef(flow));
    Py_RETURN_NONE;
}

/* close(): none go */
static PyObject *line_close(PyObject *object, PyObject *unused) {
    (void)unused;
    slot_set(&((struct line *)object)->flow, NULL);
    Py_RETURN_NONE;
}

/* Whether this thread may call, and has no deadline but the call's own; -1: an exception. */
static int is_free(const struct line *self) {
    PyObject *current = NULL;
    PyObject *loop = PyObject_Vectorcall(self->running_loop, NULL, 0, NULL);
    if (loop == NULL || PyContextVar_Get(self->current, Py_None, &current) != 0) {
        Py_XDECREF(loop);
        return -1;
    }
    const int is_free = loop == Py_None && current == Py_None;
    Py_DECREF(loop);
    Py_XDECREF(current);
    return is_free;
}

/* Other threads may be inside by now, which `give_up` minds. */
static void give_up(const struct caller *self, PyObject *call) {
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyObject *done = PyObject_CallFunctionObjArgs(self->give_up, call, NULL);
    Py_XDECREF(done);
    PyErr_Restore(type, value, trace); /* of two the first */
}

/* Waits for a call that takes longer, and gives it up where that fails. */
static PyObject *finished(const struct caller *self, PyObject *call) {
    PyObject *spin_ns = PyTuple_GetItem(self->fields, 5);
    PyObject *answer = PyObject_CallFunctionObjArgs(self->finish, call, spin_ns, NULL);
    if (answer == NULL && ((struct call *)call)->state == CALL_WAITS) {
        give_up(self, call);
    }
    Py_DECREF(call);
    return answer;
}

/* The result, or the call if it ended in another way; None: it is for others to make. */
static PyObject *exchanged(const struct caller *self, PyObject *payload) {
    PyObject *flow = self->line->flow;
    if (flow == NULL || !PyBytes_CheckExact(payload)) {
        return Py_NewRef(Py_None);
    }
    Py_INCREF(flow);
    const bool is_prepared = exchange_prepare((struct flow *)flow, &self->how);
    const int may_call = is_prepared ? is_free(self->line) : -1;
    PyObject *answer = NULL;
    /* What was prepared may be another thread's by now; to make one anew might let others in. */
    if (may_call > 0 && self->line->flow == flow && ((struct flow *)flow)->spare != NULL) {
        answer = exchange_bytes((struct flow *)flow, payload, &self->how);
    } else if (may_call >= 0) {
        answer = Py_NewRef(Py_None);
    }
    Py_DECREF(flow);
    return answer != NULL && Py_TYPE(answer) == call_type ? finished(self, answer) : answer;
}

static PyObject *caller_exchange(PyObject *object, PyObject *payload) {
    return exchanged((const struct caller *)object, payload);
}

static PyObject *caller_call(PyObject *object, PyObject *const *args, size_t flags,
                             PyObject *names) {
    const struct caller *self = (const struct caller *)object;
    const size_t count = flags & SIZE_MAX >> 1; /* without PY_VECTORCALL_ARGUMENTS_OFFSET */
    if (self->method == NULL || self->method == Py_None) {
        PyErr_SetString(PyExc_TypeError, "it only exchanges");
        return NULL;
    }
    if (count != 1 || names != NULL || !self->takes_bytes || !PyBytes_CheckExact(args[0])) {
        return PyObject_Vectorcall(self->method, args, count, names);
    }
    PyObject *answer = exchanged(self, args[0]);
    if (answer == NULL || (self->gives_bytes && PyBytes_CheckExact(answer))) {
        return answer;
    }
    PyObject *result = PyObject_CallFunctionObjArgs(self->given, args[0], answer, NULL);
    Py_DECREF(answer);
    return result;
}

/* Caller(line, (method_id, timeout_ns, lane, priority, loop, spin_ns), finish, give_up, method,
 * given, takes_bytes, gives_bytes) */
static PyObject *caller_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *line, *fields, *finish, *give_up, *method, *given;
    int takes_bytes, gives_bytes;
    struct how how;
    if ((kwargs != NULL && PyDict_Size(kwargs) != 0)
        || !PyArg_ParseTuple(args, "O!OOOOOpp:Caller", line_type, &line, &fields, &finish,
                             &give_up, &method, &given, &takes_bytes, &gives_bytes)
        || !how_read(fields, &how)) {
        return NULL;
    }
    struct caller *self = (struct caller *)PyType_GenericAlloc(type, 0);
    if (self != NULL) {
        self->call = caller_call;
        self->line = (struct line *)Py_NewRef(line);
        self->fields = Py_NewRef(fields);
        self->how = how;
        self->finish = Py_NewRef(finish);
        self->give_up = Py_NewRef(give_up);
        self->method = Py_NewRef(method);
        self->given = Py_NewRef(given);
        self->takes_bytes = (char)takes_bytes;
        self->gives_bytes = (char)gives_bytes;
    }
    return (PyObject *)self;
}

static int caller_traverse(PyObject *object, visitproc visit, void *arg) {
    struct caller *self = (struct caller *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT((PyObject *)self->line);
    Py_VISIT(self->fields);
    Py_VISIT(self->finish);
    Py_VISIT(self->give_up);
    Py_VISIT(self->method);
    Py_VISIT(self->given);
    return 0;
}

static int caller_clear(PyObject *object) {
    struct caller *self = (struct caller *)object;
    Py_CLEAR(self->method); /* whatever holds it; a call needs the others */
    return 0;
}

static void caller_dealloc(PyObject *object) {
    struct caller *self = (struct caller *)object;
    PyObject_GC_UnTrack(object);
    Py_XDECREF((PyObject *)self->line);
    Py_XDECREF(self->fields);
    Py_XDECREF(self->finish);
    Py_XDECREF(self->give_up);
    Py_XDECREF(self->method);
    Py_XDECREF(self->given);
    object_free(object);
}

static PyObject *caller_repr(PyObject *object) {
    PyObject *method = ((struct caller *)object)->method;
    return method == NULL ? PyUnicode_FromString("<Caller>") : PyObject_Repr(method);
}

/* What it has not is the method's. */
static PyObject *caller_attribute(PyObject *object, PyObject *name) {
    PyObject *found = PyObject_GenericGetAttr(object, name);
    if (found == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)
        && ((struct caller *)object)->method != NULL) {
        PyErr_Clear();
        found = PyObject_GetAttr(((struct caller *)object)->method, name);
    }
    return found;
}

static PyMethodDef line_methods[] = {
    {"open", line_open, METH_O, NULL},
    {"close", line_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot line_slots[] = {
    {Py_tp_new, (void *)line_new},
    {Py_tp_dealloc, (void *)line_dealloc},
    {Py_tp_traverse, (void *)line_traverse},
    {Py_tp_clear, (void *)line_clear},
    {Py_tp_methods, line_methods},
    {0, NULL},
};

static PyType_Spec line_spec = {
    .name = "machnet_rpc._crossing.Line",
    .basicsize = sizeof(struct line),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = line_slots,
};

static PyMethodDef caller_methods[] = {
    {"exchange", caller_exchange, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef caller_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(struct caller, call), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot caller_slots[] = {
    {Py_tp_new, (void *)caller_new},
    {Py_tp_dealloc, (void *)caller_dealloc},
    {Py_tp_traverse, (void *)caller_traverse},
    {Py_tp_clear, (void *)caller_clear},
    {Py_tp_repr, (void *)caller_repr},
    {Py_tp_call, (void *)PyVectorcall_Call},
    {Py_tp_getattro, (void *)caller_attribute},
    {Py_tp_methods, caller_methods},
    {Py_tp_members, caller_members},
    {0, NULL},
};

static PyType_Spec caller_spec = {
    .name = "machnet_rpc._crossing.Caller",
    .basicsize = sizeof(struct caller),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = caller_slots,
};

int line_register(PyObject *module) {
    line_type = (PyTypeObject *)PyType_FromSpec(&line_spec);
    caller_type = line_type == NULL ? NULL : (PyTypeObject *)PyType_FromSpec(&caller_spec);
    if (caller_type == NULL || PyModule_AddType(module, line_type) != 0) {
        return -1;
    }
    return PyModule_AddType(module, caller_type);
}
