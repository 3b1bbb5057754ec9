/* The application's end of a channel: the te_channel_* functions of the public header.
 *
 * Checks what the engine wrote as the engine checks what it wrote: a broken engine gives
 * TE_E_CORRUPT, never a wild read. So does the other application, where the channel is a pair.
 * Does not know calls.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/acked.h"
#include "shm/end.h"
#include "shm/far_copy.h"
#include "shm/starts.h"
#include "shm/starts_file.h"
#include "transport_engine.h"
#include "transport_fates.h"

struct te_channel {
    struct end end;
    struct record_order out_order;
    enum record_direction out_direction;
    enum record_direction in_direction;
    bool is_corrupt; /* for good, whatever the other side does to the memory afterwards */
    bool peeked;
    struct te_record peeked_record;
    struct starts *starts; /* in which this side notes what it starts */
    const struct starts *other_starts;
    struct te_starts_file *starts_file; /* if this side's are there, or there, too; or NULL */
    struct starts *starts_beside; /* in it, if they are in both; or NULL */
};

static int refuse(char *why, const char *sentence) {
    snprintf(why, TE_WHY_BYTES, "this is not the memory of a channel: %s", sentence);
    return TE_E_CORRUPT;
}

/* Without the two seals, whoever holds the memfd could shrink it and kill this process. */
static int geometry_read(int memory_fd, uint64_t *ring_bytes, char *why) {
    const int needed = F_SEAL_SHRINK | F_SEAL_GROW;
    const int seals = fcntl(memory_fd, F_GET_SEALS);
    if (seals < 0 || (seals & needed) != needed) {
        return refuse(why, "it is no memfd sealed against a change of size");
    }
    struct channel_geometry geometry;
    struct stat status;
    if (fstat(memory_fd, &status) != 0
        || pread(memory_fd, &geometry, sizeof geometry, 0) != (ssize_t)sizeof geometry) {
        return refuse(why, "it cannot be read");
    }
    if (memcmp(geometry.magic, CHANNEL_MAGIC, CHANNEL_MAGIC_BYTES) != 0) {
        return refuse(why, "its first bytes are wrong");
    }
    if (geometry.version != CHANNEL_VERSION || geometry.header_bytes != CHANNEL_HEADER_BYTES) {
        return refuse(why, "the engine has another version; install the same release on both");
    }
    if (!mapping_ring_bytes_valid(geometry.ring_bytes)
        || (uint64_t)status.st_size != mapping_total_bytes(geometry.ring_bytes)) {
        return refuse(why, "its size does not agree with its rings");
    }
    *ring_bytes = geometry.ring_bytes;
    return TE_OK;
}

/* Owner: takes over both descriptors, also when it fails. */
static int end_open(int memory_fd, int doorbell_fd, enum mapping_side side,
                    struct te_channel **channel, char *why) {
    uint64_t ring_bytes = 0;
    struct mapping mapping;
    struct te_channel *made = NULL;

    int error = geometry_read(memory_fd, &ring_bytes, why);
    if (error == TE_OK) {
        error = mapping_open(&mapping, memory_fd, ring_bytes, side, why);
    }
    if (error == TE_OK) {
        made = calloc(1, sizeof *made);
        if (made == NULL) {
            snprintf(why, TE_WHY_BYTES, "no memory for a channel");
            mapping_close(&mapping);
            error = TE_E_NO_MEMORY;
        }
    }
    close(memory_fd);
    if (error != TE_OK) {
        close(doorbell_fd);
        return error;
    }
    end_init(&made->end, side, mapping, doorbell_fd);
    const bool is_engine = side == MAPPING_ENGINE;
    made->starts = starts_of(&mapping, side);
    made->other_starts = starts_of(&mapping, is_engine ? MAPPING_APPLICATION : MAPPING_ENGINE);
    *channel = made;
    return TE_OK;
}

int te_channel_open(int memory_fd, int doorbell_fd, struct te_channel **channel, char *why) {
    const int error = end_open(memory_fd, doorbell_fd, MAPPING_APPLICATION, channel, why);
    if (error == TE_OK) {
        (*channel)->out_direction = RECORD_TO_ENGINE;
        (*channel)->in_direction = RECORD_TO_APPLICATION;
    }
    return error;
}

