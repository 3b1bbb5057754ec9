/* Waiting for messages without sleep: looks at rings, and polls engines, for a bounded time.
 *
 * Other threads of the process run meanwhile; other processes get the core from time to time, since
 * the one that is to answer may be among them. Sooner, where that was so the last time. Nobody
 * spins for a while where others are busy on the core.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "base/contention.h"
#include "crossing.h"

enum {
    SPIN_PORTS_MAX = 16,
    LOOKS_PER_CLOCK = 32,
    YIELD_AFTER_NS = 10000, /* an answer that comes at once is not missed for a system call */
    YIELD_SOON_NS = 1000,   /* ... unless whoever answers has to have this core first */
    SWITCH_NS_MIN = 1500,   /* a yield that took less went to nobody */
    SWITCH_NS_MAX = 200000  /* one that took more, to somebody who is not waited for */
};

/* How long this process spins before it gives its core away. Guarded by no lock: it is a guess, and
 * so is read and written whole. */
static _Atomic int64_t patience_ns = YIELD_AFTER_NS;

static _Thread_local struct contention contention;

bool spin_is_contended(int64_t now_ns) {
    return contention_is_on(&contention, (uint64_t)now_ns);
}

static int64_t clock_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t clock_ns(void) {
    return clock_of(CLOCK_MONOTONIC);
}

/* What time it is, after what had no reason to last. */
static int64_t clock_after(int64_t before_ns) {
    const int64_t now_ns = clock_ns();
    if (contention_has_lost((uint64_t)before_ns, (uint64_t)now_ns)) {
        const uint64_t used_ns = (uint64_t)clock_of(CLOCK_THREAD_CPUTIME_ID);
        contention_learn(&contention, (uint64_t)(now_ns - before_ns), used_ns, (uint64_t)now_ns);
    }
    return now_ns;
}

int64_t spin_yield(int64_t now_ns) {
    sched_yield();
    return clock_after(now_ns);
}

void spin_impatiently(void) {
    atomic_store_explicit(&patience_ns, 0, memory_order_relaxed);
}

/* Whether there is something to receive, or the engine moved something. */
static bool crossing_look(struct crossing *self) {
    struct te_record record;
    const uint8_t *payload;
    if (self->channel == NULL) {
        return false;
    }
    return (self->engine != NULL && engine.poll(self->engine) != 0)
           || engine.peek(self->channel, &record, &payload) != 0;
}

static bool look_at_all(struct crossing *const *crossings, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++) {
        if (crossing_look(crossings[i])) {
            return true;
        }
    }
    return false;
}

/* Whoever is to answer may wait for this core: then it has answered by the end of a short yield. */
static bool yield_and_look(struct crossing *const *crossings, Py_ssize_t count, int64_t *now_ns) {
    const int64_t after_ns = spin_yield(*now_ns);
    const int64_t took_ns = after_ns - *now_ns;
    const bool found = look_at_all(crossings, count);
    const bool is_theirs = found && took_ns >= SWITCH_NS_MIN && took_ns <= SWITCH_NS_MAX;
    atomic_store_explicit(&patience_ns, is_theirs ? YIELD_SOON_NS : YIELD_AFTER_NS,
                          memory_order_relaxed);
    *now_ns = after_ns;
    return found;
}

/* Looks until the deadline, and from `patient_ns` on gives its core away between looks; `*now_ns`
 * is when it looked at the clock last. */
static bool spin(struct crossing *const *crossings, Py_ssize_t count, int64_t *now_ns,
                 int64_t deadline_ns, int64_t patient_ns) {
    bool polls = false;
    for (Py_ssize_t i = 0; i < count; i++) {
        polls = polls || crossings[i]->engine != NULL;
    }
    const int looks = polls ? 1 : LOOKS_PER_CLOCK; /* a poll of an engine takes as long as many */
    do {
        for (int i = 0; i < looks; i++) {
            if (look_at_all(crossings, count)) {
                return true;
            }
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        }
        *now_ns = clock_after(*now_ns);
        if (*now_ns >= patient_ns && yield_and_look(crossings, count, now_ns)) {
            return true;
        }
    } while (*now_ns < deadline_ns && !spin_is_contended(*now_ns));
    return false;
}

/* The first of it, with the GIL held: no longer than until a yield, for which others wait. */
static bool spin_held(struct crossing *const *crossings, Py_ssize_t count, int64_t *now_ns,
                      int64_t deadline_ns, int64_t patient_ns) {
    int64_t held_ns = *now_ns + HELD_NS;
    held_ns = held_ns < patient_ns ? held_ns : patient_ns;
    held_ns = held_ns < deadline_ns ? held_ns : deadline_ns;
    const bool found = spin(crossings, count, now_ns, held_ns, INT64_MAX);
    if (found) {
        crossings[0]->looked_ns = count == 1 ? *now_ns : 0;
    }
    return found;
}

static int64_t patient_until(int64_t now_ns) {
    return now_ns + atomic_load_explicit(&patience_ns, memory_order_relaxed);
}

bool crossing_glance(struct crossing *crossing, int64_t spin_ns) {
    int64_t now_ns = clock_ns();
    return look_at_all(&crossing, 1)
           || spin_held(&crossing, 1, &now_ns, now_ns + spin_ns, INT64_MAX);
}

bool crossings_spin(struct crossing *const *crossings, Py_ssize_t count, int64_t spin_ns) {
    if (look_at_all(crossings, count)) {
        return true;
    }
    if (spin_ns <= 0) {
        return false;
    }
    int64_t now_ns = clock_ns();
    if (spin_is_contended(now_ns)) {
        return false;
    }
    const int64_t deadline_ns = now_ns + spin_ns;
    const int64_t patient_ns = patient_until(now_ns);
    if (spin_held(crossings, count, &now_ns, deadline_ns, patient_ns)) {
        return true;
    }
    if (now_ns >= deadline_ns) {
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_INCREF((PyObject *)crossings[i]);
    }
    bool found = false;
    Py_BEGIN_ALLOW_THREADS
    found = spin(crossings, count, &now_ns, deadline_ns, patient_ns);
    Py_END_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_DECREF((PyObject *)crossings[i]);
    }
    return found;
}

PyObject *crossing_is_contended(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyBool_FromLong(spin_is_contended(clock_ns()));
}

PyObject *crossing_spin(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    struct crossing *crossings[SPIN_PORTS_MAX];
    const Py_ssize_t size = count == 2 && PyList_Check(args[0]) ? PyList_Size(args[0]) : -1;
    const long long spin_ns = size < 0 ? 0 : PyLong_AsLongLong(args[1]);
    if (size < 0 || (spin_ns == -1 && PyErr_Occurred())) {
        PyErr_SetString(PyExc_TypeError, "spin(list of crossings, nanoseconds)");
        return NULL;
    }
    if (size > SPIN_PORTS_MAX) {
        Py_RETURN_FALSE; /* so many have something soon enough */
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *item = PyList_GetItem(args[0], i);
        if (Py_TYPE(item) != crossing_type) {
            PyErr_SetString(PyExc_TypeError, "only a Crossing can be looked at");
            return NULL;
        }
        crossings[i] = (struct crossing *)item;
    }
    return PyBool_FromLong(crossings_spin(crossings, size, spin_ns));
}
