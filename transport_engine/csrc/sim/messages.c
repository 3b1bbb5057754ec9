/* What applications do with flows. */
#include "sim/messages.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "sim/check.h"
#include "sim/half.h"
#include "sim/route.h"
#include "sim/work.h"

enum messages_limit {
    PIECE_BYTES = BLOCK_BYTES,
    EXTRA_BLOCKS = 6, /* that a message takes beside its data, at most */
    UNDER_WAY_MAX = 1024, /* messages that a flow is given at once */
    LINE_ROOM_FIRST = 16
};

/* ---- waiting ---- */

static struct waiting *line_at(struct waiting_line *line, uint32_t place) {
    return &line->items[(line->first + place) & (line->room - 1)];
}

static bool line_grow(struct waiting_line *line) {
    uint32_t room = line->room == 0 ? LINE_ROOM_FIRST : 2 * line->room;
    struct waiting *items = malloc(room * sizeof *items);
    if (items == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < line->count; i++) {
        items[i] = *line_at(line, i);
    }
    free(line->items);
    *line = (struct waiting_line){items, room, 0, line->count};
    return true;
}

static void post(struct world *world, uint32_t flow, int direction,
                 const struct waiting *waiting) {
    struct waiting_line *line = &world->flows[flow].waiting[direction];
    if (line->count == line->room && !line_grow(line)) {
        world->is_out_of_memory = true;
        return;
    }
    *line_at(line, line->count++) = *waiting;
    world->open_messages++;
    world->totals.messages_posted++;
}

static struct half *current_half(const struct world *world, uint32_t flow_index, int direction) {
    const struct sim_flow *flow = &world->flows[flow_index];
    if (flow->client_half == NO_ITEM) {
        return NULL;
    }
    struct half *client = world->halves[flow->client_half];
    if (direction == FORWARD) {
        return client;
    }
    uint32_t server = client->session->halves[1];
    return server == NO_ITEM ? NULL : world->halves[server];
}

void messages_post(struct world *world, uint32_t flow, int direction,
                   const struct record *record) {
    post(world, flow, direction, &(struct waiting){*record, NULL});
    if (record->reply_bytes > 0) {
        world->open_calls++;
        world->totals.calls_started++;
    }
    struct half *half = current_half(world, flow, direction);
    if (half != NULL) {
        half_wake(world, half);
    }
}

/* ---- into the flow ---- */

/* A share of a pool is left for what comes in, as an engine leaves it. */
static bool has_memory(const struct store *store, uint32_t size_bytes) {
    uint32_t left = store->blocks.capacity / POOL_SHARE + EXTRA_BLOCKS;
    return store->blocks.free_count >= send_queue_blocks(size_bytes) + left &&
           store->outgoing.free_count > 0;
}

static void append(struct world *world, struct half *half, uint32_t index, uint64_t name,
                   uint32_t size_bytes) {
    struct store *store = &half_node(world, half)->store;
    uint8_t piece[PIECE_BYTES];
    for (uint32_t offset = 0; offset < size_bytes; offset += PIECE_BYTES) {
        uint32_t left = size_bytes - offset;
        uint32_t size = left < PIECE_BYTES ? left : PIECE_BYTES;
        content_write(name, offset, piece, size);
        send_queue_append(&half->flow.out, store, index, piece, size);
    }
}

static bool feed_one(struct world *world, struct half *half, const struct record *record) {
    struct stream *stream = &half->session->streams[half->is_client ? FORWARD : BACK];
    struct store *store = &half_node(world, half)->store;
    if (half->flow.out.message_count >= UNDER_WAY_MAX || !has_memory(store, record->size_bytes)) {
        return false;
    }
    uint32_t index = send_queue_begin(&half->flow.out, store, record->size_bytes, record->lane,
                                      record->priority);
    if (index == NO_ITEM) {
        return false;
    }
    uint64_t name = content_name(&stream->source, stream->count);
    world->is_out_of_memory |= !stream_add(stream, record);
    append(world, half, index, name, record->size_bytes);
    return true;
}

static void fail_message(struct world *world, uint32_t flow, const struct record *record) {
    world->totals.messages_failed++;
    world->open_messages--;
    if (record->answers == NO_ITEM && record->reply_bytes == 0) {
        work_ended(world, flow, record, false);
    }
}

