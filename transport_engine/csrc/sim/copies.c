/* Segments that were seen on the wire. */
#include "sim/copies.h"

#include <stdlib.h>
#include <string.h>

#include "flow/segments.h"

bool copies_init(struct copies *copies, uint32_t segment_bytes) {
    copies->segment_bytes = segment_bytes;
    copies->messages = calloc(MESSAGE_WINDOW, sizeof *copies->messages);
    return copies->messages != NULL;
}

void copies_fini(struct copies *copies) {
    for (int i = 0; copies->messages != NULL && i < MESSAGE_WINDOW; i++) {
        free(copies->messages[i].many);
    }
    free(copies->messages);
    *copies = (struct copies){0};
}

static struct copied_message *slot_of(const struct copies *copies, uint64_t id) {
    return copies->messages == NULL ? NULL : &copies->messages[id % MESSAGE_WINDOW];
}

static bool make_room(struct copied_message *message, uint32_t count) {
    if (count > 1 && count > message->room) {
        struct copy *many = realloc(message->many, count * sizeof *many);
        if (many == NULL) {
            return false;
        }
        message->many = many;
        message->room = count;
    }
    if (count > 1) {
        memset(message->many, 0, count * sizeof *message->many);
    }
    return true;
}

/* NULL: the message was whole long ago, or there is no memory to follow it. */
static struct copy *find(struct copies *copies, const struct message_frame *frame) {
    struct copied_message *message = slot_of(copies, frame->id);
    if (message == NULL || (message->segment_count != 0 && message->id > frame->id)) {
        return NULL;
    }
    if (message->segment_count == 0 || message->id != frame->id) {
        uint32_t count = segments_of(frame->total_bytes, copies->segment_bytes);
        if (!make_room(message, count)) {
            return NULL;
        }
        message->id = frame->id;
        message->segment_count = count;
        message->is_touched = false;
        message->one = (struct copy){0};
    }
    uint32_t segment = frame->offset_bytes / copies->segment_bytes;
    if (segment >= message->segment_count) {
        return NULL;
    }
    return message->segment_count == 1 ? &message->one : &message->many[segment];
}

uint64_t copies_sent(struct copies *copies, const struct message_frame *frame, uint64_t number) {
    struct copy *copy = find(copies, frame);
    if (copy == NULL) {
        return UINT64_MAX;
    }
    uint64_t before = copy->is_sent ? copy->number : UINT64_MAX;
    copy->number = number;
    copy->is_sent = true;
    return before;
}

bool copies_arrived(struct copies *copies, const struct message_frame *frame) {
    struct copy *copy = find(copies, frame);
    if (copy == NULL || copy->has_arrived) {
        return false;
    }
    copy->has_arrived = true;
    return true;
}

void copies_touched(struct copies *copies, uint64_t id) {
    struct copied_message *message = slot_of(copies, id);
    if (message != NULL && message->segment_count != 0 && message->id == id) {
        message->is_touched = true;
    }
}

bool copies_is_touched(const struct copies *copies, uint64_t id) {
    const struct copied_message *message = slot_of(copies, id);
    return message != NULL && message->id == id && message->is_touched;
}
