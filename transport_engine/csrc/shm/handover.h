/* A queue of byte strings between one producing and one consuming thread of this process, in place:
 * one copy in, none out.
 *
 * Full is a value. Does not know what the bytes are; wakes nobody.
 * Source: L. Lamport, "Specifying Concurrent Program Modules", 1983 (the two-counter ring); each
 * side remembers the other's counter, after J. Giacomoni et al., "FastForward for Efficient
 * Pipeline Parallelism", PPoPP 2008.
 */
#ifndef SHM_HANDOVER_H
#define SHM_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

struct handover;

enum handover_limit {
    HANDOVER_ALIGN = 16,
    HANDOVER_BYTES_MIN = 1 << 10, /* of a queue; an item takes a quarter at most */
    HANDOVER_BYTES_MAX = 1 << 30
};

/* Errors: TE_E_INVALID, TE_E_NO_MEMORY. */
int handover_open(struct handover **handover, uint32_t bytes_pow2);
void handover_close(struct handover *handover);

/* Room for an item of so many bytes, to be filled and published; NULL: full, or too large.
 * Thread: the producer's. */
void *handover_reserve(struct handover *handover, uint32_t size_bytes);
/* Shape: after a handover_reserve of so many bytes that gave room. */
void handover_publish(struct handover *handover, uint32_t size_bytes);

/* The oldest item, until handover_release; NULL: there is none. Thread: the consumer's. */
void *handover_peek(struct handover *handover, uint32_t *size_bytes);
/* Shape: after a handover_peek that gave an item. */
void handover_release(struct handover *handover);
/* Whether handover_peek would give nothing. Thread: the consumer's. */
bool handover_is_empty(const struct handover *handover);

#endif
