/* Deadlines: one timing wheel for all the timers of a pump; starting and stopping one is O(1).
 *
 * The same as machnet_rpc/_protocol/deadlines.py, with the links in the items themselves.
 * Units: nanoseconds on the clock of whoever calls; it must not go backwards.
 * Source: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 6
 */
#include <stddef.h>

#include "crossing.h"

enum { SLOTS = 4096 };
static const int64_t TICK_NS = 1000000;

struct deadlines {
    PyObject ob_base; /* PyObject_HEAD */
    int64_t earliest_tick; /* nothing is due before; often earlier than the truth */
    Py_ssize_t items;
    struct link *slots; /* heads of SLOTS circular lists */
};

PyTypeObject *timed_type;
PyTypeObject *deadlines_type;

static struct timed *timed_of(struct link *link) {
    return (struct timed *)(void *)((char *)link - offsetof(struct timed, link));
}

static struct link *slot_of(const struct deadlines *deadlines, int64_t tick) {
    return &deadlines->slots[(uint64_t)tick % SLOTS];
}

/* The first tick that does not begin before the deadline. */
static int64_t tick_of(int64_t deadline_ns) {
    return deadline_ns / TICK_NS + (deadline_ns % TICK_NS > 0);
}

/* Takes the item out of its list; the wheel's reference is the caller's now. */
static void unlink_item(struct timed *timed) {
    timed->link.previous->next = timed->link.next;
    timed->link.next->previous = timed->link.previous;
    timed->in->items--;
    timed->in = NULL;
}

void timed_stop(struct timed *timed) {
    if (timed->in != NULL) {
        unlink_item(timed);
        Py_DECREF((PyObject *)timed);
    }
}

static PyObject *deadlines_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args;
    (void)kwargs;
    struct deadlines *self = (struct deadlines *)PyType_GenericAlloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->slots = PyMem_Malloc(SLOTS * sizeof *self->slots);
    if (self->slots == NULL) {
        Py_DECREF((PyObject *)self);
        return PyErr_NoMemory();
    }
    for (int64_t i = 0; i < SLOTS; i++) {
        self->slots[i] = (struct link){&self->slots[i], &self->slots[i]};
    }
    return (PyObject *)self;
}

static int deadlines_clear(PyObject *object) {
    struct deadlines *self = (struct deadlines *)object;
    for (int64_t i = 0; self->slots != NULL && i < SLOTS; i++) {
        while (self->slots[i].next != &self->slots[i]) {
            timed_stop(timed_of(self->slots[i].next));
        }
    }
    return 0;
}

static int deadlines_traverse(PyObject *object, visitproc visit, void *arg) {
    struct deadlines *self = (struct deadlines *)object;
    Py_VISIT(Py_TYPE(object));
    for (int64_t i = 0; self->slots != NULL && i < SLOTS; i++) {
        for (struct link *at = self->slots[i].next; at != &self->slots[i]; at = at->next) {
            Py_VISIT((PyObject *)timed_of(at));
        }
    }
    return 0;
}

static void deadlines_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    deadlines_clear(object);
    PyMem_Free(((struct deadlines *)object)->slots);
    object_free(object);
}

static Py_ssize_t deadlines_length(PyObject *object) {
    return ((struct deadlines *)object)->items;
}

static struct timed *checked(PyObject *item) {
    if (!PyObject_TypeCheck(item, timed_type)) {
        PyErr_SetString(PyExc_TypeError, "only what is Timed has a deadline");
        return NULL;
    }
    return (struct timed *)item;
}

bool deadlines_start(PyObject *object, struct timed *timed) {
    struct deadlines *self = (struct deadlines *)object;
    if (timed->in != NULL) {
        PyErr_SetString(PyExc_ValueError, "its timer runs already");
        return false;
    }
    const int64_t tick = tick_of(timed->deadline_ns);
    if (self->items == 0 || tick < self->earliest_tick) {
        self->earliest_tick = tick;
    }
    struct link *head = slot_of(self, tick);
    timed->link = (struct link){head, head->previous};
    head->previous->next = &timed->link;
    head->previous = &timed->link;
    timed->in = self;
    self->items++;
    Py_INCREF((PyObject *)timed);
    return true;
}

static PyObject *deadlines_add(PyObject *object, PyObject *item) {
    struct timed *timed = checked(item);
    return timed != NULL && deadlines_start(object, timed) ? Py_NewRef(Py_None) : NULL;
}