int te_pair_open(int memory_fd, int doorbell_fd, int accepts, struct te_channel **channel,
                 char *why) {
    const enum mapping_side side = accepts != 0 ? MAPPING_ENGINE : MAPPING_APPLICATION;
    const int error = end_open(memory_fd, doorbell_fd, side, channel, why);
    if (error == TE_OK) {
        (*channel)->out_direction = RECORD_BETWEEN_APPLICATIONS;
        (*channel)->in_direction = RECORD_BETWEEN_APPLICATIONS;
    }
    return error;
}

void te_channel_close(struct te_channel *channel) {
    if (channel != NULL) {
        end_fini(&channel->end);
        starts_file_close(channel->starts_file);
        free(channel);
    }
}

/* Copies a record that keeps the rules into the ring. Returns its bytes there, 0: it is full. */
static int64_t put_one(struct te_channel *channel, const struct te_record *record,
                       const uint8_t *payload) {
    struct ring *out = &channel->end.out;
    const uint64_t stride = record_stride_bytes(record->size_bytes);

    if (channel->is_corrupt) {
        return TE_E_CORRUPT;
    }
    if (!record_valid(record, channel->out_direction)
        || !record_follows(&channel->out_order, record)) {
        return TE_E_INVALID;
    }
    const int64_t room = ring_available(out, stride);
    if (room < (int64_t)stride) {
        channel->is_corrupt = room < 0;
        return room < 0 ? room : 0;
    }
    uint8_t *at = ring_cursor(out);
    memcpy(at, record, sizeof *record);
    if (record->size_bytes != 0) {
        far_copy(at + sizeof *record, payload, record->size_bytes);
    }
    ring_advance(out, stride);
    record_order_advance(&channel->out_order, record);
    return (int64_t)stride;
}

/* Takes one record from `records`. Returns its bytes, 0 when the ring is full, or an error. */
static int64_t send_one(struct te_channel *channel, const uint8_t *records, uint64_t bytes) {
    struct te_record record;

    if (bytes < sizeof record) {
        return TE_E_INVALID;
    }
    memcpy(&record, records, sizeof record);
    if (record_stride_bytes(record.size_bytes) > bytes) {
        return TE_E_INVALID;
    }
    return put_one(channel, &record, records + sizeof record);
}

int64_t te_channel_send(struct te_channel *channel, const uint8_t *records, uint64_t bytes) {
    uint64_t taken = 0;
    int64_t one = 0;

    while (taken < bytes && (one = send_one(channel, records + taken, bytes - taken)) > 0) {
        taken += (uint64_t)one;
    }
    ring_publish(&channel->end.out);
    /* As write(2): what was taken before an error counts, the next call meets the error. */
    return taken != 0 ? (int64_t)taken : one;
}

int te_channel_put(struct te_channel *channel, const struct te_record *record,
                   const uint8_t *payload) {
    const int64_t taken = put_one(channel, record, payload);
    ring_publish(&channel->end.out);
    return taken > 0 ? 1 : (int)taken;
}

int te_channel_receive(struct te_channel *channel, struct te_record *heads, int heads_max,
                       uint8_t *payload, uint64_t payload_max) {
    struct end *end = &channel->end;
    uint64_t filled = 0;
    int count = 0;
    int found = 0;

    if (heads_max < 1 || payload_max < TE_RECORD_PAYLOAD_MAX) {
        return TE_E_INVALID;
    }
    if (channel->is_corrupt) {
        return TE_E_CORRUPT;
    }
    channel->peeked = false;
    while (count < heads_max) {
        struct te_record *record = &heads[count];
        found = record_next(&end->in, &end->in_order, channel->in_direction, record);
        if (found <= 0 || record->size_bytes > payload_max - filled) {
            break;
        }
        memcpy(payload + filled, ring_cursor(&end->in) + sizeof *record, record->size_bytes);
        filled += record->size_bytes;
        record_order_advance(&end->in_order, record);
        ring_advance(&end->in, record_stride_bytes(record->size_bytes));
        count++;
    }
    ring_publish(&end->in);
    channel->is_corrupt = found < 0;
    return count == 0 && found < 0 ? found : count;
}

