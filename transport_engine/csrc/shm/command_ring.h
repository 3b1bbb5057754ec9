/* A queue of fixed-size items between one producing and one consuming thread of this process.
 *
 * Carries te_command and te_completion; does not know them. Wakes nobody.
 * Source: L. Lamport, "Specifying Concurrent Program Modules", 1983 (the two-counter ring).
 */
#ifndef SHM_COMMAND_RING_H
#define SHM_COMMAND_RING_H

#include <stdbool.h>
#include <stdint.h>

struct spsc;

enum spsc_limit { SPSC_ITEM_BYTES_MAX = 4096, SPSC_CAPACITY_MAX = 1 << 20 };

/* `capacity_pow2` counts items. Errors: TE_E_INVALID, TE_E_NO_MEMORY. */
int spsc_open(struct spsc **spsc, uint32_t item_bytes, uint32_t capacity_pow2);
void spsc_close(struct spsc *spsc);

/* Copies the item in. False: full. Thread: the producer's. */
bool spsc_push(struct spsc *spsc, const void *item);
/* Whether spsc_push would succeed now. Thread: the producer's. */
bool spsc_has_room(const struct spsc *spsc);
/* Copies the oldest item out. False: empty. Thread: the consumer's. */
bool spsc_pop(struct spsc *spsc, void *item);

#endif