void messages_feed(struct world *world, struct half *half) {
    struct sim_flow *flow = &world->flows[half->of_flow];
    struct waiting_line *line = &flow->waiting[half->is_client ? FORWARD : BACK];
    bool is_current = current_half(world, half->of_flow, half->is_client ? FORWARD : BACK) == half;
    while (line->count > 0 && is_current && half->flow.state == FLOW_OPEN) {
        struct waiting *waiting = line_at(line, 0);
        bool is_stale = waiting->session != NULL && waiting->session != half->session;
        if (!is_stale && !feed_one(world, half, &waiting->record)) {
            return;
        }
        if (is_stale) {
            fail_message(world, half->of_flow, &waiting->record);
        }
        line->first++;
        line->count--;
    }
}

/* ---- out of the flow ---- */

static void accuse(struct world *world, const struct half *half, uint32_t kind, uint64_t message) {
    world_accuse(world, &(struct accusation){
                            .kind = kind,
                            .flow = half->of_flow,
                            .node = (uint32_t)(half_node(world, half) - world->nodes),
                            .epoch = half->session->epoch,
                            .message = message,
                        });
}

static bool has_content(const struct world *world, const struct half *half,
                        const struct incoming *message, uint64_t name) {
    const struct pool *blocks = &half_node(world, half)->store.blocks;
    uint8_t piece[PIECE_BYTES];
    uint32_t total_bytes = message->body.total_bytes;
    for (uint32_t offset = 0; offset < total_bytes; offset += PIECE_BYTES) {
        uint32_t left = total_bytes - offset;
        uint32_t size = left < PIECE_BYTES ? left : PIECE_BYTES;
        body_read(&message->body, blocks, offset, piece, size);
        if (!content_is(name, offset, piece, size)) {
            return false;
        }
    }
    return true;
}

static void tally(struct world *world, uint32_t flow_index, const struct record *record) {
    const struct sim_flow *flow = &world->flows[flow_index];
    struct size_class *class = &world->classes[record->size_class];
    uint64_t took_ns = world->now_ns - record->posted_ns;
    if (record->posted_ns < world->config->measure_from_ns ||
        record->posted_ns >= world->config->measure_to_ns) {
        return;
    }
    int direction = record->state & RECORD_FROM_SERVER ? BACK : FORWARD;
    uint64_t ideal_ns = route_ideal_ns(world, flow, direction, record->size_bytes);
    if (record->reply_bytes > 0) {
        ideal_ns += route_ideal_ns(world, flow, BACK, record->reply_bytes);
    }
    tally_add(&class->completion, took_ns);
    tally_add(&class->slowdown, took_ns * 1000 / (ideal_ns == 0 ? 1 : ideal_ns));
    bool is_touched = (record->state & RECORD_TOUCHED) != 0;
    tally_add(is_touched ? &class->touched : &class->untouched, took_ns);
}

/* A reply ends its call. */
static void end_call(struct world *world, struct half *half, const struct record *reply) {
    struct stream *forward = &half->session->streams[FORWARD];
    struct record *request = stream_find(forward, reply->answers);
    if (request == NULL || (request->state & RECORD_ENDED)) {
        accuse(world, half, TE_SIM_V_CALL_TWICE, reply->answers);
        return;
    }
    struct record record = *request;
    record.state |= reply->state & RECORD_TOUCHED;
    stream_end(forward, request);
    world->open_calls--;
    world->totals.calls_replied++;
    tally(world, half->of_flow, &record);
    work_ended(world, half->of_flow, &record, true);
}

static void end_one_way(struct world *world, struct half *half, struct stream *stream,
                        struct record *record) {
    struct record kept = *record;
    bool was_ended = (record->state & RECORD_ENDED) != 0; /* it failed, and came after all */
    stream_end(stream, record);
    if (was_ended) {
        return;
    }
    tally(world, half->of_flow, &kept);
    work_ended(world, half->of_flow, &kept, true);
}

static void reply(struct world *world, struct half *half, const struct record *request,
                  uint32_t number) {
    struct record record = {
        .posted_ns = world->now_ns,
        .size_bytes = request->reply_bytes,
        .answers = number,
        .lane = request->lane,
        .priority = request->priority,
        .size_class = request->size_class,
    };
    post(world, half->of_flow, BACK, &(struct waiting){record, half->session});
}

