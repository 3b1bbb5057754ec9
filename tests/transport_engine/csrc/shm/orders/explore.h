/* Runs two threads of real code through every order of their atomic operations, and through every
 * value that C11 lets a load return.
 *
 * Every location keeps all of its stores. A thread has a view: of each location, the oldest store
 * that it may still read. A load may return any store that is not older; with acquire it takes over
 * the view that a release store carries. A full fence joins the thread's view with that of all full
 * fences before it. What is no atomic must be ordered by that: two accesses to the same bytes, one
 * of them a write, neither before the other, are a race, and a failure. So is a thread that sleeps
 * when nothing else can run. Runs that differ in the order of independent operations count as one.
 *
 * Bounds: a store comes last in its location's order at the time that it runs, loads do not see
 * stores of the future; so no load buffering, which C11 allows and no compiler does across a copy.
 * Sources: J. Kang et al., "A Promising Semantics for Relaxed-Memory Concurrency", 2017 (views,
 * fences); P. Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", 1996
 * (sleep sets).
 */
#ifndef ORDERS_EXPLORE_H
#define ORDERS_EXPLORE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { EXPLORE_THREADS = 2 };

struct scenario {
    const char *name;
    void (*reset)(void); /* before every run */
    void (*threads[EXPLORE_THREADS])(void);
    void (*check)(void); /* after every run that came to its end */
};

/* The same bytes are mapped at several addresses: those of one `name` are one. Bytes outside of
 * every region are private. */
void explore_region(const void *at, size_t bytes, uint32_t name);
/* The socket of a doorbell's end is known by the descriptor that its owner reads. */
void explore_sockets(int fd_a, int fd_b);

/* Walks all runs; returns how many. Ends the process with status 1 and the run when one fails. */
uint64_t explore(const struct scenario *scenario);

/* ---- called by the threads; before any run they act on the memory itself ---- */

struct shared {
    volatile void *at;
    size_t bytes;
};

uint64_t explore_load(struct shared shared, memory_order order);
void explore_store(struct shared shared, uint64_t value, memory_order order);
uint64_t explore_exchange(struct shared shared, uint64_t value, memory_order order);
void explore_fence(memory_order order);
void *explore_copy(void *to, const void *from, size_t bytes);
ptrdiff_t explore_send(int fd);
ptrdiff_t explore_receive(int fd);
/* Sleeps until a byte is in the socket that `fd` reads. */
void explore_sleep(int fd);
/* A run in which this is false is not looked at: for what a thread would try again. */
void explore_assume(int claim);
void explore_must(int claim, const char *sentence);

#endif
