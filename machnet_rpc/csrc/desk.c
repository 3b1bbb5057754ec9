/* Desk: starts the handlers of a server's calls, and answers what they return, at once or later.
 *
 * The same as Dispatcher.on_request and _answer in machnet_rpc/_aio/dispatch.py, which is asked
 * about whatever is not usual: calls of methods that are not among its own, keys, limits,
 * exceptions, results that cannot be sent, and metadata that goes with them. Steps of handlers are
 * in task.c.
 */
#include <stddef.h>

#include "crossing.h"

enum { CODE_OK = 0, CODE_CANCELLED = 1 };

/* What is in a method's tuple. */
enum { METHOD_HANDLER, METHOD_BINDING, METHOD_DECODE, METHOD_ENCODE, METHOD_TALLY };

struct desk {
    PyObject ob_base;     /* PyObject_HEAD */
    PyObject *dispatcher; /* asked about what is not usual */
    PyObject *methods;    /* method id -> (handler, binding, decode or None, encode or None, tally);
                             is filled before the first call, and emptied at once by who drains */
    PyObject *near;       /* the method that was asked for last; or NULL */
    uint64_t near_id;
    PyObject *tasks;      /* of handlers that wait for something */
    PyObject *task_class; /* HandlerTask */
    PyObject *context; /* of which each handler has a copy */
    PyObject *loop;
    PyObject *on_end;
    PyObject *current; /* CURRENT */
    Py_ssize_t handlers_max;
    Py_ssize_t request_bytes_max;
    Py_ssize_t reply_bytes_max;
};

PyTypeObject *desk_type;
static PyObject *name_answer_with;
static PyObject *name_end;
static PyObject *name_exchanger;
static PyObject *name_key; /* of metadata: the call may have been executed */
static PyObject *name_reply;
static PyObject *name_keep;
static PyObject *name_on_request;
static PyObject *name_unsent;
static PyObject *name_unstarted;

/* Whether metadata goes with the answer. */
static bool gives_metadata(const struct incoming *call) {
    if (call->metadata == NULL) {
        return false;
    }
    PyObject *reply = PyObject_GetAttr(call->metadata, name_reply);
    const bool is_empty = reply != NULL && PyDict_CheckExact(reply) && PyDict_Size(reply) == 0;
    Py_XDECREF(reply);
    PyErr_Clear();
    return !is_empty;
}

bool desk_end(struct task *task, PyObject *value) {
    const struct desk *self = (struct desk *)task->desk;
    struct incoming *call = (struct incoming *)task->call;
    struct flow *flow = call->flow;
    PyObject *encode = task->encode;
    slot_set(&task->returned, Py_NewRef(value));
    if (task->must_cancel || task->callbacks != NULL || flow == NULL || gives_metadata(call)
        || (encode == Py_None && !PyBytes_CheckExact(value))) {
        return flow_note(call) && told((PyObject *)task, name_end, NULL, NULL);
    }
    task_leave(task);
    PyObject *payload = encode == Py_None ? Py_NewRef(value)
                                          : PyObject_CallFunctionObjArgs(encode, value, NULL);
    if (payload == NULL) {
        PyObject *error = caught();
        const bool is_told = flow_note(call)
                             && told(self->dispatcher, name_unsent, (PyObject *)call, error);
        Py_XDECREF(error);
        return is_told;
    }
    bool is_well = true;
    if (served_flow(flow->crossing, flow->number) != flow) {
        call->answered = 1; /* the handler had the flow closed */
        tally_end(call, CODE_CANCELLED);
        is_well = !PyErr_Occurred();
    } else if (!PyBytes_CheckExact(payload) || PyBytes_Size(payload) > self->reply_bytes_max
               || (uint64_t)PyBytes_Size(payload) > flow->message_bytes_max) {
        is_well = flow_note(call)
                  && told(self->dispatcher, name_answer_with, (PyObject *)call, payload);
    } else if (!call->answered) {
        is_well = flow_reply(flow, call, payload);
        tally_end(call, CODE_OK);
    }
    Py_DECREF(payload);
    return is_well;
}

/* The handler's coroutine; NULL: an exception. */
static PyObject *begun(PyObject *handler, PyObject *decode, PyObject *payload) {
    if (decode == Py_None) {
        return PyObject_Vectorcall(handler, &payload, 1, NULL);
    }
    PyObject *arguments = PyObject_CallFunctionObjArgs(decode, payload, NULL);
    PyObject *args = NULL;
    PyObject *kwargs = NULL;
    PyObject *coroutine = NULL;
    if (arguments != NULL && PyArg_ParseTuple(arguments, "OO", &args, &kwargs)) {
        PyObject *given = PySequence_Tuple(args);
        coroutine = given == NULL ? NULL : PyObject_Call(handler, given, kwargs);
        Py_XDECREF(given);
    }
    Py_XDECREF(arguments);
    return coroutine;
}