static void judge(struct world *world, struct half *half, const struct incoming *message) {
    struct stream *stream = &half->session->streams[half->is_client ? BACK : FORWARD];
    uint8_t head[PIECE_BYTES];
    struct delivery delivery = {message->body.total_bytes, message->lane, 0};
    struct record *record = NULL;
    uint32_t kind = TE_SIM_V_CONTENT;
    if (delivery.size_bytes >= TE_SIM_MESSAGE_BYTES_MIN) {
        body_read(&message->body, &half_node(world, half)->store.blocks, 0, head,
                  sizeof delivery.name);
        delivery.name = load_u64(head);
        kind = stream_deliver(stream, &delivery, &record);
    }
    uint32_t number = (uint32_t)delivery.name;
    if (kind == 0 && !has_content(world, half, message, delivery.name)) {
        kind = TE_SIM_V_CONTENT;
    }
    if (kind != 0) {
        accuse(world, half, kind, number);
        return;
    }
    if (copies_is_touched(&stream->copies, message->id)) {
        record->state |= RECORD_TOUCHED;
    }
    bool has_failed = (record->state & RECORD_FAILED) != 0;
    world->totals.messages_delivered++;
    world->totals.messages_failed -= has_failed;
    world->open_messages -= !has_failed;
    world->flows[half->of_flow].result.messages_delivered++;
    if (record->answers != NO_ITEM) {
        struct record kept = *record;
        stream_end(stream, record);
        end_call(world, half, &kept);
    } else if (record->reply_bytes > 0) {
        reply(world, half, record, number);
    } else {
        end_one_way(world, half, stream, record);
    }
}

void messages_take(struct world *world, struct half *half) {
    struct store *store = &half_node(world, half)->store;
    const struct incoming *message;
    while ((message = reassembly_ready(&half->flow.in, store)) != NULL) {
        judge(world, half, message);
        flow_release(&half->flow, store);
    }
}

/* ---- ends ---- */

static void fail_record(struct world *world, uint32_t flow, struct record *record) {
    if (!(record->state & RECORD_ENDED) && record->reply_bytes > 0) {
        world->open_calls--;
        world->totals.calls_failed++;
        work_ended(world, flow, record, false);
    }
    if (!(record->state & (RECORD_DELIVERED | RECORD_FAILED))) {
        record->state |= RECORD_FAILED;
        fail_message(world, flow, record);
    }
    record->state |= RECORD_ENDED;
}

static void fail_stream(struct world *world, uint32_t flow, struct stream *stream) {
    uint32_t count = stream->count;
    for (uint32_t number = stream->first; number < count; number++) {
        fail_record(world, flow, stream_find(stream, number));
    }
}

static void fail_replies(struct world *world, const struct session *session) {
    struct waiting_line *line = &world->flows[session->of_flow].waiting[BACK];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < line->count; i++) {
        struct waiting waiting = *line_at(line, i);
        if (waiting.session == session) {
            fail_message(world, session->of_flow, &waiting.record);
        } else {
            *line_at(line, kept++) = waiting;
        }
    }
    line->count = kept;
}

void messages_half_gone(struct world *world, struct session *session, bool is_client) {
    if (is_client) {
        fail_stream(world, session->of_flow, &session->streams[FORWARD]);
    } else {
        fail_replies(world, session);
    }
}

void messages_session_gone(struct world *world, struct session *session) {
    fail_replies(world, session);
    fail_stream(world, session->of_flow, &session->streams[BACK]);
}

void messages_accuse_open(struct world *world) {
    for (uint32_t i = 0; i < world->half_count; i++) {
        const struct half *half = world->halves[i];
        if (!half->is_used || half->session == NULL) {
            continue;
        }
        const struct stream *stream = &half->session->streams[half->is_client ? FORWARD : BACK];
        for (uint32_t number = stream->first; number < stream->count; number++) {
            uint8_t state = stream_find(stream, number)->state;
            if (!(state & RECORD_DELIVERED)) {
                accuse(world, half, TE_SIM_V_LOST, number);
            } else if (!(state & RECORD_ENDED)) {
                accuse(world, half, TE_SIM_V_CALL_OPEN, number);
            }
        }
    }
}
