/* What messages say: every byte follows from who sends which message, so nothing needs keeping.
 *
 * The first eight bytes are the message's name; all others follow from the name and their place.
 * Shape: written and compared in pieces that begin at a multiple of eight.
 */
#ifndef SIM_CONTENT_H
#define SIM_CONTENT_H

#include <stdbool.h>
#include <stdint.h>

/* A direction of one flow in one of its lives. */
struct content_source {
    uint64_t seed;
    uint32_t flow;
    uint16_t epoch;
    bool is_forward;
};

struct content_name {
    uint32_t index; /* of the message, in its direction and epoch */
    uint16_t epoch;
    bool is_of_source; /* false: said by somebody else, or damaged */
};

uint64_t content_name(const struct content_source *source, uint32_t index);
struct content_name content_read_name(const struct content_source *source, uint64_t name);

void content_write(uint64_t name, uint32_t offset_bytes, uint8_t *out, uint32_t size_bytes);
bool content_is(uint64_t name, uint32_t offset_bytes, const uint8_t *bytes, uint32_t size_bytes);

#endif
