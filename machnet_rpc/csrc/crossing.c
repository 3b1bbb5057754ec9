/* Crossing: the near end of one channel. And the module.
 *
 * Owner: the channel and the engine are Python's, which calls `close` before it frees them.
 */
#include <stddef.h>

#include "crossing.h"

PyTypeObject *crossing_type;
struct engine_functions engine;
PyObject *corrupt_error;

static PyObject *crossing_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    unsigned long long channel;
    unsigned long long polled;
    PyObject *queue;
    PyObject *rouse;
    if ((kwargs != NULL && PyDict_Size(kwargs) != 0)
        || !PyArg_ParseTuple(args, "KKOO:Crossing", &channel, &polled, &queue, &rouse)) {
        return NULL;
    }
    if (engine.peek == NULL || channel == 0) {
        PyErr_SetString(PyExc_ValueError, "no channel, or `bind` was not called");
        return NULL;
    }
    struct crossing *self = (struct crossing *)PyType_GenericAlloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->channel = (struct te_channel *)(uintptr_t)channel;
    self->engine = (struct te_engine *)(uintptr_t)polled;
    self->queue = Py_NewRef(queue);
    self->rouse = Py_NewRef(rouse);
    self->flows = PyDict_New();
    self->served = PyDict_New();
    if (self->flows == NULL || self->served == NULL) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    return (PyObject *)self;
}

static int crossing_traverse(PyObject *object, visitproc visit, void *arg) {
    struct crossing *self = (struct crossing *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->queue);
    Py_VISIT(self->rouse);
    Py_VISIT(self->flows);
    Py_VISIT(self->lent);
    Py_VISIT(self->served);
    Py_VISIT((PyObject *)self->near);
    Py_VISIT(self->left);
    return 0;
}

void crossing_forget_near(struct crossing *self) {
    PyObject *near = (PyObject *)self->near;
    self->near = NULL;
    Py_XDECREF(near);
}

static int crossing_clear(PyObject *object) {
    struct crossing *self = (struct crossing *)object;
    Py_CLEAR(self->queue);
    Py_CLEAR(self->rouse);
    Py_CLEAR(self->flows);
    Py_CLEAR(self->whole.object);
    Py_CLEAR(self->lent);
    Py_CLEAR(self->served);
    crossing_forget_near(self);
    Py_CLEAR(self->left);
    return 0;
}

static void crossing_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    crossing_clear(object);
    object_free(object);
}

