#define _GNU_SOURCE
#include "floor_between.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { APART_BYTES = 128 }; /* lines come by pairs */
enum { TRIPS = 500, TRIES = 16, MESSAGES = 128, WAIT_NS_MAX = 1000000000 };
enum { RING_BYTES = 1 << 20, PIECE_BYTES = 1 << 15 };

/* Two threads and what each tells the other: a count that only grows, and OVER at the end. */
struct pair {
    alignas(APART_BYTES) _Atomic uint64_t there;
    alignas(APART_BYTES) _Atomic uint64_t back;
    alignas(APART_BYTES) int cpu;
    int error;
    int sockets[2];
    double idle_s;
    uint8_t *ring;
    uint8_t *near_message;
    uint8_t *far_message;
    uint64_t size_bytes;
};

static const uint64_t OVER = UINT64_MAX;

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

/* False: it did not come in time, or it is over. */
static bool await(const _Atomic uint64_t *word, uint64_t least) {
    int64_t late_ns = INT64_MAX;
    for (uint32_t looks = 1;; looks++) {
        uint64_t seen = atomic_load_explicit(word, memory_order_acquire);
        if (seen >= least) {
            return seen != OVER;
        }
        if (looks % 4096 == 0) {
            const int64_t now_ns = clock_ns();
            if (now_ns > late_ns) {
                return false;
            }
            late_ns = late_ns == INT64_MAX ? now_ns + WAIT_NS_MAX : late_ns;
        }
    }
}

static void tell(_Atomic uint64_t *word, uint64_t count) {
    atomic_store_explicit(word, count, memory_order_release);
}

/* ---- a line ---- */

static void send_back(struct pair *pair) {
    for (uint64_t trip = 1; await(&pair->there, trip); trip++) {
        tell(&pair->back, trip);
    }
}

static double line_ns(struct pair *pair) {
    double shortest = 0;
    uint64_t trip = 0;
    for (int i = 0; i < TRIES; i++) {
        const int64_t begin_ns = clock_ns();
        for (int j = 0; j < TRIPS; j++) {
            tell(&pair->there, ++trip);
            if (!await(&pair->back, trip)) {
                return 0;
            }
        }
        const double took_ns = (double)(clock_ns() - begin_ns) / TRIPS;
        shortest = shortest == 0 || took_ns < shortest ? took_ns : shortest;
    }
    return shortest;
}

/* ---- copies ---- */

static uint64_t piece_bytes(const struct pair *pair, uint64_t offset) {
    const uint64_t left = pair->size_bytes - offset;
    return left < PIECE_BYTES ? left : PIECE_BYTES;
}

static void copy_out(struct pair *pair) {
    for (uint64_t done = 0;;) {
        const uint64_t offset = done % pair->size_bytes;
        const uint64_t size = piece_bytes(pair, offset);
        if (!await(&pair->there, done + size)) {
            return;
        }
        memcpy(pair->far_message + offset, pair->ring + done % RING_BYTES, size);
        tell(&pair->back, done += size);
    }
}

static double copies_gb_per_s(struct pair *pair) {
    const uint64_t all = MESSAGES * pair->size_bytes;
    const int64_t begin_ns = clock_ns();
    for (uint64_t done = 0; done < all;) {
        const uint64_t offset = done % pair->size_bytes;
        const uint64_t size = piece_bytes(pair, offset);
        if (done + size > RING_BYTES && !await(&pair->back, done + size - RING_BYTES)) {
            return 0;
        }
        memcpy(pair->ring + done % RING_BYTES, pair->near_message + offset, size);
        tell(&pair->there, done += size);
    }
    return await(&pair->back, all) ? (double)all / (double)(clock_ns() - begin_ns) : 0;
}

/* ---- a sleeper ---- */

static void sleep_and_tell(struct pair *pair) {
    char byte;
    while (recv(pair->sockets[1], &byte, 1, 0) == 1) {
        tell(&pair->back, 1);
    }
}

