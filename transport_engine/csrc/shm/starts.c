#include "shm/starts.h"

#include <stdatomic.h>

enum {
    WORD_CALLS = 32,  /* two bits each */
    WORDS = TE_STARTS_WORDS
};

struct starts *starts_of(const struct mapping *mapping, enum mapping_side side) {
    struct starts *all = (struct starts *)(void *)((uint8_t *)mapping->header
                                                   + CHANNEL_STARTS_OFFSET);
    return side == MAPPING_ENGINE ? &all[TE_STARTS_FLOWS] : all;
}

/* Each store is seen after those before it, so that whoever dies between two leaves no untruth. */
static void set(_Atomic uint64_t *word, uint64_t value) {
    atomic_store_explicit(word, value, memory_order_release); /* pairs with get */
}

static uint64_t get(const _Atomic uint64_t *word) {
    return atomic_load_explicit(word, memory_order_acquire); /* pairs with set */
}

/* No words are zero but of whom nothing is said meanwhile. */
static void clear(struct starts *starts, uint64_t from, uint64_t count) {
    set(&starts->newest, UINT64_MAX);
    for (uint64_t i = 0; i < count && i < WORDS; i++) {
        set(&starts->words[(from + i) % WORDS], 0);
    }
}

void starts_begin(struct starts *starts, uint32_t flow, uint64_t number) {
    set(&starts->flow, 0);
    clear(starts, 0, WORDS);
    set(&starts->newest, 0);
    set(&starts->number, number);
    set(&starts->flow, (uint64_t)flow + 1);
}

void starts_note(struct starts *starts, uint32_t flow, uint64_t call_id, enum te_start state) {
    const uint64_t newest = atomic_load_explicit(&starts->newest, memory_order_relaxed);
    const uint64_t last = newest / WORD_CALLS;
    const uint64_t at = call_id / WORD_CALLS;
    if (atomic_load_explicit(&starts->flow, memory_order_relaxed) != (uint64_t)flow + 1
        || newest == UINT64_MAX || call_id == UINT64_MAX || at + WORDS <= last) {
        return;
    }
    if (at > last) {
        clear(starts, last + 1, at - last);
    }
    if (call_id > newest) {
        set(&starts->newest, call_id);
    }
    const unsigned shift = (unsigned)(call_id % WORD_CALLS) * 2;
    _Atomic uint64_t *word = &starts->words[at % WORDS];
    const uint64_t others = atomic_load_explicit(word, memory_order_relaxed)
                            & ~(UINT64_C(3) << shift);
    set(word, others | (uint64_t)state << shift);
}

bool starts_read(const struct starts *starts, uint32_t flow, struct te_starts *read) {
    if (get(&starts->flow) != (uint64_t)flow + 1) {
        return false;
    }
    read->newest = get(&starts->newest);
    for (int i = 0; i < WORDS; i++) {
        read->words[i] = get(&starts->words[i]);
    }
    return read->newest != UINT64_MAX;
}
