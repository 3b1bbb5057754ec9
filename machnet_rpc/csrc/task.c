/* TaskState: what a HandlerTask keeps, and the step of its coroutine.
 *
 * The same as the class in machnet_rpc/_aio/handler_task.py, whose subclass has the methods.
 */
#include <stddef.h>

#include "crossing.h"

PyTypeObject *task_type;
static PyObject *enter_task;
static PyObject *leave_task;
static PyObject *current_tasks; /* loop -> task, which these two change; or NULL */

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
    return 0;
}

static void task_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    task_clear(object);
    object_free(object);
}

static PyMemberDef task_members[] = {
    {"_coroutine", T_OBJECT, offsetof(struct task, coroutine), 0, NULL},
    {"_loop", T_OBJECT, offsetof(struct task, loop), 0, NULL},
    {"_context", T_OBJECT, offsetof(struct task, context), 0, NULL},
    {"on_end", T_OBJECT, offsetof(struct task, on_end), 0, NULL},
    {"call", T_OBJECT, offsetof(struct task, call), 0, NULL},
    {"_callbacks", T_OBJECT, offsetof(struct task, callbacks), 0, NULL},
    {"returned", T_OBJECT, offsetof(struct task, returned), 0, NULL},
    {"error", T_OBJECT, offsetof(struct task, error), 0, NULL},
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
    {0, NULL},
};

static PyType_Spec task_spec = {
    .name = "machnet_rpc._crossing.TaskState",
    .basicsize = sizeof(struct task),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = task_slots,
};

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

PySendResult task_step(PyObject *loop, PyObject *task, PyObject *coroutine, PyObject **result) {
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

int task_register(PyObject *module) {
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
