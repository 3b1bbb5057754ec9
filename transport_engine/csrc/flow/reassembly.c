/* Incoming messages, joined from segments. */
#include "flow/reassembly.h"

#include "base/check.h"
#include "base/limits.h"
#include "flow/begun.h"

enum { SET_RECEIVED = 0 };

static struct incoming *at(const struct store *store, uint32_t index) {
    return pool_at(&store->incoming, index);
}

void reassembly_init(struct reassembly *reassembly, uint32_t segment_bytes,
                     uint32_t message_bytes_max, uint64_t credit_units) {
    *reassembly = (struct reassembly){
        .segment_bytes = segment_bytes,
        .message_bytes_max = message_bytes_max,
        .partial_index = NO_ITEM,
        .ready_first = NO_ITEM,
        .ready_last = NO_ITEM,
        .units_limit = credit_units,
    };
    held_init(&reassembly->held);
}

static void free_incoming(struct store *store, uint32_t index) {
    struct incoming *message = at(store, index);
    for (uint32_t i = message->lent_first; i != NO_ITEM; i = store->lent[i].next) {
        store->lent[i].incoming = NO_ITEM;
    }
    begun_end(message);
    body_fini(&message->body, &store->blocks);
    segments_fini(&message->sets, &store->blocks);
    pool_give(&store->incoming, index);
}

static void free_list(struct store *store, uint32_t first) {
    while (first != NO_ITEM) {
        uint32_t next = at(store, first)->next;
        free_incoming(store, first);
        first = next;
    }
}

static uint32_t *partials(const struct reassembly *reassembly, const struct store *store) {
    return pool_at(&store->blocks, reassembly->partial_index);
}

void reassembly_fini(struct reassembly *reassembly, struct store *store) {
    free_list(store, reassembly->ready_first);
    uint32_t index;
    while ((index = held_take(&reassembly->held, store)) != NO_ITEM) {
        free_incoming(store, index);
    }
    if (reassembly->partial_index != NO_ITEM) {
        for (uint32_t place = 0; place < MESSAGE_WINDOW; place++) {
            struct incoming *message = reassembly_partial(reassembly, store, place);
            if (message != NULL) {
                message->partial_of = NULL;
                free_incoming(store, partials(reassembly, store)[place]);
            }
        }
        pool_give(&store->blocks, reassembly->partial_index);
    }
}

struct incoming *reassembly_partial(const struct reassembly *reassembly, const struct store *store,
                                    uint32_t place) {
    _Static_assert(MESSAGE_WINDOW * sizeof(uint32_t) <= BLOCK_BYTES, "the map fills one block");
    uint32_t index = partials(reassembly, store)[place]; /* or whatever was in the block before */
    if (!pool_was_taken(&store->incoming, index)) {
        return NULL;
    }
    struct incoming *message = at(store, index);
    bool is_noted =
        message->partial_of == reassembly && message->id % MESSAGE_WINDOW == place;
    return is_noted ? message : NULL;
}

static struct incoming *find_partial(const struct reassembly *reassembly,
                                     const struct store *store, uint64_t id) {
    bool has_some = reassembly->partial_count > 0;
    return has_some ? reassembly_partial(reassembly, store, id % MESSAGE_WINDOW) : NULL;
}

static void note_waiting(struct reassembly *reassembly, uint64_t now_ns) {
    if (!reassembly_waits(reassembly)) {
        reassembly->waiting_since_ns = now_ns;
    }
}

uint64_t reassembly_waiting_since_ns(struct reassembly *reassembly, const struct store *store) {
    uint64_t since_ns = UINT64_MAX;
    uint32_t lanes = 0; /* in which something is under way: what is held there is not judged */
    for (uint32_t place = 0; place < MESSAGE_WINDOW && reassembly->partial_count > 0; place++) {
        const struct incoming *message = reassembly_partial(reassembly, store, place);
        if (message != NULL) {
            since_ns = min_u64(since_ns, message->moved_ns);
            lanes |= 1u << message->lane;
        }
    }
    for (uint32_t newest = reassembly->held.newest; newest != NO_ITEM;
         newest = at(store, newest)->other) {
        uint32_t index = (lanes >> at(store, newest)->lane & 1) == 0 ? newest : NO_ITEM;
        while (index != NO_ITEM) {
            since_ns = min_u64(since_ns, at(store, index)->moved_ns);
            index = at(store, index)->next == newest ? NO_ITEM : at(store, index)->next;
        }
    }
    reassembly->waiting_since_ns = since_ns;
    return since_ns;
}

