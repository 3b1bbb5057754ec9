/* Outgoing messages, cut into segments. */
#include "flow/messages.h"

#include "base/check.h"

enum { SET_ACKED = 0, SET_LOST = 1, SCAN_MAX = 16 };

static struct outgoing *at(const struct store *store, uint32_t index) {
    return pool_at(&store->outgoing, index);
}

void send_queue_init(struct send_queue *queue, uint32_t segment_bytes) {
    *queue = (struct send_queue){.segment_bytes = segment_bytes, .oldest = NO_ITEM,
                                 .newest = NO_ITEM};
    for (int i = 0; i <= LATE; i++) {
        queue->first[i] = queue->last[i] = NO_ITEM;
    }
}

/* Segments that can go out for the first time: whole ones, and the last once it is complete. */
static uint32_t sendable_count(const struct send_queue *queue, const struct outgoing *message) {
    return message->appended_bytes == message->body.total_bytes
               ? message->segment_count
               : message->appended_bytes / queue->segment_bytes;
}

static uint32_t list_of(const struct outgoing *message) {
    return message->is_late ? LATE : message->priority;
}

static void enqueue(struct send_queue *queue, struct store *store, uint32_t index, bool in_front) {
    struct outgoing *message = at(store, index);
    if (message->is_queued) {
        return;
    }
    uint32_t *first = &queue->first[list_of(message)];
    uint32_t *last = &queue->last[list_of(message)];
    message->before = in_front ? NO_ITEM : *last;
    message->after = in_front ? *first : NO_ITEM;
    if (message->before == NO_ITEM) {
        *first = index;
    } else {
        at(store, message->before)->after = index;
    }
    if (message->after == NO_ITEM) {
        *last = index;
    } else {
        at(store, message->after)->before = index;
    }
    message->is_queued = true;
    queue->queued |= 1u << list_of(message);
}

static void dequeue(struct send_queue *queue, struct store *store, struct outgoing *message) {
    uint32_t list = list_of(message);
    if (!message->is_queued) {
        return;
    }
    if (message->before == NO_ITEM) {
        queue->first[list] = message->after;
    } else {
        at(store, message->before)->after = message->after;
    }
    if (message->after == NO_ITEM) {
        queue->last[list] = message->before;
    } else {
        at(store, message->after)->before = message->before;
    }
    message->is_queued = false;
    if (queue->first[list] == NO_ITEM) {
        queue->queued &= ~(1u << list);
    }
}

static void link_newest(struct send_queue *queue, struct store *store, uint32_t index) {
    struct outgoing *message = at(store, index);
    message->older = queue->newest;
    message->newer = NO_ITEM;
    if (queue->newest == NO_ITEM) {
        queue->oldest = index;
    } else {
        at(store, queue->newest)->newer = index;
    }
    queue->newest = index;
    queue->message_count++;
}

static void unlink_message(struct send_queue *queue, struct store *store,
                           const struct outgoing *message) {
    if (message->older == NO_ITEM) {
        queue->oldest = message->newer;
    } else {
        at(store, message->older)->newer = message->newer;
    }
    if (message->newer == NO_ITEM) {
        queue->newest = message->older;
    } else {
        at(store, message->newer)->older = message->older;
    }
    queue->message_count--;
}

static void free_message(struct send_queue *queue, struct store *store, uint32_t index) {
    struct outgoing *message = at(store, index);
    dequeue(queue, store, message);
    unlink_message(queue, store, message);
    body_fini(&message->body, &store->blocks);
    segments_fini(&message->sets, &store->blocks);
    message->generation++;
    pool_give(&store->outgoing, index);
}

void send_queue_fini(struct send_queue *queue, struct store *store) {
    while (queue->oldest != NO_ITEM) {
        free_message(queue, store, queue->oldest);
    }
    queue->newest_tag = 0; /* of what was given up nothing is said */
}

/* As many messages of the lane wait as its sequence tells apart. */
static bool is_full(const struct send_queue *queue, uint8_t lane) {
    uint16_t waiting = (uint16_t)(queue->lane_next[lane] - queue->lane_started[lane]);
    return lane != 0 && waiting == UINT16_MAX;
}

uint32_t send_queue_begin(struct send_queue *queue, struct store *store, uint32_t total_bytes,
                          uint8_t lane, uint8_t priority) {
    te_check(total_bytes > 0 && lane < LANES && priority < PRIORITIES);
    bool has_room = pool_room(&store->blocks) >= send_queue_blocks(total_bytes) &&
                    !is_full(queue, lane);
    uint32_t index = has_room ? pool_take(&store->outgoing) : NO_ITEM;
    if (index == NO_ITEM) {
        return NO_ITEM;
    }
    uint32_t generation = at(store, index)->generation;
    uint32_t count = segments_of(total_bytes, queue->segment_bytes);
    struct outgoing *message = at(store, index);
    *message = (struct outgoing){.generation = generation, .segment_count = count, .lane = lane,
                                 .priority = priority, .expires_ns = UINT64_MAX};
    segments_init(&message->sets, &store->blocks, count);
    bool is_reserved = body_init(&message->body, &store->blocks, total_bytes);
    te_check(is_reserved);
    message->lane_sequence = lane == 0 ? 0 : queue->lane_next[lane]++;
    link_newest(queue, store, index);
    return index;
}