static PyObject *deadlines_discard(PyObject *object, PyObject *item) {
    struct timed *timed = checked(item);
    if (timed == NULL) {
        return NULL;
    }
    if ((PyObject *)timed->in == object) {
        timed_stop(timed);
    }
    Py_RETURN_NONE;
}

/* The next tick after `tick` at which something may be due. */
static int64_t occupied_after(const struct deadlines *self, int64_t tick) {
    do {
        tick++;
    } while (self->items != 0 && slot_of(self, tick)->next == slot_of(self, tick));
    return tick;
}

/* Without memory for more: the others are due next time. NULL: there is none. */
static PyObject *expired_so_far(struct deadlines *self, int64_t tick, PyObject *expired) {
    self->earliest_tick = tick;
    if (PyList_Size(expired) == 0) {
        Py_DECREF(expired);
        return NULL;
    }
    PyErr_Clear();
    return expired;
}

static PyObject *deadlines_expire(PyObject *object, PyObject *now) {
    struct deadlines *self = (struct deadlines *)object;
    const int64_t now_ns = PyLong_AsLongLong(now);
    if (now_ns == -1 && PyErr_Occurred()) {
        return NULL;
    }
    const int64_t now_tick = now_ns / TICK_NS;
    PyObject *expired = PyList_New(0);
    if (expired == NULL || self->items == 0 || now_tick < self->earliest_tick) {
        return expired;
    }
    int64_t tick = self->earliest_tick;
    if (tick < now_tick - SLOTS + 1) {
        tick = now_tick - SLOTS + 1;
    }
    for (; tick <= now_tick; tick++) {
        struct link *head = slot_of(self, tick);
        for (struct link *at = head->next, *next; at != head; at = next) {
            struct timed *timed = timed_of(at);
            next = at->next;
            if (timed->deadline_ns > now_ns) {
                continue; /* of a later revolution */
            }
            if (PyList_Append(expired, (PyObject *)timed) != 0) {
                return expired_so_far(self, tick, expired);
            }
            timed_stop(timed);
        }
    }
    self->earliest_tick = occupied_after(self, now_tick);
    return expired;
}

static PyObject *deadlines_next_ns(PyObject *object, PyObject *unused) {
    (void)unused;
    const struct deadlines *self = (const struct deadlines *)object;
    if (self->items == 0) {
        Py_RETURN_NONE;
    }
    const bool is_last = self->earliest_tick > INT64_MAX / TICK_NS; /* it ends beyond 64 bits */
    return PyLong_FromLongLong(is_last ? INT64_MAX : self->earliest_tick * TICK_NS);
}

static PyMethodDef deadlines_methods[] = {
    {"add", deadlines_add, METH_O, NULL},
    {"discard", deadlines_discard, METH_O, NULL},
    {"expire", deadlines_expire, METH_O, NULL},
    {"next_ns", deadlines_next_ns, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot deadlines_slots[] = {
    {Py_tp_new, (void *)deadlines_new},
    {Py_tp_dealloc, (void *)deadlines_dealloc},
    {Py_tp_traverse, (void *)deadlines_traverse},
    {Py_tp_clear, (void *)deadlines_clear},
    {Py_tp_methods, deadlines_methods},
    {Py_sq_length, (void *)deadlines_length},
    {0, NULL},
};

static PyType_Spec deadlines_spec = {
    .name = "machnet_rpc._crossing.Deadlines",
    .basicsize = sizeof(struct deadlines),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = deadlines_slots,
};

static PyMemberDef timed_members[] = {
    {"deadline_ns", T_LONGLONG, offsetof(struct timed, deadline_ns), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot timed_slots[] = {
    {Py_tp_new, (void *)PyType_GenericNew},
    {Py_tp_dealloc, (void *)object_free},
    {Py_tp_members, timed_members},
    {0, NULL},
};

static PyType_Spec timed_spec = {
    .name = "machnet_rpc._crossing.Timed",
    .basicsize = sizeof(struct timed),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = timed_slots,
};

int timed_register(PyObject *module) {
    timed_type = (PyTypeObject *)PyType_FromSpec(&timed_spec);
    deadlines_type = (PyTypeObject *)PyType_FromSpec(&deadlines_spec);
    if (timed_type == NULL || deadlines_type == NULL
        || PyModule_AddType(module, timed_type) != 0) {
        return -1;
    }
    return PyModule_AddType(module, deadlines_type);
}