static void note_partial(struct reassembly *reassembly, struct store *store, uint32_t index) {
    struct incoming *message = at(store, index);
    note_waiting(reassembly, message->moved_ns);
    if (reassembly->partial_index == NO_ITEM) {
        reassembly->partial_index = pool_take(&store->blocks);
        te_check(reassembly->partial_index != NO_ITEM); /* is_admitted has counted it */
    }
    partials(reassembly, store)[message->id % MESSAGE_WINDOW] = index;
    message->partial_of = reassembly;
    reassembly->partial_count++;
}

/* A message begins only with memory for all of it: else messages that have come in part could hold
 * what each of them waits for. The oldest may take all that there is; it is its lane's turn, so it
 * can always be finished and delivered. The others leave room for that, however long it will be:
 * else they could hold the memory that it wants, whole, and wait for it in their lane. */
static bool is_admitted(const struct reassembly *reassembly, const struct message_frame *frame,
                        uint32_t room, bool is_turn, bool waits) {
    bool is_oldest = is_turn && frame->id == reassembly->whole.base;
    uint32_t left_blocks = is_oldest ? 0 : begun_blocks(reassembly->message_bytes_max);
    bool has_room = room >= begun_blocks(frame->total_bytes) + left_blocks;
    return has_room &&
           (!waits || begun_admits(frame->begun, frame->total_bytes, room, is_oldest));
}

/* Returns the new message's index, or NO_ITEM: no memory. */
static uint32_t open_message(struct reassembly *reassembly, struct store *store,
                             const struct message_frame *frame) {
    const uint32_t room = pool_room(&store->blocks);
    bool is_turn = reassembly_is_turn(reassembly, frame->lane, frame->lane_sequence);
    bool waits = !is_turn || frame->size_bytes < frame->total_bytes; /* for its peer */
    bool has_room = is_admitted(reassembly, frame, room, is_turn, waits);
    uint32_t index = has_room ? pool_take(&store->incoming) : NO_ITEM;
    if (index == NO_ITEM) {
        return NO_ITEM;
    }
    uint32_t count = segments_of(frame->total_bytes, reassembly->segment_bytes);
    struct incoming *message = at(store, index);
    *message = (struct incoming){.next = NO_ITEM, .segment_count = count, .id = frame->id,
                                 .lane_sequence = frame->lane_sequence, .lane = frame->lane,
                                 .priority = frame->priority,
                                 .lent_first = NO_ITEM, .lent_last = NO_ITEM,
                                 .moved_ns = frame->received_ns};
    segments_init(&message->sets, &store->blocks, count);
    bool is_reserved = body_init(&message->body, &store->blocks, frame->total_bytes);
    te_check(is_reserved);
    reassembly->units_started += credit_units_of(frame->total_bytes);
    if (waits) {
        begun_add(frame->begun, message, room);
    }
    return index;
}

/* All segments but a message's last are full, and each begins at a multiple of the size. */
static bool is_aligned(const struct reassembly *reassembly, const struct message_frame *frame) {
    if (frame->size_bytes == frame->total_bytes) {
        return frame->size_bytes <= reassembly->segment_bytes && frame->offset_bytes == 0;
    }
    bool is_last = frame->offset_bytes + frame->size_bytes == frame->total_bytes;
    return frame->offset_bytes % reassembly->segment_bytes == 0 &&
           (frame->size_bytes == reassembly->segment_bytes ||
            (is_last && frame->size_bytes < reassembly->segment_bytes));
}

static void append_ready(struct reassembly *reassembly, struct store *store, uint32_t index) {
    at(store, index)->next = NO_ITEM;
    begun_end(at(store, index));
    if (reassembly->ready_last == NO_ITEM) {
        reassembly->ready_first = index;
    } else {
        at(store, reassembly->ready_last)->next = index;
    }
    reassembly->ready_last = index;
}

/* Moves held messages of `lane` whose turn has come. */
static void release_held(struct reassembly *reassembly, struct store *store, uint8_t lane) {
    uint16_t *turn = &reassembly->lane_next[lane];
    uint32_t index;
    while ((index = held_take_turn(&reassembly->held, store, lane, *turn)) != NO_ITEM) {
        append_ready(reassembly, store, index);
        (*turn)++;
    }
}