/* Takes over the reference to the coroutine. NULL: an exception. */
static struct task *task_of(struct desk *self, struct incoming *call, PyObject *coroutine,
                            PyObject *encode) {
    PyTypeObject *type = (PyTypeObject *)self->task_class;
    struct task *task = NULL;
    PyObject *context = PyContext_Copy(self->context);
    if (context != NULL) {
        allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
        task = (struct task *)allocate(type, 0);
    }
    if (task == NULL) {
        Py_XDECREF(context);
        Py_DECREF(coroutine);
        return NULL;
    }
    task->coroutine = coroutine;
    task->loop = Py_NewRef(self->loop);
    task->context = context;
    task->on_end = Py_NewRef(self->on_end);
    task->call = Py_NewRef((PyObject *)call);
    task->desk = Py_NewRef((PyObject *)self);
    task->encode = Py_NewRef(encode);
    slot_set(&call->task, Py_NewRef((PyObject *)task));
    return task;
}

/* Starts the handler, if it can be called: then `*has_started`. False: an exception. */
static bool handle(struct desk *self, struct incoming *call, PyObject *payload, PyObject *method,
                   bool *has_started) {
    slot_set(&call->binding, Py_NewRef(PyTuple_GetItem(method, METHOD_BINDING)));
    tally_begin(call, PyTuple_GetItem(method, METHOD_TALLY));
    PyObject *coroutine = begun(PyTuple_GetItem(method, METHOD_HANDLER),
                                PyTuple_GetItem(method, METHOD_DECODE), payload);
    if (coroutine == NULL) {
        PyObject *error = caught();
        const bool is_told = flow_note(call)
                             && told(self->dispatcher, name_unstarted, (PyObject *)call, error);
        Py_XDECREF(error);
        return is_told;
    }
    struct task *task = task_of(self, call, coroutine, PyTuple_GetItem(method, METHOD_ENCODE));
    if (task == NULL) {
        return false;
    }
    bool is_well = PyContext_Enter(task->context) == 0;
    if (is_well) {
        PyObject *token = PyContextVar_Set(self->current, (PyObject *)call);
        *has_started = token != NULL;
        Py_XDECREF(token);
        is_well = *has_started && task_advance(task);
        is_well = PyContext_Exit(task->context) == 0 && is_well;
    }
    if (task->is_done) {
        slot_set(&call->task, NULL); /* both are freed at once */
    } else if (is_well) {
        is_well = told(self->dispatcher, name_keep, (PyObject *)task, NULL);
    }
    Py_DECREF((PyObject *)task);
    return is_well;
}

/* One of the desk's own methods; borrowed. NULL: none, or an exception. */
static PyObject *method_of(struct desk *self, uint64_t number) {
    if (PyDict_Size(self->methods) == 0) {
        return NULL;
    }
    if (self->near != NULL && self->near_id == number) {
        return self->near;
    }
    PyObject *method_id = PyLong_FromUnsignedLongLong(number);
    PyObject *method = method_id == NULL ? NULL
                                         : PyDict_GetItemWithError(self->methods, method_id);
    Py_XDECREF(method_id);
    if (method != NULL) {
        slot_set(&self->near, Py_NewRef(method));
        self->near_id = number;
    }
    return method;
}

/* The flow that a call came by, if it is one of C's; a new reference. */
static struct flow *flow_of(struct incoming *call) {
    if (call->flow != NULL) {
        return (struct flow *)Py_NewRef((PyObject *)call->flow);
    }
    PyObject *found = PyObject_GetAttr(call->connection, name_exchanger); /* Python took it */
    if (found == NULL || Py_TYPE(found) != flow_type) {
        Py_XDECREF(found);
        PyErr_Clear();
        return NULL;
    }
    struct flow *flow = (struct flow *)found;
    if (flow->incoming != NULL) {
        call->flow = (struct flow *)Py_NewRef(found);
        call->noted = 1;
    }
    return flow;
}

/* Whether the call is like any other, whatever comes with it. */
static bool is_usual(const struct incoming *call) {
    return call->metadata == NULL
           || (PyDict_Check(call->metadata) && PyDict_Contains(call->metadata, name_key) == 0);
}

static bool take(struct desk *self, struct incoming *call, PyObject *payload, bool *has_started) {
    PyObject *method = method_of(self, call->method_id);
    if (method == NULL && PyErr_Occurred()) {
        return false;
    }
    if (method == NULL || !is_usual(call) || !PyBytes_CheckExact(payload)
        || PyBytes_Size(payload) > self->request_bytes_max
        || PyDict_Size(self->tasks) >= self->handlers_max) {
        return flow_note(call)
               && told(self->dispatcher, name_on_request, (PyObject *)call, payload);
    }
    Py_INCREF(method);
    const bool is_well = handle(self, call, payload, method, has_started);
    Py_DECREF(method);
    return is_well;
}

