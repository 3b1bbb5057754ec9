#define _GNU_SOURCE
#include "shm/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "shm/acked.h"
#include "shm/end.h"
#include "shm/memory.h"
#include "shm/starts.h"

struct channel {
    struct end end;
    int memory_fd; /* until it is sealed; then -1 */
    bool starved;  /* a reservation found no room; cleared by one that does */
    bool peeked;
    struct te_record peeked_record;
    bool is_ahead; /* the header after it was read, too */
    struct te_record ahead_record; /* a copy of that: no byte is read twice */
    uint32_t reserved_bytes;
    uint8_t violation; /* enum te_violation */
};

/* Notes what an error was about; returns the error. */
static int blame(struct channel *channel, enum te_violation violation, int error) {
    if (error < 0) {
        channel->violation = (uint8_t)violation;
    }
    return error;
}

/* Makes both ends of the doorbell and the application's copy of the memory's descriptor. */
static int channel_connect(struct channel *channel, struct mapping mapping, int *memory_fd,
                           int *doorbell_fd, char *why) {
    int doorbell[2];
    int error = doorbell_pair(doorbell);
    const int copy = error == TE_OK ? fcntl(channel->memory_fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (copy < 0) {
        snprintf(why, TE_WHY_BYTES, "cannot make a channel's descriptors: %s", strerror(errno));
        if (error == TE_OK) {
            close(doorbell[0]);
            close(doorbell[1]);
        }
        return TE_E_SYSTEM;
    }
    end_init(&channel->end, MAPPING_ENGINE, mapping, doorbell[0]);
    *doorbell_fd = doorbell[1];
    *memory_fd = copy;
    return TE_OK;
}

int channel_create(uint64_t ring_bytes, struct channel **channel, int *memory_fd, int *doorbell_fd,
                   char *why) {
    struct channel *made = calloc(1, sizeof *made);
    if (made == NULL) {
        snprintf(why, TE_WHY_BYTES, "no memory for a channel");
        return TE_E_NO_MEMORY;
    }
    struct mapping mapping = {0};
    made->memory_fd = -1;
    int error = memory_make(ring_bytes, &made->memory_fd, why);
    if (error == TE_OK) {
        error = mapping_open(&mapping, made->memory_fd, ring_bytes, MAPPING_ENGINE, why);
    }
    if (error == TE_OK) {
        error = channel_connect(made, mapping, memory_fd, doorbell_fd, why);
    }
    if (error != TE_OK) {
        mapping_close(&mapping);
        if (made->memory_fd >= 0) {
            close(made->memory_fd);
        }
        free(made);
        return error;
    }
    *channel = made;
    return TE_OK;
}

void channel_destroy(struct channel *channel) {
    if (channel == NULL) {
        return;
    }
    if (channel->memory_fd >= 0) {
        close(channel->memory_fd);
    }
    end_fini(&channel->end);
    free(channel);
}

int channel_seal(struct channel *channel) {
    if (channel->memory_fd < 0) {
        return TE_OK;
    }
    const int error = memory_seal(channel->memory_fd);
    if (error != TE_OK) {
        return error;
    }
    close(channel->memory_fd);
    channel->memory_fd = -1;
    return TE_OK;
}

static int next_record(struct channel *channel) {
    struct end *end = &channel->end;
    if (!channel->is_ahead) {
        return record_next(&end->in, &end->in_order, RECORD_TO_ENGINE, &channel->peeked_record);
    }
    channel->is_ahead = false;
    channel->peeked_record = channel->ahead_record;
    return record_check(&end->in, &end->in_order, RECORD_TO_ENGINE, &channel->peeked_record);
}

bool channel_ahead(struct channel *channel, uint32_t *flow) {
    te_check(channel->peeked);
    if (!channel->is_ahead) {
        const uint64_t stride = record_stride_bytes(channel->peeked_record.size_bytes);
        channel->is_ahead = record_ahead(&channel->end.in, stride, &channel->ahead_record);
    }
    *flow = channel->ahead_record.flow;
    return channel->is_ahead;
}

int channel_peek(struct channel *channel, struct te_record *record, const uint8_t **payload) {
    struct end *end = &channel->end;

    if (!channel->peeked) {
        const int64_t available = ring_available(&end->in, 1);
        if (available <= 0) {
            return blame(channel, TE_V_POSITION, (int)available);
        }
        if ((uint64_t)available < sizeof *record) {
            return TE_E_CORRUPT; /* here, since record_next would load the position again */
        }
        const int error = channel_seal(channel);
        if (error != TE_OK) {
            return blame(channel, TE_V_MEMORY, error);
        }
        const int found = next_record(channel);
        if (found <= 0) {
            return blame(channel, TE_V_RECORD, found);
        }
        channel->peeked = true;
    }
    *record = channel->peeked_record;
    *payload = ring_cursor(&end->in) + sizeof *record;
    return 1;
}

void channel_pop(struct channel *channel) {
    te_check(channel->peeked);
    channel->peeked = false;
    record_order_advance(&channel->end.in_order, &channel->peeked_record);
    ring_advance(&channel->end.in, record_stride_bytes(channel->peeked_record.size_bytes));
}

struct te_record *channel_reserve(struct channel *channel, uint32_t size_bytes, int *error) {
    te_check(size_bytes <= TE_RECORD_PAYLOAD_MAX);
    struct ring *out = &channel->end.out;
    const uint64_t stride = record_stride_bytes(size_bytes);

    *error = blame(channel, TE_V_MEMORY, channel_seal(channel));
    if (*error != TE_OK) {
        return NULL;
    }
    const int64_t room = ring_available(out, stride);
    channel->starved = room < (int64_t)stride;
    if (channel->starved) {
        *error = blame(channel, TE_V_POSITION, room < 0 ? (int)room : TE_OK);
        return NULL;
    }
    channel->reserved_bytes = size_bytes;
    return (struct te_record *)(void *)ring_cursor(out);
}

void channel_commit(struct channel *channel, uint32_t size_bytes) {
    te_check(size_bytes <= channel->reserved_bytes);
    ring_advance(&channel->end.out, record_stride_bytes(size_bytes));
    channel->reserved_bytes = 0;
}

void channel_flush(struct channel *channel) {
    ring_publish(&channel->end.in);
    ring_publish(&channel->end.out);
    end_ring(&channel->end);
}

int channel_arm(struct channel *channel) {
    const uint32_t wakes = (channel->peeked ? 0U : (uint32_t)TE_WAKE_READABLE)
                           | (channel->starved ? (uint32_t)TE_WAKE_WRITABLE : 0U);
    return end_arm(&channel->end, wakes) != 0;
}

void channel_disarm(struct channel *channel) {
    doorbell_disarm(&channel->end.doorbell);
}

int channel_awake(struct channel *channel) {
    return doorbell_awake(&channel->end.doorbell);
}

bool channel_starts(const struct channel *channel, uint32_t flow, struct te_starts *starts) {
    const struct starts *places = starts_of(&channel->end.mapping, MAPPING_APPLICATION);
    return starts_read(&places[starts_place(flow)], flow, starts);
}

void channel_tell_acked(const struct channel *channel, uint32_t flow, uint64_t call_id) {
    te_check(channel->memory_fd < 0); /* sealed, or the application could take the page away */
    acked_tell(&channel->end.mapping, flow, call_id);
}

uint64_t channel_ring_bytes(const struct channel *channel) {
    return channel->end.in.capacity_bytes;
}

uint8_t channel_violation(const struct channel *channel) {
    return channel->violation;
}

int channel_fd(const struct channel *channel) {
    return channel->end.doorbell.fd;
}
