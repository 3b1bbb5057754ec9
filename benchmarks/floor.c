/* Floors: a pair of bare rings in shared memory, as a thin CPython extension; and what two
 * processors do for each other at least (floor_between.c).
 *
 * What a call between two processes costs at least when it goes through Python: no flow control, no
 * errors, no sleep, no deadline. Callers never have more messages under way than a ring has slots.
 *
 *   open(descriptor, slots, slot_bytes, is_server) -> ring
 *   send(ring, number, body)
 *   receive(ring, looks) -> [(number, body), ...]   looks so many times for a first one
 *
 * Source: D. Vyukov, bounded MPMC queue (a sequence number in each slot), cut down to one producer
 * and one consumer.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "floor_between.h"

enum { BURST = 256, LINE_BYTES = 64 };
static const char NAME[] = "ring";

struct slot {
    _Atomic uint64_t turn; /* 1 + the message's place in the stream, once it may be read */
    uint32_t number;
    uint32_t size_bytes;
    uint8_t body[];
};

struct direction {
    uint8_t *slots;
    uint64_t done; /* messages so far */
};

struct ring {
    struct direction outgoing, incoming;
    uint64_t mask;
    size_t stride_bytes, body_bytes_max, mapped_bytes;
    void *mapped;
};

static struct slot *slot_at(const struct ring *ring, const struct direction *direction) {
    size_t index = (size_t)(direction->done & ring->mask);
    return (struct slot *)(void *)(direction->slots + index * ring->stride_bytes);
}

static struct slot *arrived(const struct ring *ring) {
    struct slot *slot = slot_at(ring, &ring->incoming);
    uint64_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);
    return turn == ring->incoming.done + 1 ? slot : NULL;
}

static void close_ring(PyObject *capsule) {
    struct ring *ring = PyCapsule_GetPointer(capsule, NAME);
    munmap(ring->mapped, ring->mapped_bytes);
    free(ring);
}

static PyObject *floor_open(PyObject *module, PyObject *args) {
    int descriptor, is_server;
    unsigned int slots, body_bytes;
    (void)module;
    if (!PyArg_ParseTuple(args, "iIIp", &descriptor, &slots, &body_bytes, &is_server)) {
        return NULL;
    }
    if (slots == 0 || (slots & (slots - 1)) != 0) {
        return PyErr_Format(PyExc_ValueError, "%u slots are no power of two", slots);
    }
    struct ring *ring = calloc(1, sizeof *ring);
    if (ring == NULL) {
        return PyErr_NoMemory();
    }
    size_t stride = (sizeof(struct slot) + body_bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
    size_t half = slots * stride;
    void *mapped = mmap(NULL, 2 * half, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                        descriptor, 0);
    if (mapped == MAP_FAILED) {
        free(ring);
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    *ring = (struct ring){.mask = slots - 1, .stride_bytes = stride, .body_bytes_max = body_bytes,
                          .mapped_bytes = 2 * half, .mapped = mapped};
    ring->outgoing.slots = (uint8_t *)mapped + (is_server ? half : 0);
    ring->incoming.slots = (uint8_t *)mapped + (is_server ? 0 : half);
    PyObject *capsule = PyCapsule_New(ring, NAME, close_ring);
    if (capsule == NULL) {
        munmap(mapped, 2 * half);
        free(ring);
    }
    return capsule;
}

static PyObject *floor_send(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    char *body;
    Py_ssize_t size;
    (void)module;
    if (count != 3) {
        return PyErr_Format(PyExc_TypeError, "send(ring, number, body)");
    }
    struct ring *ring = PyCapsule_GetPointer(args[0], NAME);
    unsigned long number = PyLong_AsUnsignedLong(args[1]);
    if (ring == NULL || PyErr_Occurred() || PyBytes_AsStringAndSize(args[2], &body, &size) != 0) {
        return NULL;
    }
    if ((size_t)size > ring->body_bytes_max) {
        return PyErr_Format(PyExc_ValueError, "%zd bytes do not fit a slot", size);
    }
    struct slot *slot = slot_at(ring, &ring->outgoing);
    slot->number = (uint32_t)number;
    slot->size_bytes = (uint32_t)size;
    memcpy(slot->body, body, (size_t)size);
    atomic_store_explicit(&slot->turn, ++ring->outgoing.done, memory_order_release);
    Py_RETURN_NONE;
}

static int take(struct ring *ring, const struct slot *slot, PyObject *messages) {
    PyObject *body = PyBytes_FromStringAndSize((const char *)slot->body, slot->size_bytes);
    PyObject *number = body == NULL ? NULL : PyLong_FromUnsignedLong(slot->number);
    PyObject *pair = number == NULL ? NULL : PyTuple_Pack(2, number, body);
    int failed = pair == NULL || PyList_Append(messages, pair) != 0;
    Py_XDECREF(body);
    Py_XDECREF(number);
    Py_XDECREF(pair);
    ring->incoming.done++;
    return failed ? -1 : 0;
}

static PyObject *floor_receive(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    if (count != 2) {
        return PyErr_Format(PyExc_TypeError, "receive(ring, looks)");
    }
    struct ring *ring = PyCapsule_GetPointer(args[0], NAME);
    long looks = PyLong_AsLong(args[1]);
    if (ring == NULL || PyErr_Occurred()) {
        return NULL;
    }
    const struct slot *slot = arrived(ring);
    while (slot == NULL && --looks > 0) {
        slot = arrived(ring);
    }
    PyObject *messages = PyList_New(0);
    for (int i = 0; messages != NULL && slot != NULL && i < BURST; i++) {
        if (take(ring, slot, messages) != 0) {
            Py_CLEAR(messages);
            return NULL;
        }
        slot = arrived(ring);
    }
    return messages;
}

static PyMethodDef methods[] = {
    {"open", floor_open, METH_VARARGS, NULL},
    {"send", (PyCFunction)(void (*)(void))floor_send, METH_FASTCALL, NULL},
    {"receive", (PyCFunction)(void (*)(void))floor_receive, METH_FASTCALL, NULL},
    {"line_ns", between_line_ns, METH_VARARGS, NULL},
    {"copies_gb_per_s", between_copies_gb_per_s, METH_VARARGS, NULL},
    {"wake_ns", between_wake_ns, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "bench_floor",
                                        .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_bench_floor(void);
PyMODINIT_FUNC PyInit_bench_floor(void) {
    return PyModule_Create(&definition);
}