/* Whoever is left when this process is killed reads what was noted (docs/channel.md §8). */
bool desk_take(PyObject *object, struct incoming *call, PyObject *payload) {
    struct flow *flow = flow_of(call);
    bool has_started = false;
    flow_mark(flow, call->call_id, TE_TAKEN);
    const bool is_well = take((struct desk *)object, call, payload, &has_started);
    if (has_started) {
        flow_mark(flow, call->call_id, TE_STARTED);
    }
    Py_XDECREF((PyObject *)flow);
    return is_well;
}

/* desk(call, payload) */
static PyObject *desk_call(PyObject *object, PyObject *args, PyObject *kwargs) {
    PyObject *call;
    PyObject *payload;
    if (kwargs != NULL || !PyArg_ParseTuple(args, "O!O", incoming_type, &call, &payload)) {
        PyErr_SetString(PyExc_TypeError, "desk(incoming call, payload)");
        return NULL;
    }
    return desk_take(object, (struct incoming *)call, payload) ? Py_NewRef(Py_None) : NULL;
}

/* Desk(dispatcher, methods, (task class, on_end, loop, context, tasks, CURRENT), (limits)) */
static PyObject *desk_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *dispatcher, *methods, *task_class, *on_end, *loop, *context, *tasks, *current;
    Py_ssize_t handlers_max, request_bytes_max, reply_bytes_max;
    if ((kwargs != NULL && PyDict_Size(kwargs) != 0)
        || !PyArg_ParseTuple(args, "OO!(O!OOOO!O)(nnn):Desk", &dispatcher, &PyDict_Type, &methods,
                             &PyType_Type, &task_class, &on_end, &loop, &context, &PyDict_Type,
                             &tasks, &current, &handlers_max, &request_bytes_max,
                             &reply_bytes_max)) {
        return NULL;
    }
    if (!PyType_IsSubtype((PyTypeObject *)task_class, task_type)) {
        PyErr_SetString(PyExc_TypeError, "its tasks must be of a class of TaskState");
        return NULL;
    }
    struct desk *self = (struct desk *)PyType_GenericAlloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->dispatcher = Py_NewRef(dispatcher);
    self->methods = Py_NewRef(methods);
    self->tasks = Py_NewRef(tasks);
    self->task_class = Py_NewRef(task_class);
    self->context = Py_NewRef(context);
    self->loop = Py_NewRef(loop);
    self->on_end = Py_NewRef(on_end);
    self->current = Py_NewRef(current);
    self->handlers_max = handlers_max;
    self->request_bytes_max = request_bytes_max;
    self->reply_bytes_max = reply_bytes_max;
    return (PyObject *)self;
}

static int desk_traverse(PyObject *object, visitproc visit, void *arg) {
    struct desk *self = (struct desk *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->dispatcher);
    Py_VISIT(self->methods);
    Py_VISIT(self->near);
    Py_VISIT(self->tasks);
    Py_VISIT(self->task_class);
    Py_VISIT(self->context);
    Py_VISIT(self->loop);
    Py_VISIT(self->on_end);
    Py_VISIT(self->current);
    return 0;
}

static int desk_clear(PyObject *object) {
    struct desk *self = (struct desk *)object;
    Py_CLEAR(self->dispatcher);
    return 0;
}

static void desk_dealloc(PyObject *object) {
    struct desk *self = (struct desk *)object;
    PyObject_GC_UnTrack(object);
    desk_clear(object);
    Py_CLEAR(self->methods);
    Py_CLEAR(self->near);
    Py_CLEAR(self->tasks);
    Py_CLEAR(self->task_class);
    Py_CLEAR(self->context);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->on_end);
    Py_CLEAR(self->current);
    object_free(object);
}

static PyType_Slot desk_slots[] = {
    {Py_tp_new, (void *)desk_new},
    {Py_tp_dealloc, (void *)desk_dealloc},
    {Py_tp_traverse, (void *)desk_traverse},
    {Py_tp_clear, (void *)desk_clear},
    {Py_tp_call, (void *)desk_call},
    {0, NULL},
};

static PyType_Spec desk_spec = {
    .name = "machnet_rpc._crossing.Desk",
    .basicsize = sizeof(struct desk),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = desk_slots,
};

int desk_register(PyObject *module) {
    struct {
        PyObject **name;
        const char *text;
    } const names[] = {
        {&name_answer_with, "answer_with"},
        {&name_end, "_end"},
        {&name_exchanger, "exchanger"},
        {&name_key, "mrpc-key"},
        {&name_reply, "reply"},
        {&name_keep, "keep"},
        {&name_on_request, "on_request"},
        {&name_unsent, "unsent"},
        {&name_unstarted, "unstarted"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        *names[i].name = PyUnicode_InternFromString(names[i].text);
        if (*names[i].name == NULL) {
            return -1;
        }
    }
    desk_type = (PyTypeObject *)PyType_FromSpec(&desk_spec);
    return desk_type == NULL ? -1 : PyModule_AddType(module, desk_type);
}
