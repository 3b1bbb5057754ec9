/* TaskState: what a HandlerTask keeps, and the steps of its coroutine.
 *
 * The same as the class in machnet_rpc/_aio/handler_task.py, whose subclass has the methods. It is
 * asked where a task was cancelled, or waits for what is not usual.
 */
#include <stddef.h>

#include "crossing.h"

PyTypeObject *task_type;
static PyObject *enter_task;
static PyObject *leave_task;
static PyObject *current_tasks; /* loop -> task, which these two change; or NULL */
static PyObject *name_add_done_callback;
static PyObject *name_blocking;
static PyObject *name_call_soon;
static PyObject *name_end;
static PyObject *name_fail;
static PyObject *name_get_loop;
static PyObject *name_go_on_with;
static PyObject *name_result;
static PyObject *name_resume;
static PyObject *name_step;
static PyObject *name_wait_for;
static PyObject *name_wake;
static PyObject *names_context; /* ("context",) */

bool told(PyObject *object, PyObject *name, PyObject *first, PyObject *second) {
    PyObject *done = PyObject_CallMethodObjArgs(object, name, first, second, NULL);
    Py_XDECREF(done);
    return done != NULL;
}

PyObject *caught(void) {
    PyObject *type;
    PyObject *value;
    PyObject *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(value, trace);
    }
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return value;
}

static PyObject *task_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    if ((kwargs != NULL && PyDict_Size(kwargs) != 0) || PyTuple_Size(args) != 5) {
        PyErr_SetString(PyExc_TypeError, "HandlerTask(coroutine, loop, context, on_end, call)");
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct task *self = (struct task *)allocate(type, 0);
    if (self != NULL) {
        self->coroutine = Py_NewRef(PyTuple_GetItem(args, 0));
        self->loop = Py_NewRef(PyTuple_GetItem(args, 1));
        self->context = Py_NewRef(PyTuple_GetItem(args, 2));
        self->on_end = Py_NewRef(PyTuple_GetItem(args, 3));
        self->call = Py_NewRef(PyTuple_GetItem(args, 4));
    }
    return (PyObject *)self;
}

static int task_traverse(PyObject *object, visitproc visit, void *arg) {
    struct task *self = (struct task *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->coroutine);
    Py_VISIT(self->loop);
    Py_VISIT(self->context);
    Py_VISIT(self->on_end);
    Py_VISIT(self->call);
    Py_VISIT(self->callbacks);
    Py_VISIT(self->returned);
    Py_VISIT(self->error);
    Py_VISIT(self->waiter);
    Py_VISIT(self->kept);
    Py_VISIT(self->desk);
    Py_VISIT(self->encode);
    return 0;
}

static int task_clear(PyObject *object) {
    struct task *self = (struct task *)object;
    Py_CLEAR(self->coroutine);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->context);
    Py_CLEAR(self->on_end);
    Py_CLEAR(self->call);
    Py_CLEAR(self->callbacks);
    Py_CLEAR(self->returned);
    Py_CLEAR(self->error);
    Py_CLEAR(self->waiter);
    Py_CLEAR(self->kept);
    Py_CLEAR(self->desk);
    Py_CLEAR(self->encode);
    return 0;
}

static void task_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    task_clear(object);
    object_free(object);
}

/* As asyncio.tasks._enter_task, which refuses where a task is current. */
static bool enter(PyObject *loop, PyObject *task) {
    if (current_tasks != NULL && PyDict_GetItemWithError(current_tasks, loop) == NULL
        && !PyErr_Occurred()) {
        return PyDict_SetItem(current_tasks, loop, task) == 0;
    }
    PyObject *entered = PyErr_Occurred()
                            ? NULL
                            : PyObject_CallFunctionObjArgs(enter_task, loop, task, NULL);
    Py_XDECREF(entered);
    return entered != NULL;
}

/* As asyncio.tasks._leave_task, which refuses where another is current. */
static bool leave(PyObject *loop, PyObject *task) {
    if (current_tasks != NULL && PyDict_GetItemWithError(current_tasks, loop) == task) {
        return PyDict_DelItem(current_tasks, loop) == 0;
    }
    PyObject *left = PyErr_Occurred() ? NULL
                                      : PyObject_CallFunctionObjArgs(leave_task, loop, task, NULL);
    Py_XDECREF(left);
    return left != NULL;
}

