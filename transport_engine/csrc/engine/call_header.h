/* What stands in front of each message on the wire: the part of a record that the peer's
 * application gets to see (docs/wire.md §6). */
#ifndef ENGINE_CALL_HEADER_H
#define ENGINE_CALL_HEADER_H

#include <stdbool.h>

#include "base/bytes.h"
#include "transport_engine.h"

static inline void call_header_write(uint8_t *out, const struct te_record *record) {
    store_u64(out, record->call_id);
    store_u64(out + 8, record->method_id);
    store_u64(out + 16, record->remaining_ns);
    out[24] = record->kind;
    out[25] = (uint8_t)(record->flags & ~(TE_FIRST | TE_LAST));
    store_u16(out + 26, record->status);
    out[28] = record->progress;
    memset(out + 29, 0, 3);
}

/* False: no application may have written this. */
static inline bool call_header_read(const uint8_t *bytes, struct te_record *record) {
    *record = (struct te_record){
        .call_id = load_u64(bytes),
        .method_id = load_u64(bytes + 8),
        .remaining_ns = load_u64(bytes + 16),
        .kind = bytes[24],
        .flags = bytes[25],
        .status = load_u16(bytes + 26),
        .progress = bytes[28],
    };
    return record->kind >= TE_REQUEST && record->kind <= TE_APP_KIND_LAST &&
           (record->flags & ~(TE_ERROR | TE_METADATA)) == 0 && bytes[29] == 0 && bytes[30] == 0 &&
           bytes[31] == 0;
}

#endif