static double wake_ns(struct pair *pair) {
    const struct timespec idle = {(time_t)pair->idle_s,
                                  (long)((pair->idle_s - (double)(time_t)pair->idle_s) * 1e9)};
    nanosleep(&idle, NULL);
    const int64_t begin_ns = clock_ns();
    const bool is_sent = send(pair->sockets[0], "", 1, 0) == 1;
    const bool is_awake = is_sent && await(&pair->back, 1);
    const int64_t end_ns = clock_ns();
    shutdown(pair->sockets[0], SHUT_RDWR);
    return is_awake ? (double)(end_ns - begin_ns) : 0;
}

/* ---- two threads ---- */

struct far_side {
    struct pair *pair;
    void (*run)(struct pair *);
};

static void *run_far(void *argument) {
    const struct far_side *far = argument;
    far->pair->error = run_on(far->pair->cpu);
    if (far->pair->error != 0) {
        tell(&far->pair->back, OVER);
        return NULL;
    }
    far->run(far->pair);
    return NULL;
}

/* The figure that `near` has with `far` on the other processor. NULL: an exception. */
static PyObject *measure(struct pair *pair, int cpu, double (*near)(struct pair *),
                         void (*far)(struct pair *)) {
    struct far_side side = {pair, far};
    cpu_set_t before;
    pthread_t thread;
    double figure = 0;
    if (cpu < 0 || cpu >= CPU_SETSIZE || pair->cpu < 0 || pair->cpu >= CPU_SETSIZE) {
        return PyErr_Format(PyExc_ValueError, "there are no such processors");
    }
    int error = pthread_getaffinity_np(pthread_self(), sizeof before, &before);
    error = error != 0 ? error : run_on(cpu);
    if (error == 0 && (error = pthread_create(&thread, NULL, run_far, &side)) == 0) {
        Py_BEGIN_ALLOW_THREADS
        figure = near(pair);
        tell(&pair->there, OVER);
        pthread_join(thread, NULL);
        Py_END_ALLOW_THREADS
        error = pair->error != 0 ? pair->error : figure == 0 ? ETIMEDOUT : 0;
    }
    (void)pthread_setaffinity_np(pthread_self(), sizeof before, &before);
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyFloat_FromDouble(figure);
}

PyObject *between_line_ns(PyObject *module, PyObject *args) {
    struct pair pair = {0};
    int cpu;
    (void)module;
    if (!PyArg_ParseTuple(args, "ii", &cpu, &pair.cpu)) {
        return NULL;
    }
    return measure(&pair, cpu, line_ns, send_back);
}

PyObject *between_copies_gb_per_s(PyObject *module, PyObject *args) {
    struct pair pair = {0};
    unsigned int size_bytes;
    int cpu;
    (void)module;
    if (!PyArg_ParseTuple(args, "iiI", &cpu, &pair.cpu, &size_bytes)) {
        return NULL;
    }
    if (size_bytes == 0 || size_bytes % PIECE_BYTES != 0) {
        return PyErr_Format(PyExc_ValueError, "%u bytes are no multiple of %d", size_bytes,
                            PIECE_BYTES);
    }
    pair.size_bytes = size_bytes;
    pair.ring = calloc(1, RING_BYTES);
    pair.near_message = malloc(size_bytes);
    pair.far_message = malloc(size_bytes);
    PyObject *figure = NULL;
    if (pair.ring == NULL || pair.near_message == NULL || pair.far_message == NULL) {
        PyErr_NoMemory();
    } else {
        memset(pair.near_message, 1, size_bytes);
        figure = measure(&pair, cpu, copies_gb_per_s, copy_out);
    }
    free(pair.ring);
    free(pair.near_message);
    free(pair.far_message);
    return figure;
}

PyObject *between_wake_ns(PyObject *module, PyObject *args) {
    struct pair pair = {0};
    int cpu;
    (void)module;
    if (!PyArg_ParseTuple(args, "iid", &cpu, &pair.cpu, &pair.idle_s)) {
        return NULL;
    }
    if (!(pair.idle_s >= 0 && pair.idle_s <= 3600)) {
        return PyErr_Format(PyExc_ValueError, "a silence may be 0 to 3600 s");
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.sockets) != 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    PyObject *figure = measure(&pair, cpu, wake_ns, sleep_and_tell);
    close(pair.sockets[0]);
    close(pair.sockets[1]);
    return figure;
}
