/* Copies into memory that another core reads next.
 *
 * Lines that this core has written and keeps in its cache are fetched from there one by one, which
 * takes up to ten times as long as reading what was written past the caches. Not so on AMD's
 * processors since Zen 5: there such a line comes as fast as memory, and memory is the slower way.
 */
#ifndef SHM_FAR_COPY_H
#define SHM_FAR_COPY_H

#include <stddef.h>
#include <stdint.h>

/* As memcpy, by what is faster here. What it wrote is seen by whoever sees a release after it. */
void far_copy(uint8_t *to, const uint8_t *from, size_t size_bytes);

/* The same past the caches, whatever is faster. */
void far_copy_past_caches(uint8_t *to, const uint8_t *from, size_t size_bytes);

#endif
