/* Puts a whole engine back to where it was, in microseconds and without a system call.
 *
 * Between snapshot_begin and snapshot_end every allocation is noted; snapshot_add notes memory that
 * is none. snapshot_restore writes all of it back, so that each input meets the same state.
 * Needs a sanitizer's allocator. Does not know what the memory means.
 */
#ifndef FUZZ_SNAPSHOT_H
#define FUZZ_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* As in clang's sanitizer/allocator_interface.h, which gcc has in its library only. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));

enum snapshot_limit {
    SNAPSHOT_PIECES_MAX = 256,
    /* Longer allocations hold datagrams under way, which nobody reads before they are written. */
    SNAPSHOT_HEAP_BYTES_MAX = 65536
};

struct snapshot_piece {
    void *memory;
    void *copy;
    size_t bytes;
};

static struct snapshot_piece snapshot_pieces[SNAPSHOT_PIECES_MAX];
static size_t snapshot_count;
static bool snapshot_is_noting;

static inline void snapshot_add(const volatile void *memory, size_t bytes) {
    if (snapshot_count == SNAPSHOT_PIECES_MAX) {
        abort();
    }
    snapshot_pieces[snapshot_count++] = (struct snapshot_piece){(void *)memory, NULL, bytes};
}

static inline void snapshot_on_malloc(const volatile void *memory, size_t bytes) {
    if (snapshot_is_noting && bytes <= SNAPSHOT_HEAP_BYTES_MAX) {
        snapshot_add(memory, bytes);
    }
}

static inline void snapshot_on_free(const volatile void *memory) {
    for (size_t i = 0; snapshot_is_noting && i < snapshot_count; i++) {
        if (snapshot_pieces[i].memory == memory) {
            snapshot_pieces[i] = snapshot_pieces[--snapshot_count];
            return;
        }
    }
}

static inline void snapshot_begin(void) {
    snapshot_is_noting = true;
    if (__sanitizer_install_malloc_and_free_hooks(snapshot_on_malloc, snapshot_on_free) == 0) {
        abort();
    }
}

static inline void snapshot_end(void) {
    snapshot_is_noting = false;
    for (size_t i = 0; i < snapshot_count; i++) {
        struct snapshot_piece *piece = &snapshot_pieces[i];
        piece->copy = malloc(piece->bytes);
        if (piece->copy == NULL) {
            abort();
        }
        memcpy(piece->copy, piece->memory, piece->bytes);
    }
}

static inline void snapshot_restore(void) {
    for (size_t i = 0; i < snapshot_count; i++) {
        memcpy(snapshot_pieces[i].memory, snapshot_pieces[i].copy, snapshot_pieces[i].bytes);
    }
}

#endif