/* Takes a step of a coroutine, during which the task is the current one. */
static PySendResult task_step(PyObject *loop, PyObject *task, PyObject *coroutine,
                              PyObject **result) {
    *result = NULL;
    if (!enter(loop, task)) {
        return PYGEN_ERROR;
    }
    const PySendResult sent = PyIter_Send(coroutine, Py_None, result);
    PyObject *type = NULL;
    PyObject *value = NULL;
    PyObject *trace = NULL;
    if (sent == PYGEN_ERROR) {
        PyErr_Fetch(&type, &value, &trace);
    }
    const bool has_left = leave(loop, task);
    if (sent == PYGEN_ERROR) {
        PyErr_Restore(type, value, trace); /* in place of one of `leave` */
    } else if (!has_left) {
        Py_CLEAR(*result);
        return PYGEN_ERROR;
    }
    return sent;
}

PyObject *coroutine_step(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "step(loop, task, coroutine)");
        return NULL;
    }
    PyObject *result;
    const PySendResult sent = task_step(args[0], args[1], args[2], &result);
    if (sent == PYGEN_ERROR) {
        return NULL;
    }
    PyObject *pair = PyTuple_Pack(2, sent == PYGEN_RETURN ? Py_True : Py_False, result);
    Py_DECREF(result);
    return pair;
}

void task_leave(struct task *task) {
    task->is_done = 1;
    slot_set(&((struct incoming *)task->call)->task, NULL); /* they would hold each other */
    if (task->kept != NULL && PyDict_DelItem(task->kept, (PyObject *)task) != 0) {
        PyErr_Clear();
    }
}

/* callable(first, context=context) */
static bool called_in(PyObject *callable, PyObject *first, PyObject *context) {
    PyObject *args[] = {first, context};
    PyObject *done = callable == NULL || first == NULL
                         ? NULL
                         : PyObject_Vectorcall(callable, args, 1, names_context);
    Py_XDECREF(done);
    return done != NULL;
}

/* Whether it is a future of the task's own loop, and is awaited as one; -1: an exception, which is
 * none of its own. */
static int is_usual(const struct task *task, PyObject *waited) {
    PyObject *blocking = PyObject_GetAttr(waited, name_blocking);
    PyObject *loop = NULL;
    if (blocking == Py_True && waited != (PyObject *)task && !task->must_cancel) {
        loop = PyObject_CallMethodObjArgs(waited, name_get_loop, NULL);
    }
    const bool is_own = loop != NULL && loop == task->loop;
    Py_XDECREF(blocking);
    Py_XDECREF(loop);
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyErr_Clear();
    return is_own;
}

static bool watch(struct task *task, PyObject *waited) {
    const bool yields = waited == Py_None; /* goes on in the next iteration of the loop */
    const int usual = yields ? 1 : is_usual(task, waited);
    if (usual == 0) {
        return told((PyObject *)task, name_wait_for, waited, NULL);
    }
    if (usual < 0 || (!yields && PyObject_SetAttr(waited, name_blocking, Py_False) != 0)) {
        return false;
    }
    PyObject *tell = yields ? PyObject_GetAttr(task->loop, name_call_soon)
                            : PyObject_GetAttr(waited, name_add_done_callback);
    PyObject *callback = PyObject_GetAttr((PyObject *)task, yields ? name_resume : name_wake);
    const bool is_well = called_in(tell, callback, task->context);
    Py_XDECREF(tell);
    Py_XDECREF(callback);
    if (is_well && !yields) {
        slot_set(&task->waiter, Py_NewRef(waited));
    }
    return is_well;
}

/* It goes on once that is done, or at once with what was raised for it. */
static bool wait_for(struct task *task, PyObject *waited) {
    if (watch(task, waited)) {
        return true;
    }
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return false;
    }
    PyObject *error = caught();
    const bool is_told = told((PyObject *)task, name_go_on_with, error, NULL);
    Py_DECREF(error);
    return is_told;
}

static bool end(struct task *task, PyObject *value) {
    if (task->desk != NULL) {
        return desk_end(task, value);
    }
    slot_set(&task->returned, Py_NewRef(value));
    return told((PyObject *)task, name_end, NULL, NULL);
}

/* Notes its call before Python hears of it, where that has not been done. */
static bool is_noted(const struct task *task) {
    return task->desk == NULL || flow_note((struct incoming *)task->call);
}

bool task_advance(struct task *task) {
    PyObject *result;
    bool is_well;
    slot_set(&task->waiter, NULL);
    switch (task_step(task->loop, (PyObject *)task, task->coroutine, &result)) {
    case PYGEN_RETURN:
        is_well = end(task, result);
        break;
    case PYGEN_NEXT:
        is_well = is_noted(task) && wait_for(task, result);
        break;
    case PYGEN_ERROR:
    default:
        result = caught();
        is_well = is_noted(task)
                  && told((PyObject *)task, name_fail, result, NULL); /* what ends the process */
    }
    Py_XDECREF(result);
    return is_well;
}

