/* Floors: a pair of bare rings in shared memory, and a line's way there and back between two
 * processors, as a thin CPython extension.
 *
 * What a call between two processes costs at least when it goes through Python: no flow control, no
 * errors, no sleep, no deadline. Callers never have more messages under way than a ring has slots.
 * The line is what two processors pass to each other at least, and so says how near they are.
 *
 *   open(descriptor, slots, slot_bytes, is_server) -> ring
 *   send(ring, number, body)
 *   receive(ring, looks) -> [(number, body), ...]   looks so many times for a first one
 *   line_ns(cpu, other_cpu) -> float                OSError: there is none to be had there
 *
 * Source: D. Vyukov, bounded MPMC queue (a sequence number in each slot), cut down to one producer
 * and one consumer.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { BURST = 256, LINE_BYTES = 64, APART_BYTES = 2 * LINE_BYTES }; /* lines come by pairs */
enum { TRIPS = 500, TRIES = 16, WAIT_NS_MAX = 1000000000 };
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

struct line {
    alignas(APART_BYTES) _Atomic uint64_t there;
    alignas(APART_BYTES) _Atomic uint64_t back;
    alignas(APART_BYTES) int cpu;
    int error;
};

static int64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int run_on(int cpu) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(cpu, &cpus);
    return pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
}

/* False: it did not come in time, or says that nothing more will. */
static int await(_Atomic uint64_t *word, uint64_t value) {
    int64_t late_ns = INT64_MAX;
    for (uint32_t looks = 1;; looks++) {
        uint64_t seen = atomic_load_explicit(word, memory_order_acquire);
        if (seen == value || seen == UINT64_MAX) {
            return seen == value;
        }
        if (looks % 4096 == 0) {
            const int64_t now_ns = clock_ns();
            if (now_ns > late_ns) {
                return 0;
            }
            late_ns = late_ns == INT64_MAX ? now_ns + WAIT_NS_MAX : late_ns;
        }
    }
}

static void *send_back(void *argument) {
    struct line *line = argument;
    line->error = run_on(line->cpu);
    if (line->error != 0) {
        atomic_store(&line->back, UINT64_MAX);
        return NULL;
    }
    for (uint64_t trip = 1; await(&line->there, trip); trip++) {
        atomic_store_explicit(&line->back, trip, memory_order_release);
    }
    return NULL;
}

/* The shortest of several tries; 0: the other thread did not answer. */
static double shortest_ns(struct line *line) {
    double shortest = 0;
    uint64_t trip = 0;
    for (int i = 0; i < TRIES; i++) {
        const int64_t begin_ns = clock_ns();
        for (int j = 0; j < TRIPS; j++) {
            atomic_store_explicit(&line->there, ++trip, memory_order_release);
            if (!await(&line->back, trip)) {
                return 0;
            }
        }
        const double took_ns = (double)(clock_ns() - begin_ns) / TRIPS;
        shortest = shortest == 0 || took_ns < shortest ? took_ns : shortest;
    }
    return shortest;
}

static PyObject *floor_line_ns(PyObject *module, PyObject *args) {
    (void)module;
    struct line line = {0};
    cpu_set_t before;
    pthread_t thread;
    double shortest = 0;
    int cpu;
    if (!PyArg_ParseTuple(args, "ii", &cpu, &line.cpu)) {
        return NULL;
    }
    if (cpu < 0 || cpu >= CPU_SETSIZE || line.cpu < 0 || line.cpu >= CPU_SETSIZE) {
        return PyErr_Format(PyExc_ValueError, "there are no such processors");
    }
    int error = pthread_getaffinity_np(pthread_self(), sizeof before, &before);
    error = error != 0 ? error : run_on(cpu);
    if (error == 0 && (error = pthread_create(&thread, NULL, send_back, &line)) == 0) {
        Py_BEGIN_ALLOW_THREADS
        shortest = shortest_ns(&line);
        atomic_store(&line.there, UINT64_MAX);
        pthread_join(thread, NULL);
        Py_END_ALLOW_THREADS
        error = line.error != 0 ? line.error : shortest == 0 ? ETIMEDOUT : 0;
    }
    (void)pthread_setaffinity_np(pthread_self(), sizeof before, &before);
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyFloat_FromDouble(shortest);
}

static PyMethodDef methods[] = {
    {"open", floor_open, METH_VARARGS, NULL},
    {"send", (PyCFunction)(void (*)(void))floor_send, METH_FASTCALL, NULL},
    {"receive", (PyCFunction)(void (*)(void))floor_receive, METH_FASTCALL, NULL},
    {"line_ns", floor_line_ns, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "bench_floor",
                                        .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_bench_floor(void);
PyMODINIT_FUNC PyInit_bench_floor(void) {
    return PyModule_Create(&definition);
}