void send_queue_append(struct send_queue *queue, struct store *store, uint32_t index,
                       const uint8_t *bytes, uint32_t size_bytes) {
    struct outgoing *message = at(store, index);
    body_write(&message->body, &store->blocks, message->appended_bytes, bytes, size_bytes);
    message->appended_bytes += size_bytes;
    if (message->next_segment < sendable_count(queue, message)) {
        enqueue(queue, store, index, false);
    }
}

void send_queue_tag(struct send_queue *queue, struct store *store, uint32_t index,
                    uint64_t tag) {
    if (tag > queue->newest_tag) {
        at(store, index)->tag = queue->newest_tag = tag;
    }
}

void send_queue_expire(struct store *store, uint32_t index, uint64_t expires_ns) {
    te_check(at(store, index)->lane == 0); /* the order of others is their users' */
    at(store, index)->expires_ns = expires_ns;
}

uint64_t send_queue_unacked_tag(const struct send_queue *queue, const struct store *store) {
    uint32_t index = queue->oldest;
    for (int i = 0; i < SCAN_MAX && index != NO_ITEM; i++) {
        const struct outgoing *message = at(store, index);
        if (message->tag != 0) {
            return message->tag;
        }
        index = message->newer;
    }
    return index == NO_ITEM ? queue->newest_tag + 1 : 0;
}

/* Ids and credit bound what may be under way; both are looked at when a message starts. A lane
 * starts its messages in order: else later ones could use up the credit that the first needs. */
static bool may_start(const struct send_queue *queue, const struct outgoing *message) {
    if (message->is_started) {
        return true;
    }
    if (message->lane != 0 && message->lane_sequence != queue->lane_started[message->lane]) {
        return false;
    }
    return window_admits(&queue->whole, queue->next_id) &&
           queue->units_sent + credit_units_of(message->body.total_bytes) <= queue->units_limit;
}

static uint32_t remaining_segments(const struct outgoing *message) {
    return message->segment_count - message->next_segment + message->lost_count;
}

/* Moves a message to another list, with LATE as one side. */
static void set_late(struct send_queue *queue, struct store *store, uint32_t index, bool is_late) {
    struct outgoing *message = at(store, index);
    dequeue(queue, store, message);
    message->is_late = is_late;
    enqueue(queue, store, index, false);
}

/* The shortest remaining message among the first few of a list that may go. Each message is late
 * once, so that passing all that are costs no more than to send them. */
static uint32_t pick_message(struct send_queue *queue, struct store *store, uint32_t list,
                             uint64_t now_ns) {
    uint32_t best = NO_ITEM;
    uint32_t best_remaining = UINT32_MAX;
    uint32_t index = queue->first[list];
    for (int i = 0; i < SCAN_MAX && index != NO_ITEM;) {
        const struct outgoing *message = at(store, index);
        uint32_t after = message->after;
        if (message->expires_ns <= now_ns && !message->is_started && list != LATE) {
            set_late(queue, store, index, true);
            index = after;
            continue;
        }
        i++;
        if (remaining_segments(message) < best_remaining && may_start(queue, message)) {
            best = index;
            best_remaining = remaining_segments(message);
        }
        if (best_remaining == 1) {
            break;
        }
        index = after;
    }
    return best;
}

static uint32_t segment_size(const struct send_queue *queue, const struct outgoing *message,
                             uint32_t segment) {
    uint32_t offset_bytes = segment * queue->segment_bytes;
    uint32_t left_bytes = message->body.total_bytes - offset_bytes;
    return left_bytes < queue->segment_bytes ? left_bytes : queue->segment_bytes;
}

/* NULL: the message is whole at the peer, and its slot may serve another by now. */
static struct outgoing *find(struct store *store, const struct fragment *fragment) {
    struct outgoing *message = at(store, fragment->message);
    return message->generation == fragment->generation ? message : NULL;
}

bool send_queue_pick(struct send_queue *queue, struct store *store, uint64_t now_ns,
                     struct fragment *fragment) {
    uint32_t left = queue->queued;
    while (left != 0) {
        uint32_t list = (uint32_t)__builtin_ctz(left);
        uint32_t index = pick_message(queue, store, list, now_ns);
        left = queue->queued & ~((2u << list) - 1); /* LATE may have become one of them */
        if (index != NO_ITEM) {
            struct outgoing *message = at(store, index);
            uint32_t segment = message->lost_count > 0
                                   ? segments_first(&message->sets, &store->blocks, SET_LOST)
                                   : message->next_segment;
            *fragment = (struct fragment){index, message->generation, segment};
            return true;
        }
    }
    return false;
}

