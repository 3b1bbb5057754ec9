/* Tally: what is counted of one method's calls.
 *
 * The same as the class in machnet_rpc/_protocol/tally.py, which says what it means, with the
 * buckets of machnet_rpc/_buckets.py.
 */
#include <stddef.h>

#include "crossing.h"

enum { CODES = 17, UNKNOWN = 2, BITS = 3, VALUE_BITS = 63 };
enum { BUCKETS = (VALUE_BITS - BITS + 1) << BITS };

struct tally {
    PyObject ob_base; /* PyObject_HEAD */
    uint64_t begun;
    uint64_t longest_ns;
    uint64_t ended[CODES];
    uint64_t buckets[BUCKETS];
};

PyTypeObject *tally_type;

static size_t bucket_of(uint64_t value) {
    if (value < (1u << BITS)) {
        return value;
    }
    const unsigned exponent = (unsigned)(VALUE_BITS - __builtin_clzll(value)) - BITS;
    return ((size_t)exponent << BITS) + (size_t)(value >> exponent);
}

static void end(struct tally *self, uint64_t code, int64_t took_ns) {
    const uint64_t took = took_ns < 0 ? 0 : (uint64_t)took_ns;
    self->ended[code < CODES ? code : UNKNOWN]++;
    self->buckets[bucket_of(took)]++;
    if (took > self->longest_ns) {
        self->longest_ns = took;
    }
}

void tally_begin(struct incoming *call, PyObject *tally) {
    ((struct tally *)tally)->begun++;
    slot_set(&call->tally, Py_NewRef(tally));
}

void tally_end(struct incoming *call, uint64_t code) {
    PyObject *tally = call->tally;
    if (tally != NULL && Py_TYPE(tally) == tally_type) {
        call->tally = NULL;
        end((struct tally *)tally, code, clock_ns() - call->taken_ns);
        Py_DECREF(tally);
    }
}

static PyObject *tally_begin_one(PyObject *object, PyObject *unused) {
    (void)unused;
    ((struct tally *)object)->begun++;
    Py_RETURN_NONE;
}

/* end(code, took_ns) */
static PyObject *tally_end_one(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "end(code, took_ns)");
        return NULL;
    }
    const long long code = PyLong_AsLongLong(args[0]);
    const long long took_ns = PyLong_AsLongLong(args[1]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    end((struct tally *)object, code < 0 ? UNKNOWN : (uint64_t)code, took_ns);
    Py_RETURN_NONE;
}

static PyObject *list_of(const uint64_t *numbers, Py_ssize_t count) {
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        PyObject *number = PyLong_FromUnsignedLongLong(numbers[i]);
        if (number == NULL || PyList_SetItem(list, i, number) != 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *tally_ended(PyObject *object, PyObject *unused) {
    (void)unused;
    return list_of(((struct tally *)object)->ended, CODES);
}

static PyObject *tally_buckets(PyObject *object, PyObject *unused) {
    (void)unused;
    return list_of(((struct tally *)object)->buckets, BUCKETS);
}

static PyMemberDef tally_members[] = {
    {"begun", T_ULONGLONG, offsetof(struct tally, begun), READONLY, NULL},
    {"longest_ns", T_ULONGLONG, offsetof(struct tally, longest_ns), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef tally_methods[] = {
    {"begin", tally_begin_one, METH_NOARGS, NULL},
    {"end", (PyCFunction)(void (*)(void))tally_end_one, METH_FASTCALL, NULL},
    {"ended", tally_ended, METH_NOARGS, NULL},
    {"buckets", tally_buckets, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot tally_slots[] = {
    {Py_tp_dealloc, (void *)object_free},
    {Py_tp_members, tally_members},
    {Py_tp_methods, tally_methods},
    {0, NULL},
};

static PyType_Spec tally_spec = {
    .name = "machnet_rpc._crossing.Tally",
    .basicsize = sizeof(struct tally),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = tally_slots,
};

int tally_register(PyObject *module) {
    tally_type = (PyTypeObject *)PyType_FromSpec(&tally_spec);
    return tally_type == NULL ? -1 : PyModule_AddType(module, tally_type);
}
