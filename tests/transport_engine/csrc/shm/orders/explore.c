/* The explorer: threads with stacks of their own, views, and a depth-first walk of all choices. */
#include "explore.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "choices.h"
#include "regions.h"
#include "views.h"

enum explore_limit {
    STORES_MAX = 32,   /* of one location in one run */
    GRANULE_BYTES = 8,
    STACK_BYTES = 256 << 10,
    TRACE_MAX = 256
};

enum operation { LOAD, STORE, EXCHANGE, FENCE, SEND, RECEIVE, SLEEP };

static const char *const operation_names[] = {"load", "store", "exchange", "fence",
                                              "send", "receive", "sleep"};

struct message {
    uint64_t value;
    struct view view; /* what who acquires it takes over */
};

struct location {
    uint64_t name;
    struct message stores[STORES_MAX];
    uint32_t count;
};

struct granule {
    uint16_t written[EXPLORE_THREADS]; /* the thread's clock at its last write; 0: none */
    uint16_t read[EXPLORE_THREADS];
    uint32_t run;
};

struct thread {
    jmp_buf resume;
    ucontext_t start;
    uint8_t *stack;
    struct view now, acquirable, released;
    enum operation operation; /* that it does next */
    uint32_t object;          /* location or socket of it */
    bool is_started, is_done;
};

static int socket_fds[EXPLORE_THREADS];
static uint32_t sockets[EXPLORE_THREADS];
static struct location locations[LOCATIONS];
static uint32_t location_count;
static struct granule granules[(NAMES + 1) * REGION_BYTES / GRANULE_BYTES];
static struct view fenced; /* what full fences have seen */
static struct thread threads[EXPLORE_THREADS];
static uint32_t running;
static uint32_t run_number;
static jmp_buf scheduler;
static ucontext_t scheduler_start;
static const struct scenario *exploring;
static char trace[TRACE_MAX][96];
static size_t trace_count;

/* ---- failures ---- */

static _Noreturn void fail(const char *sentence) {
    const char *name = exploring != NULL ? exploring->name : "setting up";
    printf("%s, run %u: %s\n", name, run_number, sentence);
    for (size_t i = 0; i < trace_count; i++) {
        printf("  %s\n", trace[i]);
    }
    fflush(stdout);
    _Exit(1);
}

static void note(const char *what, uint32_t object, uint64_t value) {
    if (trace_count < TRACE_MAX) {
        snprintf(trace[trace_count++], sizeof trace[0], "thread %u: %-8s %u -> %llu", running, what,
                 object, (unsigned long long)value);
    }
}

void explore_must(int claim, const char *sentence) {
    if (!claim) {
        fail(sentence);
    }
}

/* ---- shared bytes ---- */

void explore_region(const void *at, size_t bytes, uint32_t name) {
    explore_must(region_add(at, bytes, name), "no room for a region");
}

void explore_sockets(int fd_a, int fd_b) {
    socket_fds[0] = fd_a;
    socket_fds[1] = fd_b;
}

static uint64_t value_in_memory(struct shared shared) {
    uint64_t value = 0;
    memcpy(&value, (const void *)(uintptr_t)shared.at, shared.bytes);
    return value;
}

static uint32_t location_of(struct shared shared) {
    const uint64_t name = name_of(shared.at);
    explore_must(name != 0, "an atomic outside of shared memory");
    uint32_t i = 0;
    while (i < location_count && locations[i].name != name) {
        i++;
    }
    if (i == location_count) {
        explore_must(location_count++ < LOCATIONS, "too many locations");
        locations[i] = (struct location){.name = name, .count = 1};
        locations[i].stores[0].value = value_in_memory(shared);
    }
    return i;
}

/* ---- threads ---- */

/* Stops before an operation, until it is this thread's turn. */
static struct thread *turn(enum operation operation, uint32_t object) {
    struct thread *thread = &threads[running];
    thread->operation = operation;
    thread->object = object;
    if (_setjmp(thread->resume) == 0) {
        _longjmp(scheduler, 1);
    }
    return thread;
}

static void thread_main(void) {
    exploring->threads[running]();
    threads[running].is_done = true;
    _longjmp(scheduler, 1);
}

