/* One bit that one thread sets and another reads: the request to stop.
 *
 * What was written before flag_set is seen after a flag_get that returns true.
 */
#ifndef SHM_FLAG_H
#define SHM_FLAG_H

#include <stdatomic.h>
#include <stdbool.h>

struct flag {
    atomic_bool raised;
};

static inline void flag_set(struct flag *flag) {
    atomic_store_explicit(&flag->raised, true, memory_order_release); /* pairs with flag_get */
}

static inline void flag_clear(struct flag *flag) {
    atomic_store_explicit(&flag->raised, false, memory_order_relaxed);
}

static inline bool flag_get(const struct flag *flag) {
    return atomic_load_explicit(&flag->raised, memory_order_acquire); /* pairs with flag_set */
}

#endif
