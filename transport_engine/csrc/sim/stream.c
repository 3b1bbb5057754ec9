/* Messages of one direction. */
#include "sim/stream.h"

#include <stdlib.h>

enum { ROOM_FIRST = 64 };

void stream_init(struct stream *stream, const struct content_source *source) {
    *stream = (struct stream){.source = *source};
}

void stream_fini(struct stream *stream) {
    copies_fini(&stream->copies);
    free(stream->records);
    *stream = (struct stream){0};
}

static struct record *at(const struct stream *stream, uint32_t number) {
    return &stream->records[number & (stream->room - 1)];
}

static bool grow(struct stream *stream) {
    uint32_t room = stream->room == 0 ? ROOM_FIRST : 2 * stream->room;
    struct record *records = malloc(room * sizeof *records);
    if (records == NULL) {
        return false;
    }
    for (uint32_t number = stream->first; number != stream->count; number++) {
        records[number & (room - 1)] = *at(stream, number);
    }
    free(stream->records);
    stream->records = records;
    stream->room = room;
    return true;
}

bool stream_add(struct stream *stream, const struct record *record) {
    if (stream->count - stream->first == stream->room && !grow(stream)) {
        return false;
    }
    struct record *kept = at(stream, stream->count++);
    *kept = *record;
    kept->state &= RECORD_FROM_SERVER;
    kept->lane_place = stream->lane_sent[record->lane]++;
    return true;
}

struct record *stream_find(const struct stream *stream, uint32_t number) {
    bool is_kept = number >= stream->first && number < stream->count;
    return is_kept ? at(stream, number) : NULL;
}

void stream_end(struct stream *stream, struct record *record) {
    enum { OVER = RECORD_DELIVERED | RECORD_ENDED };
    record->state |= RECORD_ENDED;
    while (stream->first < stream->count && (at(stream, stream->first)->state & OVER) == OVER) {
        stream->first++;
    }
}

uint32_t stream_deliver(struct stream *stream, const struct delivery *delivery,
                        struct record **found) {
    struct content_name name = content_read_name(&stream->source, delivery->name);
    if (!name.is_of_source) {
        return name.epoch == stream->source.epoch ? TE_SIM_V_CONTENT : TE_SIM_V_EPOCH;
    }
    if (name.index >= stream->count) {
        return TE_SIM_V_CONTENT; /* never sent */
    }
    struct record *record = stream_find(stream, name.index);
    if (record == NULL || (record->state & RECORD_DELIVERED)) {
        return TE_SIM_V_TWICE;
    }
    if (record->size_bytes != delivery->size_bytes || record->lane != delivery->lane) {
        return TE_SIM_V_CONTENT;
    }
    if (record->lane != 0 && record->lane_place != stream->lane_delivered[record->lane]) {
        return TE_SIM_V_ORDER;
    }
    stream->lane_delivered[record->lane]++;
    record->state |= RECORD_DELIVERED;
    *found = record;
    return 0;
}