static enum reassembly_verdict finish_message(struct reassembly *reassembly, struct store *store,
                                              uint32_t index) {
    const struct incoming *message = at(store, index);
    const uint8_t lane = message->lane;
    window_finish(&reassembly->whole, message->id);
    if (!reassembly_is_turn(reassembly, lane, message->lane_sequence)) {
        note_waiting(reassembly, message->moved_ns);
        if (!held_add(&reassembly->held, store, index, reassembly->lane_next[lane])) {
            free_incoming(store, index);
            return REASSEMBLY_VIOLATION;
        }
        return REASSEMBLY_STORED;
    }
    append_ready(reassembly, store, index);
    if (lane != 0) {
        reassembly->lane_next[lane]++;
        release_held(reassembly, store, lane);
    }
    return REASSEMBLY_STORED;
}

/* Leaves the bytes where they are, if the caller lends them and there is room to note it. Returns
 * where that is noted, or NO_ITEM: they were copied. */
static inline uint32_t take_bytes(struct store *store, uint32_t index,
                                  const struct message_frame *frame, bool may_stay) {
    const uint32_t number = store->lent_count;
    if (!frame->is_lent || number == LENT_MAX || !may_stay) {
        body_write(&at(store, index)->body, &store->blocks, frame->offset_bytes, frame->bytes,
                   frame->size_bytes);
        return NO_ITEM;
    }
    store->lent[number] = (struct lent){.bytes = frame->bytes, .incoming = index,
                                        .offset_bytes = frame->offset_bytes,
                                        .size_bytes = frame->size_bytes, .next = NO_ITEM};
    store->lent_count = number + 1;
    return number;
}

/* Those of one message that stay are in order. */
static void take_piece(struct store *store, uint32_t index, const struct message_frame *frame) {
    struct incoming *message = at(store, index);
    struct lent *last = message->lent_last == NO_ITEM ? NULL : &store->lent[message->lent_last];
    uint32_t number = take_bytes(store, index, frame,
                                 last == NULL || frame->offset_bytes > last->offset_bytes);
    if (number != NO_ITEM) {
        *(last == NULL ? &message->lent_first : &last->next) = number;
        message->lent_last = number;
    }
}

void reassembly_keep(struct store *store) {
    for (uint32_t i = 0; i < store->lent_count; i++) {
        const struct lent *lent = &store->lent[i];
        if (lent->incoming != NO_ITEM) {
            struct incoming *message = at(store, lent->incoming);
            body_write(&message->body, &store->blocks, lent->offset_bytes, lent->bytes,
                       lent->size_bytes);
            message->lent_first = message->lent_last = NO_ITEM;
        }
    }
    store->lent_count = 0;
}

/* What is still to be read of a message. */
struct reading {
    uint32_t offset_bytes;
    uint32_t size_bytes;
    uint8_t *target;
};

static void advance(struct reading *left, uint32_t bytes) {
    left->offset_bytes += bytes;
    left->size_bytes -= bytes;
    left->target += bytes;
}

/* Reads what lies before `end_bytes` and not where it arrived. */
static void read_kept(const struct incoming *message, const struct store *store,
                      struct reading *left, uint32_t end_bytes) {
    if (left->size_bytes > 0 && left->offset_bytes < end_bytes) {
        uint32_t bytes = min_u32(left->size_bytes, end_bytes - left->offset_bytes);
        body_read(&message->body, &store->blocks, left->offset_bytes, left->target, bytes);
        advance(left, bytes);
    }
}

__attribute__((noinline)) static void read_scattered(const struct incoming *message,
                                                     const struct store *store,
                                                     struct reading left) {
    te_check(left.size_bytes <= message->body.total_bytes &&
             left.offset_bytes <= message->body.total_bytes - left.size_bytes);
    for (uint32_t i = message->lent_first; i != NO_ITEM; i = store->lent[i].next) {
        const struct lent *lent = &store->lent[i];
        read_kept(message, store, &left, lent->offset_bytes);
        uint32_t begin = left.offset_bytes - lent->offset_bytes;
        if (left.size_bytes > 0 && begin < lent->size_bytes) {
            uint32_t bytes = min_u32(left.size_bytes, lent->size_bytes - begin);
            memcpy(left.target, lent->bytes + begin, bytes);
            advance(&left, bytes);
        }
    }
    read_kept(message, store, &left, message->body.total_bytes);
}