int te_channel_peek(struct te_channel *channel, struct te_record *record,
                    const uint8_t **payload) {
    struct end *end = &channel->end;

    if (channel->is_corrupt) {
        return TE_E_CORRUPT;
    }
    if (!channel->peeked) {
        const int found = record_next(&end->in, &end->in_order, channel->in_direction,
                                      &channel->peeked_record);
        if (found <= 0) {
            channel->is_corrupt = found < 0;
            return found;
        }
        channel->peeked = true;
    }
    *record = channel->peeked_record;
    *payload = ring_cursor(&end->in) + sizeof *record;
    return 1;
}

void te_channel_pop(struct te_channel *channel) {
    struct end *end = &channel->end;

    if (channel->peeked) {
        channel->peeked = false;
        record_order_advance(&end->in_order, &channel->peeked_record);
        ring_advance(&end->in, record_stride_bytes(channel->peeked_record.size_bytes));
        ring_publish(&end->in);
    }
}

int te_channel_untaken(struct te_channel *channel, struct te_record *heads, int heads_max) {
    struct ring *out = &channel->end.out;
    int count = 0;

    channel->is_corrupt = channel->is_corrupt || ring_available(out, out->capacity_bytes) < 0;
    if (channel->is_corrupt) {
        return TE_E_CORRUPT;
    }
    uint64_t at = out->peer; /* as it was just read and checked */
    while (count < heads_max && out->position - at >= sizeof(struct te_record)) {
        struct te_record *record = &heads[count];
        memcpy(record, out->bytes + (at & (out->capacity_bytes - 1)), sizeof *record);
        atomic_signal_fence(memory_order_seq_cst); /* the other side may write there, too */
        const uint64_t stride = record_stride_bytes(record->size_bytes);
        if (!record_valid(record, channel->out_direction) || stride > out->position - at) {
            return TE_E_CORRUPT;
        }
        count += record->kind == TE_REQUEST && (record->flags & TE_FIRST) != 0;
        at += stride;
    }
    return count;
}

int te_channel_keep_starts(struct te_channel *channel, int fd, int is_beside, char *why) {
    if (channel->starts_file != NULL) {
        snprintf(why, TE_WHY_BYTES, "this channel has a file already");
        return TE_E_INVALID;
    }
    const int error = starts_file_open(fd, &channel->starts_file, why);
    if (error == TE_OK) {
        struct starts **places = is_beside != 0 ? &channel->starts_beside : &channel->starts;
        *places = starts_file_places(channel->starts_file);
    }
    return error;
}

void te_channel_begin_starts(struct te_channel *channel, uint32_t flow, uint64_t number) {
    starts_begin(&channel->starts[starts_place(flow)], flow, number);
    if (channel->starts_beside != NULL) {
        starts_begin(&channel->starts_beside[starts_place(flow)], flow, number);
    }
}

void te_channel_note(struct te_channel *channel, uint32_t flow, uint64_t call_id, int state) {
    struct starts *starts = &channel->starts[starts_place(flow)];
    starts_note(starts, flow, call_id, (enum te_start)state);
    if (channel->starts_beside != NULL) {
        starts_note(&channel->starts_beside[starts_place(flow)], flow, call_id,
                    (enum te_start)state);
    }
}

int te_channel_starts(const struct te_channel *channel, uint32_t flow, int is_own,
                      struct te_starts *starts) {
    const struct starts *places = is_own != 0 ? channel->starts : channel->other_starts;
    return starts_read(&places[starts_place(flow)], flow, starts);
}

int te_channel_has_acked(const struct te_channel *channel, uint32_t flow, uint64_t call_id) {
    return acked_has(&channel->end.mapping, flow, call_id);
}

int te_channel_ring(struct te_channel *channel) {
    return end_ring(&channel->end) ? 1 : 0;
}

int te_channel_arm(struct te_channel *channel, int wake) {
    const unsigned both = TE_WAKE_READABLE | TE_WAKE_WRITABLE;
    return (int)end_arm(&channel->end, (unsigned)wake & both);
}

int te_channel_awake(struct te_channel *channel) {
    return doorbell_awake(&channel->end.doorbell);
}

int te_channel_fd(const struct te_channel *channel) {
    return channel->end.doorbell.fd;
}