/* _wake(waited): what it waits for is done. */
static PyObject *task_wake(PyObject *object, PyObject *waited) {
    struct task *task = (struct task *)object;
    if (waited != task->waiter) {
        Py_RETURN_NONE; /* `cancel` has it told twice */
    }
    PyObject *result = PyObject_CallMethodObjArgs(waited, name_result, NULL);
    PyObject *error = result == NULL ? caught() : NULL;
    Py_XDECREF(result);
    const bool is_well = error != NULL || task->must_cancel
                             ? told(object, name_step, error, NULL)
                             : task_advance(task);
    Py_XDECREF(error);
    return is_well ? Py_NewRef(Py_None) : NULL;
}

/* _resume(): it gave way to others once. */
static PyObject *task_resume(PyObject *object, PyObject *unused) {
    (void)unused;
    struct task *task = (struct task *)object;
    const bool is_well = task->must_cancel ? told(object, name_step, NULL, NULL)
                                           : task_advance(task);
    return is_well ? Py_NewRef(Py_None) : NULL;
}

static PyMethodDef task_methods[] = {
    {"_wake", task_wake, METH_O, NULL},
    {"_resume", task_resume, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef task_members[] = {
    {"_coroutine", T_OBJECT, offsetof(struct task, coroutine), 0, NULL},
    {"_loop", T_OBJECT, offsetof(struct task, loop), 0, NULL},
    {"_context", T_OBJECT, offsetof(struct task, context), 0, NULL},
    {"on_end", T_OBJECT, offsetof(struct task, on_end), 0, NULL},
    {"call", T_OBJECT, offsetof(struct task, call), 0, NULL},
    {"_callbacks", T_OBJECT, offsetof(struct task, callbacks), 0, NULL},
    {"returned", T_OBJECT, offsetof(struct task, returned), 0, NULL},
    {"error", T_OBJECT, offsetof(struct task, error), 0, NULL},
    {"_fut_waiter", T_OBJECT, offsetof(struct task, waiter), 0, NULL},
    {"kept", T_OBJECT, offsetof(struct task, kept), 0, NULL},
    {"is_done", T_BOOL, offsetof(struct task, is_done), 0, NULL},
    {"_must_cancel", T_BOOL, offsetof(struct task, must_cancel), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot task_slots[] = {
    {Py_tp_new, (void *)task_new},
    {Py_tp_dealloc, (void *)task_dealloc},
    {Py_tp_traverse, (void *)task_traverse},
    {Py_tp_clear, (void *)task_clear},
    {Py_tp_members, task_members},
    {Py_tp_methods, task_methods},
    {0, NULL},
};

static PyType_Spec task_spec = {
    .name = "machnet_rpc._crossing.TaskState",
    .basicsize = sizeof(struct task),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = task_slots,
};

int task_register(PyObject *module) {
    struct {
        PyObject **name;
        const char *text;
    } const names[] = {
        {&name_add_done_callback, "add_done_callback"},
        {&name_blocking, "_asyncio_future_blocking"},
        {&name_call_soon, "call_soon"},
        {&name_end, "_end"},
        {&name_fail, "fail"},
        {&name_get_loop, "get_loop"},
        {&name_go_on_with, "_go_on_with"},
        {&name_result, "result"},
        {&name_resume, "_resume"},
        {&name_step, "_step"},
        {&name_wait_for, "_wait_for"},
        {&name_wake, "_wake"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        *names[i].name = PyUnicode_InternFromString(names[i].text);
        if (*names[i].name == NULL) {
            return -1;
        }
    }
    names_context = Py_BuildValue("(s)", "context");
    if (names_context == NULL) {
        return -1;
    }
    enter_task = imported("asyncio.tasks", "_enter_task");
    leave_task = imported("asyncio.tasks", "_leave_task");
    if (enter_task == NULL || leave_task == NULL) {
        return -1;
    }
    current_tasks = imported("_asyncio", "_current_tasks");
    if (current_tasks == NULL || !PyDict_CheckExact(current_tasks)) {
        PyErr_Clear(); /* from Python 3.14 on, threads keep it */
        Py_CLEAR(current_tasks);
    }
    task_type = (PyTypeObject *)PyType_FromSpec(&task_spec);
    return task_type == NULL ? -1 : PyModule_AddType(module, task_type);
}
