/* Copies into memory that another core reads next.
 *
 * Lines that this core has written and keeps in its cache are fetched from there one by one, which
 * takes up to ten times as long as reading what was written past the caches.
 */
#ifndef SHM_FAR_COPY_H
#define SHM_FAR_COPY_H

#include <stddef.h>
#include <stdint.h>

/* As memcpy. What it wrote is seen by whoever sees a release that follows. */
void far_copy(uint8_t *to, const uint8_t *from, size_t size_bytes);

#endif