static PyObject *crossing_watch(PyObject *object, PyObject *args) {
    struct crossing *self = (struct crossing *)object;
    PyObject *flow;
    PyObject *calls;
    if (!PyArg_ParseTuple(args, "OO!:watch", &flow, &PyDict_Type, &calls)
        || PyDict_SetItem(self->flows, flow, calls) != 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *crossing_forget(PyObject *object, PyObject *flow) {
    struct crossing *self = (struct crossing *)object;
    PyObject *const dicts[] = {self->flows, self->served};
    crossing_forget_near(self);
    for (int i = 0; i < 2; i++) {
        const int found = PyDict_Contains(dicts[i], flow);
        if (found < 0 || (found > 0 && PyDict_DelItem(dicts[i], flow) != 0)) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static PyObject *crossing_close(PyObject *object, PyObject *unused) {
    (void)unused;
    struct crossing *self = (struct crossing *)object;
    self->channel = NULL;
    self->engine = NULL;
    crossing_forget_near(self);
    PyDict_Clear(self->flows);
    PyDict_Clear(self->served);
    Py_RETURN_NONE;
}

struct flow *served_flow(struct crossing *self, uint32_t number) {
    if (self->near != NULL && self->near->number == number) {
        return self->near;
    }
    PyObject *key = PyLong_FromUnsignedLong(number);
    PyObject *flow = key == NULL ? NULL : PyDict_GetItemWithError(self->served, key);
    Py_XDECREF(key);
    if (flow != NULL) {
        Py_INCREF(flow);
        crossing_forget_near(self);
        self->near = (struct flow *)flow;
    }
    return (struct flow *)flow;
}

static PyMemberDef crossing_members[] = {
    {"lent", T_OBJECT, offsetof(struct crossing, lent), 0, NULL},
    {"moved_ns", T_LONGLONG, offsetof(struct crossing, moved_ns), READONLY, NULL},
    {"is_blocked", T_BOOL, offsetof(struct crossing, is_blocked), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyObject *crossing_get_watched(PyObject *object, void *unused) {
    (void)unused;
    return PyBool_FromLong(((struct crossing *)object)->is_watched);
}

static int crossing_set_watched(PyObject *object, PyObject *value, void *unused) {
    (void)unused;
    const int is_watched = value == NULL ? -1 : PyObject_IsTrue(value);
    if (is_watched < 0) {
        PyErr_SetString(PyExc_TypeError, "it is watched, or it is not");
        return -1;
    }
    struct crossing *self = (struct crossing *)object;
    self->is_watched = (char)is_watched;
    if (is_watched) {
        spin_impatiently();
        if (self->channel != NULL) {
            engine.arm(self->channel, 0); /* who takes turns need not be woken */
        }
    }
    return 0;
}

static PyGetSetDef crossing_properties[] = {
    {"is_watched", crossing_get_watched, crossing_set_watched, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef crossing_methods[] = {
    {"post", (PyCFunction)(void (*)(void))crossing_post, METH_FASTCALL, NULL},
    {"put", (PyCFunction)(void (*)(void))crossing_put, METH_FASTCALL, NULL},
    {"receive", (PyCFunction)(void (*)(void))crossing_receive, METH_FASTCALL, NULL},
    {"watch", crossing_watch, METH_VARARGS, NULL},
    {"forget", crossing_forget, METH_O, NULL},
    {"close", crossing_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot crossing_slots[] = {
    {Py_tp_new, (void *)crossing_new},
    {Py_tp_dealloc, (void *)crossing_dealloc},
    {Py_tp_traverse, (void *)crossing_traverse},
    {Py_tp_clear, (void *)crossing_clear},
    {Py_tp_members, crossing_members},
    {Py_tp_getset, crossing_properties},
    {Py_tp_methods, crossing_methods},
    {0, NULL},
};

static PyType_Spec crossing_spec = {
    .name = "machnet_rpc._crossing.Crossing",
    .basicsize = sizeof(struct crossing),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = crossing_slots,
};

/* bind(put, peek, pop, ring, arm, note, poll, error): the addresses of the engine's functions, and
 * the class of the exception for a corrupt channel */
static PyObject *bind(PyObject *module, PyObject *args) {
    (void)module;
    unsigned long long put, peek, pop, ring, arm, note, poll;
    PyObject *error;
    if (!PyArg_ParseTuple(args, "KKKKKKKO:bind", &put, &peek, &pop, &ring, &arm, &note,
                          &poll, &error)) {
        return NULL;
    }
    engine.put = (int (*)(struct te_channel *, const struct te_record *,
                          const uint8_t *))(uintptr_t)put;
    engine.peek = (int (*)(struct te_channel *, struct te_record *,
                           const uint8_t **))(uintptr_t)peek;
    engine.pop = (void (*)(struct te_channel *))(uintptr_t)pop;
    engine.ring = (int (*)(struct te_channel *))(uintptr_t)ring;
    engine.arm = (int (*)(struct te_channel *, int))(uintptr_t)arm;
    engine.note = (void (*)(struct te_channel *, uint32_t, uint64_t, int))(uintptr_t)note;
    engine.poll = (int (*)(struct te_engine *))(uintptr_t)poll;
    Py_INCREF(error);
    slot_set(&corrupt_error, error);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"bind", bind, METH_VARARGS, NULL},
    {"step", (PyCFunction)(void (*)(void))coroutine_step, METH_FASTCALL, NULL},
    {"pool", received_pool, METH_NOARGS, NULL},
    {"is_contended", crossing_is_contended, METH_NOARGS, NULL},
    {"spin", (PyCFunction)(void (*)(void))crossing_spin, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "machnet_rpc._crossing",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__crossing(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) {
        return NULL;
    }
    crossing_type = (PyTypeObject *)PyType_FromSpec(&crossing_spec);
    if (crossing_type == NULL || timed_register(module) != 0 || call_register(module) != 0
        || flow_register(module) != 0 || incoming_register(module) != 0
        || received_register(module) != 0
        || tally_register(module) != 0 || task_register(module) != 0
        || desk_register(module) != 0 || line_register(module) != 0
        || requester_register(module) != 0
        || PyModule_AddType(module, crossing_type) != 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