void explore_assume(int claim) {
    if (!claim) {
        _longjmp(scheduler, 2);
    }
}

static bool is_enabled(const struct thread *thread) {
    return !thread->is_done && (thread->operation != SLEEP || sockets[thread->object] > 0);
}

static bool is_write(enum operation operation) {
    return operation == STORE || operation == EXCHANGE;
}

static bool is_dependent(const struct thread *a, const struct thread *b) {
    const bool has_socket_a = a->operation >= SEND;
    const bool has_socket_b = b->operation >= SEND;
    if (a->operation == FENCE || b->operation == FENCE) {
        return a->operation == b->operation;
    }
    if (has_socket_a != has_socket_b || a->object != b->object) {
        return false;
    }
    return has_socket_a || is_write(a->operation) || is_write(b->operation);
}

/* 0: came to its end; 1: is not looked at. */
static int walk(void) {
    volatile uint32_t asleep = 0; /* threads whose turn now would give a run that was seen */
    for (;;) {
        uint32_t candidates[EXPLORE_THREADS];
        uint32_t count = 0;
        bool has_enabled = false, has_all_done = true;
        for (uint32_t i = 0; i < EXPLORE_THREADS; i++) {
            has_all_done &= threads[i].is_done;
            has_enabled |= is_enabled(&threads[i]);
            if (is_enabled(&threads[i]) && (asleep >> i & 1) == 0) {
                candidates[count++] = i;
            }
        }
        if (has_all_done) {
            return 0;
        }
        if (!has_enabled) {
            fail("a thread sleeps, and nobody will wake it");
        }
        if (count == 0) {
            return 1;
        }
        const uint32_t chosen = choose(count);
        for (uint32_t i = 0; i < chosen; i++) {
            asleep |= 1U << candidates[i];
        }
        running = candidates[chosen];
        for (uint32_t i = 0; i < EXPLORE_THREADS; i++) {
            if (i != running && is_dependent(&threads[i], &threads[running])) {
                asleep &= ~(1U << i);
            }
        }
        const int back = _setjmp(scheduler);
        if (back == 0) {
            _longjmp(threads[running].resume, 1);
        }
        if (back == 2) {
            return 1;
        }
    }
}

/* Lets each thread come to its first operation; up to there it touches nothing shared. */
static int start_threads(void) {
    for (volatile uint32_t i = 0; i < EXPLORE_THREADS; i++) {
        running = i;
        struct thread *thread = &threads[running];
        uint8_t *stack = thread->stack != NULL ? thread->stack : malloc(STACK_BYTES);
        explore_must(stack != NULL, "no memory");
        *thread = (struct thread){.stack = stack};
        thread->now.clock[running] = 1;
        getcontext(&thread->start);
        thread->start.uc_stack.ss_sp = stack;
        thread->start.uc_stack.ss_size = STACK_BYTES;
        thread->start.uc_link = &scheduler_start;
        makecontext(&thread->start, thread_main, 0);
        const int back = _setjmp(scheduler);
        if (back == 0) {
            setcontext(&thread->start);
        }
        if (back == 2) {
            return 1;
        }
    }
    return 0;
}

uint64_t explore(const struct scenario *scenario) {
    uint64_t finished = 0;
    exploring = scenario;
    choice_count = 0;
    do {
        choice_at = 0;
        trace_count = 0;
        location_count = 0;
        memset(&fenced, 0, sizeof fenced);
        memset(sockets, 0, sizeof sockets);
        run_number++;
        scenario->reset();
        if (start_threads() == 0 && walk() == 0) {
            scenario->check();
            finished++;
        }
    } while (next_run());
    exploring = NULL;
    return finished;
}

/* ---- atomics ---- */

static void see(struct thread *thread, uint32_t location, uint32_t store, memory_order order) {
    const struct message *message = &locations[location].stores[store];
    thread->now.oldest[location] = (uint8_t)store;
    join(acquires(order) ? &thread->now : &thread->acquirable, &message->view);
}