static uint32_t find_oldest(const struct send_queue *queue, const struct store *store) {
    uint32_t index = queue->oldest;
    while (index != NO_ITEM &&
           !(at(store, index)->is_started && at(store, index)->id == queue->whole.base)) {
        index = at(store, index)->newer;
    }
    return index;
}

bool send_queue_pick_oldest(const struct send_queue *queue, struct store *store,
                            struct fragment *fragment) {
    uint32_t index = find_oldest(queue, store);
    if (index == NO_ITEM) {
        return false;
    }
    struct outgoing *message = at(store, index);
    uint32_t segment = 0;
    while (segment < message->next_segment &&
           segments_has(&message->sets, &store->blocks, SET_ACKED, segment)) {
        segment++;
    }
    *fragment = (struct fragment){index, message->generation, segment};
    return segment < sendable_count(queue, message);
}

uint32_t send_queue_size(const struct send_queue *queue, struct store *store,
                         const struct fragment *fragment) {
    const struct outgoing *message = find(store, fragment);
    return message == NULL
               ? 0
               : MESSAGE_HEADER_BYTES + segment_size(queue, message, fragment->segment);
}

bool send_queue_is_repeat(struct store *store, const struct fragment *fragment) {
    return fragment->segment < at(store, fragment->message)->next_segment;
}

static void mark_sent(struct send_queue *queue, struct store *store,
                      const struct fragment *fragment) {
    struct outgoing *message = at(store, fragment->message);
    if (message->is_late) {
        set_late(queue, store, fragment->message, false); /* the peer keeps memory for it */
    }
    if (!message->is_started) {
        message->is_started = true;
        message->id = queue->next_id++;
        queue->lane_started[message->lane]++;
        queue->units_sent += credit_units_of(message->body.total_bytes);
    }
    if (fragment->segment == message->next_segment) {
        message->next_segment++;
    } else if (segments_has(&message->sets, &store->blocks, SET_LOST, fragment->segment)) {
        segments_remove(&message->sets, &store->blocks, SET_LOST, fragment->segment);
        message->lost_count--;
    }
    if (message->lost_count == 0 && message->next_segment >= sendable_count(queue, message)) {
        dequeue(queue, store, message);
    }
}

uint32_t send_queue_write(struct send_queue *queue, struct store *store,
                          const struct fragment *fragment, uint8_t *out) {
    mark_sent(queue, store, fragment);
    const struct outgoing *message = at(store, fragment->message);
    struct message_frame frame = {
        .id = message->id,
        .offset_bytes = fragment->segment * queue->segment_bytes,
        .total_bytes = message->body.total_bytes,
        .size_bytes = (uint16_t)segment_size(queue, message, fragment->segment),
        .lane_sequence = message->lane_sequence,
        .lane = message->lane,
        .priority = message->priority,
    };
    size_t header_bytes = frame_write_message(out, &frame);
    body_read(&message->body, &store->blocks, frame.offset_bytes, out + header_bytes,
              frame.size_bytes);
    return (uint32_t)header_bytes + frame.size_bytes;
}

void send_queue_acked(struct send_queue *queue, struct store *store,
                      const struct fragment *fragment) {
    struct outgoing *message = find(store, fragment);
    if (message == NULL ||
        segments_has(&message->sets, &store->blocks, SET_ACKED, fragment->segment)) {
        return;
    }
    segments_add(&message->sets, &store->blocks, SET_ACKED, fragment->segment);
    message->acked_count++;
    if (segments_has(&message->sets, &store->blocks, SET_LOST, fragment->segment)) {
        segments_remove(&message->sets, &store->blocks, SET_LOST, fragment->segment);
        message->lost_count--;
        if (message->lost_count == 0 && message->next_segment >= sendable_count(queue, message)) {
            dequeue(queue, store, message);
        }
    }
    if (message->acked_count == message->segment_count) {
        window_finish(&queue->whole, message->id);
        free_message(queue, store, fragment->message);
    }
}

void send_queue_lost(struct send_queue *queue, struct store *store,
                     const struct fragment *fragment) {
    struct outgoing *message = find(store, fragment);
    if (message == NULL ||
        segments_has(&message->sets, &store->blocks, SET_ACKED, fragment->segment) ||
        segments_has(&message->sets, &store->blocks, SET_LOST, fragment->segment)) {
        return;
    }
    segments_add(&message->sets, &store->blocks, SET_LOST, fragment->segment);
    message->lost_count++;
    enqueue(queue, store, fragment->message, true);
}
