/* Looks into packets from outside, without their flows' knowledge. */
#include "sim/account.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "sim/half.h"

enum header_offset { TYPE_OFFSET = 1, SOURCE_OFFSET = 12, NUMBER_OFFSET = 20 };

/* The MESSAGE frames of a packet, one after another. */
struct walk {
    const uint8_t *body;
    size_t size_bytes;
    size_t offset;
};

static struct walk walk_start(const struct sim_packet *packet) {
    bool has_frames = packet->bytes[TYPE_OFFSET] == PACKET_DATA;
    size_t body_bytes = packet->size_bytes - PACKET_BYTES_MIN;
    return (struct walk){packet->bytes + PACKET_HEADER_BYTES, has_frames ? body_bytes : 0, 0};
}

static bool walk_next(struct walk *walk, struct frame *frame) {
    while (walk->offset < walk->size_bytes) {
        if (!frame_parse(walk->body, walk->size_bytes, &walk->offset, frame)) {
            return false;
        }
        if (frame->type == FRAME_MESSAGE) {
            return true;
        }
    }
    return false;
}

/* NULL: the flow that sent the packet is gone, and nobody counts its bytes any more. */
static struct copies *copies_of(struct world *world, const struct sim_packet *packet) {
    const struct half *half = half_find(world, load_u64(packet->bytes + SOURCE_OFFSET));
    if (half == NULL || half->session == NULL) {
        return NULL;
    }
    struct stream *stream = &half->session->streams[packet->is_forward ? FORWARD : BACK];
    if (stream->copies.messages == NULL) {
        world->is_out_of_memory |= !copies_init(&stream->copies, half->flow.out.segment_bytes);
    }
    return &stream->copies;
}

/* ---- trace ---- */

static uint32_t node_of(const struct world *world, const struct sim_packet *packet,
                        uint8_t direction) {
    const struct te_sim_flow *flow = world->flows[packet->flow].model;
    bool at_client = packet->is_forward == (direction == TE_SIM_OUT);
    return at_client ? flow->client : flow->server;
}

static struct te_sim_trace_line *add_line(struct world *world, const struct sim_packet *packet,
                                          uint8_t direction) {
    struct trace *trace = &world->trace;
    if (trace->count == trace->room) {
        uint32_t room = trace->room == 0 ? 1024 : 2 * trace->room;
        struct te_sim_trace_line *lines = realloc(trace->lines, room * sizeof *lines);
        if (lines == NULL) {
            world->is_out_of_memory = true;
            return NULL;
        }
        trace->lines = lines;
        trace->room = room;
    }
    struct te_sim_trace_line *line = &trace->lines[trace->count++];
    *line = (struct te_sim_trace_line){
        .time_ns = world->now_ns,
        .number = packet->number,
        .message = UINT64_MAX,
        .retransmission_of = UINT64_MAX,
        .flow = packet->flow,
        .node = node_of(world, packet, direction),
        .size_bytes = packet->size_bytes,
        .direction = direction,
        .type = packet->bytes[TYPE_OFFSET],
    };
    return line;
}

/* The first message of a packet goes into the packet's own line. */
static struct te_sim_trace_line *fill_line(struct world *world, const struct sim_packet *packet,
                                           struct te_sim_trace_line *line,
                                           const struct message_frame *message) {
    if (line != NULL && line->message != UINT64_MAX) {
        line = add_line(world, packet, line->direction);
        if (line != NULL) {
            line->continues = 1;
        }
    }
    if (line != NULL) {
        line->message = message->id;
        line->offset_bytes = message->offset_bytes;
        line->length_bytes = message->size_bytes;
    }
    return line;
}

static bool is_traced(const struct world *world) {
    return world->config->trace_lines > 0;
}

/* ---- counts ---- */

void account_sent(struct world *world, struct sim_packet *packet) {
    struct te_sim_trace_line *line = NULL;
    struct te_sim_totals *totals = &world->totals;
    struct walk walk = walk_start(packet);
    struct frame frame;
    bool is_repeat = false;
    packet->number = load_u64(packet->bytes + NUMBER_OFFSET);
    if (is_traced(world)) {
        line = add_line(world, packet, TE_SIM_OUT);
    }
    while (walk_next(&walk, &frame)) {
        struct copies *copies = copies_of(world, packet);
        uint64_t before = copies == NULL ? UINT64_MAX
                                         : copies_sent(copies, &frame.message, packet->number);
        packet->message_bytes += frame.message.size_bytes;
        totals->message_bytes_resent += before == UINT64_MAX ? 0 : frame.message.size_bytes;
        is_repeat |= before != UINT64_MAX;
        if (line != NULL && (line = fill_line(world, packet, line, &frame.message)) != NULL) {
            line->retransmission_of = before;
        }
    }
    totals->message_bytes_sent += packet->message_bytes;
    totals->packets_retransmitted += is_repeat;
}

static void trace_messages(struct world *world, const struct sim_packet *packet,
                           uint8_t direction, uint8_t reason) {
    struct te_sim_trace_line *line = add_line(world, packet, direction);
    struct walk walk = walk_start(packet);
    struct frame frame;
    if (line != NULL) {
        line->reason = reason;
    }
    while (!packet->is_corrupt && walk_next(&walk, &frame)) {
        line = fill_line(world, packet, line, &frame.message);
    }
}

void account_dropped(struct world *world, const struct sim_packet *packet, uint8_t reason) {
    struct walk walk = walk_start(packet);
    struct frame frame;
    world->totals.packets_dropped++;
    world->totals.message_bytes_lost += packet->is_duplicate ? 0 : packet->message_bytes;
    if (is_traced(world)) {
        trace_messages(world, packet, TE_SIM_DROP, reason);
    }
    struct copies *copies = packet->message_bytes > 0 ? copies_of(world, packet) : NULL;
    while (copies != NULL && walk_next(&walk, &frame)) {
        copies_touched(copies, frame.message.id);
    }
}

void account_arrived(struct world *world, const struct sim_packet *packet) {
    struct walk walk = walk_start(packet);
    struct frame frame;
    uint32_t fresh_bytes = 0;
    world->totals.packets_delivered++;
    if (is_traced(world)) {
        trace_messages(world, packet, TE_SIM_IN, 0);
    }
    struct copies *copies = packet->message_bytes > 0 ? copies_of(world, packet) : NULL;
    if (copies == NULL) {
        return;
    }
    while (walk_next(&walk, &frame)) {
        fresh_bytes += copies_arrived(copies, &frame.message) ? frame.message.size_bytes : 0;
    }
    if (!packet->is_duplicate) {
        world->totals.packets_spurious += fresh_bytes == 0;
        world->totals.message_bytes_spurious += packet->message_bytes - fresh_bytes;
    }
    struct sim_flow *flow = &world->flows[packet->flow];
    if (world_is_measured(world, world->now_ns)) {
        flow->result.bytes_arrived += fresh_bytes;
    }
    if (flow->bins != NULL && world->now_ns / world->config->bin_ns < TE_SIM_BINS_MAX) {
        flow->bins[world->now_ns / world->config->bin_ns] += fresh_bytes;
    }
}
