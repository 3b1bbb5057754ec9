/* The pieces of a large message, moved without the GIL for as long as the other side keeps up.
 *
 * The two sides work at the same time: one fills the ring while the other empties it. Each waits a
 * moment for the other rather than go through the event loop for every ring of bytes; it stops
 * where the other stalls, where there is something to do in the other direction, and in any case
 * after STREAM_NS, since the event loop has other work. Knows pieces, not messages.
 */
#include <string.h>

#include "crossing.h"

enum {
    STREAM_NS = 2000000, /* of one turn of the event loop, for each direction */
    STALL_NS = 50000,    /* without a piece */
    YIELD_AFTER_NS = 10000,
    LOOKS_PER_CLOCK = 16
};

/* How long to go on; see the constants. */
struct patience {
    int64_t begun_ns;
    int64_t moved_ns;
    int64_t ends_ns;
    int looks;
};

static struct patience patience_begin(int64_t used_ns) {
    const int64_t now_ns = clock_ns();
    return (struct patience){
        .begun_ns = now_ns, .moved_ns = now_ns, .ends_ns = now_ns + STREAM_NS - used_ns};
}

/* After a piece, whether there is time for another. */
static bool patience_moved(struct patience *patience) {
    patience->moved_ns = clock_ns();
    patience->looks = 0;
    return patience->moved_ns < patience->ends_ns;
}

/* After a look in vain, whether to look again. */
static bool patience_waits(struct patience *patience) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
    if (++patience->looks % LOOKS_PER_CLOCK != 0) {
        return true;
    }
    int64_t now_ns = clock_ns();
    if (now_ns - patience->moved_ns > YIELD_AFTER_NS) {
        now_ns = spin_yield(now_ns); /* the other side may wait for this core */
    }
    return now_ns < patience->ends_ns && now_ns - patience->moved_ns < STALL_NS
           && !spin_is_contended(now_ns);
}

int64_t put_pieces(const struct crossing *self, struct te_record *record, const uint8_t *payload,
                   int64_t from) {
    const uint32_t total = record->total_bytes;
    const uint8_t flags = record->flags & (uint8_t) ~(TE_FIRST | TE_LAST);
    uint32_t offset = (uint32_t)from;
    do {
        const uint32_t left = total - offset;
        record->offset_bytes = offset;
        record->size_bytes = left < TE_RECORD_PAYLOAD_MAX ? left : TE_RECORD_PAYLOAD_MAX;
        record->flags = flags;
        if (offset == 0) {
            record->flags |= TE_FIRST;
        }
        if (record->size_bytes == left) {
            record->flags |= TE_LAST;
        }
        const int put = engine.put(self->channel, record, payload + offset);
        if (put <= 0) {
            return put < 0 ? put : (int64_t)offset;
        }
        offset += record->size_bytes;
    } while (offset < total);
    return (int64_t)total + 1;
}

enum piece { PIECE_OTHER, PIECE_NONE, PIECE_TAKEN };

/* Takes a record that continues `whole` and is not its last. PIECE_OTHER: what comes next is
 * something else, or wrong. */
static enum piece take_piece(struct crossing *self) {
    struct te_record record;
    const uint8_t *from;
    struct whole *whole = &self->whole;
    const int found = engine.peek(self->channel, &record, &from);
    if (found == 0) {
        return PIECE_NONE;
    }
    if (found < 0 || whole->object == NULL || (record.flags & (TE_FIRST | TE_LAST)) != 0
        || record.offset_bytes != whole->filled_bytes
        || record.total_bytes != whole->total_bytes) {
        return PIECE_OTHER;
    }
    memcpy(whole->bytes + record.offset_bytes, from, record.size_bytes);
    whole->filled_bytes += record.size_bytes;
    engine.pop(self->channel);
    return PIECE_TAKEN;
}

/* Sends, and takes what comes meanwhile: the other side may do the same. */
static int64_t stream(struct crossing *self, struct te_record *record, const uint8_t *payload,
                      int64_t from) {
    struct patience patience = patience_begin(self->streamed_ns);
    int64_t reached = from;
    enum piece piece = PIECE_NONE;
    bool goes_on = true;
    while (goes_on && (piece = take_piece(self)) != PIECE_OTHER) {
        const int64_t next = put_pieces(self, record, payload, reached);
        if (next == reached && piece == PIECE_NONE) {
            goes_on = patience_waits(&patience);
            continue;
        }
        reached = next;
        crossing_ring(self);
        goes_on = next >= 0 && next <= (int64_t)record->total_bytes && patience_moved(&patience);
    }
    self->streamed_ns += clock_ns() - patience.begun_ns;
    return reached;
}

int64_t put_message(struct crossing *self, struct te_record *record, const uint8_t *payload,
                    int64_t from) {
    int64_t reached = put_pieces(self, record, payload, from);
    if (reached < 0) {
        return reached;
    }
    if (reached != from) {
        crossing_ring(self);
    }
    const int64_t left = (int64_t)record->total_bytes - reached;
    if (left > 0 && record->total_bytes > TE_RECORD_PAYLOAD_MAX && self->engine == NULL) {
        Py_BEGIN_ALLOW_THREADS
        reached = stream(self, record, payload, reached);
        Py_END_ALLOW_THREADS
    }
    return reached;
}

static void take_more(struct crossing *self) {
    struct patience patience = patience_begin(0);
    const bool waits = !self->is_blocked && self->engine == NULL;
    enum piece piece = PIECE_NONE;
    bool goes_on = true;
    while (goes_on && (piece = take_piece(self)) != PIECE_OTHER) {
        if (piece == PIECE_TAKEN) {
            crossing_ring(self);
            goes_on = patience_moved(&patience);
        } else {
            goes_on = waits && patience_waits(&patience);
        }
    }
}

void take_pieces(struct crossing *self) {
    Py_BEGIN_ALLOW_THREADS
    take_more(self);
    Py_END_ALLOW_THREADS
}