/* The usual case, apart from others: all is in the body, or where one packet arrived. */
void incoming_read(const struct incoming *message, const struct store *store,
                   uint32_t offset_bytes, uint8_t *target, uint32_t size_bytes) {
    if (message->lent_first == NO_ITEM) {
        body_read(&message->body, &store->blocks, offset_bytes, target, size_bytes);
        return;
    }
    const struct lent *first = &store->lent[message->lent_first];
    uint32_t begin = offset_bytes - first->offset_bytes; /* wraps, if that lies before it */
    if (begin < first->size_bytes && size_bytes <= first->size_bytes - begin) {
        memcpy(target, first->bytes + begin, size_bytes);
        return;
    }
    read_scattered(message, store, (struct reading){offset_bytes, size_bytes, target});
}

/* The usual case: a message that one packet brings whole needs no map of partial ones. */
static enum reassembly_verdict receive_whole(struct reassembly *reassembly, struct store *store,
                                             const struct message_frame *frame) {
    uint32_t index = open_message(reassembly, store, frame);
    if (index == NO_ITEM) {
        return REASSEMBLY_NO_MEMORY;
    }
    struct incoming *message = at(store, index);
    message->lent_first = message->lent_last = take_bytes(store, index, frame, true);
    return finish_message(reassembly, store, index);
}

static enum reassembly_verdict receive_piece(struct reassembly *reassembly, struct store *store,
                                             const struct message_frame *frame) {
    uint32_t index = partials(reassembly, store)[frame->id % MESSAGE_WINDOW];
    struct incoming *message = at(store, index);
    if (message->body.total_bytes != frame->total_bytes || message->lane != frame->lane ||
        message->lane_sequence != frame->lane_sequence) {
        return REASSEMBLY_VIOLATION;
    }
    uint32_t segment = frame->offset_bytes / reassembly->segment_bytes;
    if (segments_has(&message->sets, &store->blocks, SET_RECEIVED, segment)) {
        return REASSEMBLY_DUPLICATE;
    }
    take_piece(store, index, frame);
    segments_add(&message->sets, &store->blocks, SET_RECEIVED, segment);
    message->moved_ns = frame->received_ns;
    if (++message->received_count < message->segment_count) {
        return REASSEMBLY_STORED;
    }
    message->partial_of = NULL;
    if (--reassembly->partial_count == 0) {
        pool_give(&store->blocks, reassembly->partial_index);
        reassembly->partial_index = NO_ITEM;
    }
    return finish_message(reassembly, store, index);
}

enum reassembly_verdict reassembly_receive(struct reassembly *reassembly, struct store *store,
                                           const struct message_frame *frame) {
    if (frame->total_bytes > reassembly->message_bytes_max || !is_aligned(reassembly, frame) ||
        !window_admits(&reassembly->whole, frame->id)) {
        return REASSEMBLY_VIOLATION;
    }
    if (window_is_done(&reassembly->whole, frame->id)) {
        return REASSEMBLY_DUPLICATE;
    }
    bool is_whole = frame->size_bytes == frame->total_bytes;
    const struct incoming *known = find_partial(reassembly, store, frame->id);
    if (known == NULL &&
        reassembly->units_started + credit_units_of(frame->total_bytes) > reassembly->units_limit) {
        return REASSEMBLY_VIOLATION;
    }
    if (is_whole) {
        return known != NULL ? REASSEMBLY_VIOLATION : receive_whole(reassembly, store, frame);
    }
    if (known == NULL) {
        uint32_t index = open_message(reassembly, store, frame);
        if (index == NO_ITEM) {
            return REASSEMBLY_NO_MEMORY;
        }
        note_partial(reassembly, store, index);
    }
    return receive_piece(reassembly, store, frame);
}

struct incoming *reassembly_ready(const struct reassembly *reassembly, const struct store *store) {
    return reassembly->ready_first == NO_ITEM ? NULL : at(store, reassembly->ready_first);
}

void reassembly_release(struct reassembly *reassembly, struct store *store) {
    uint32_t index = reassembly->ready_first;
    te_check(index != NO_ITEM);
    reassembly->ready_first = at(store, index)->next;
    if (reassembly->ready_first == NO_ITEM) {
        reassembly->ready_last = NO_ITEM;
    }
    reassembly->units_released += credit_units_of(at(store, index)->body.total_bytes);
    free_incoming(store, index);
}
