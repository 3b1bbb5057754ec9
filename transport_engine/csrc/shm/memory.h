/* The memory of a channel as a memfd: made whole, and sealed in two steps.
 *
 * Does not map it. Source: docs/channel.md §1, §5.
 */
#ifndef SHM_MEMORY_H
#define SHM_MEMORY_H

#include <stdint.h>

/* Makes the memfd with its header written and all its pages taken, so that no later write can fail
 * for want of memory, and with step one of the seals.
 * Owner: the descriptor is the caller's.
 * Errors: TE_E_INVALID (ring_bytes is no power of two within its limits), TE_E_NO_MEMORY,
 * TE_E_DENIED, TE_E_SYSTEM; `why` (TE_WHY_BYTES) says what to do. */
int memory_make(uint64_t ring_bytes, int *memory_fd, char *why);

/* Step two, once those who should write have mapped: nobody else can any more, and nobody can
 * remove pages.
 * Errors: TE_E_CORRUPT where somebody removed pages before, or kept the seal off; TE_E_SYSTEM. */
int memory_seal(int memory_fd);

#endif