static void add(struct thread *thread, uint32_t location, uint64_t value, memory_order order) {
    struct location *to = &locations[location];
    explore_must(to->count < STORES_MAX, "too many stores to one location");
    thread->now.oldest[location] = (uint8_t)to->count;
    struct message *message = &to->stores[to->count++];
    message->value = value;
    message->view = releases(order) ? thread->now : thread->released;
    thread->now.clock[running]++; /* what comes after was not released by it */
}

uint64_t explore_load(struct shared shared, memory_order order) {
    if (exploring == NULL) {
        return value_in_memory(shared);
    }
    const uint32_t location = location_of(shared);
    struct thread *thread = turn(LOAD, location);
    const uint32_t oldest = thread->now.oldest[location];
    /* The newest first: most runs then end soon. */
    const uint32_t store =
        locations[location].count - 1 - choose(locations[location].count - oldest);
    see(thread, location, store, order);
    note(operation_names[LOAD], location, locations[location].stores[store].value);
    return locations[location].stores[store].value;
}

void explore_store(struct shared shared, uint64_t value, memory_order order) {
    if (exploring == NULL) {
        memcpy((void *)(uintptr_t)shared.at, &value, shared.bytes);
        return;
    }
    const uint32_t location = location_of(shared);
    add(turn(STORE, location), location, value, order);
    note(operation_names[STORE], location, value);
}

uint64_t explore_exchange(struct shared shared, uint64_t value, memory_order order) {
    const uint32_t location = location_of(shared);
    struct thread *thread = turn(EXCHANGE, location);
    const uint32_t last = locations[location].count - 1;
    see(thread, location, last, order);
    add(thread, location, value, order);
    /* It goes on with the release sequence of what it replaces. */
    join(&locations[location].stores[last + 1].view, &locations[location].stores[last].view);
    note(operation_names[EXCHANGE], location, locations[location].stores[last].value);
    return locations[location].stores[last].value;
}

void explore_fence(memory_order order) {
    if (exploring == NULL) {
        return;
    }
    struct thread *thread = turn(FENCE, 0);
    explore_must(order == memory_order_seq_cst, "only full fences are known");
    join(&thread->now, &thread->acquirable);
    join(&thread->now, &fenced);
    fenced = thread->now;
    thread->released = thread->now;
    thread->now.clock[running]++;
    note(operation_names[FENCE], 0, 0);
}

/* ---- sockets: no order of memory is taken from them ---- */

ptrdiff_t explore_send(int fd) {
    const uint32_t to = fd == socket_fds[0] ? 1 : 0;
    turn(SEND, to);
    note(operation_names[SEND], to, ++sockets[to]);
    return 1;
}

ptrdiff_t explore_receive(int fd) {
    const uint32_t own = fd == socket_fds[0] ? 0 : 1;
    turn(RECEIVE, own);
    const uint32_t bytes = sockets[own];
    sockets[own] = 0;
    note(operation_names[RECEIVE], own, bytes);
    return bytes > 0 ? (ptrdiff_t)bytes : -1;
}

void explore_sleep(int fd) {
    const uint32_t own = fd == socket_fds[0] ? 0 : 1;
    turn(SLEEP, own);
    note(operation_names[SLEEP], own, sockets[own]);
}

/* ---- everything else ---- */

static void touch_granule(uint64_t name, bool writes) {
    struct granule *granule = &granules[name / GRANULE_BYTES];
    struct thread *thread = &threads[running];
    if (granule->run != run_number) {
        *granule = (struct granule){.run = run_number};
    }
    const uint32_t other = 1 - running;
    if (granule->written[other] > thread->now.clock[other]) {
        fail(writes ? "two writes race" : "a read races with the write before it");
    }
    if (writes && granule->read[other] > thread->now.clock[other]) {
        fail("a write races with the read before it");
    }
    (writes ? granule->written : granule->read)[running] = thread->now.clock[running];
}

static void touch(const void *at, size_t bytes, bool writes) {
    if (name_of(at) == 0) {
        return;
    }
    for (size_t i = 0; i < bytes; i += GRANULE_BYTES) {
        touch_granule(name_of((const uint8_t *)at + i), writes);
    }
}

void *explore_copy(void *to, const void *from, size_t bytes) {
    if (exploring != NULL) {
        touch(from, bytes, false);
        touch(to, bytes, true);
    }
    return memcpy(to, from, bytes);
}
