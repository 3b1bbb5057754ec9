/* Requests and replies of one generator.
 *
 * A request is its mark, filler, and the mark again; the mark is its number and the place that
 * it takes in the window. Source: the benchmark `msg_gen` of Machnet (Microsoft Research).
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "msggen/msggen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t msggen_now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint32_t padded(uint32_t payload_bytes) {
    const uint32_t align = TE_RECORD_ALIGN;
    return ((uint32_t)sizeof(struct te_record) + payload_bytes + align - 1) / align * align;
}

/* ---- life ---- */

static int check(const struct te_msggen_config *config, char *why) {
    if (config->role == TE_MSGGEN_SERVER) {
        return TE_OK;
    }
    if (config->role != TE_MSGGEN_CLIENT || config->message_bytes < TE_MSGGEN_BYTES_MIN ||
        config->message_bytes > TE_MSGGEN_BYTES_MAX || config->window < 1 ||
        config->window > TE_MSGGEN_WINDOW_MAX) {
        snprintf(why, TE_WHY_BYTES, "a message has %d to %d bytes, and a window 1 to %d requests",
                 TE_MSGGEN_BYTES_MIN, TE_MSGGEN_BYTES_MAX, TE_MSGGEN_WINDOW_MAX);
        return TE_E_INVALID;
    }
    return TE_OK;
}

/* Writes what all requests have in common. */
static void fill_requests(struct te_msggen *msggen) {
    const struct te_msggen_config *config = &msggen->config;
    struct te_record record = {
        .flow = config->flow,
        .size_bytes = config->message_bytes,
        .total_bytes = config->message_bytes,
        .kind = TE_REQUEST,
        .flags = TE_FIRST | TE_LAST,
    };
    msggen->stride_bytes = padded(config->message_bytes);
    for (uint32_t i = 0; i < BURST_MAX; i++) {
        uint8_t *at = msggen->records + (size_t)i * msggen->stride_bytes;
        memset(at, 'm', msggen->stride_bytes);
        memcpy(at, &record, sizeof record);
    }
    for (uint32_t i = 0; i < config->window; i++) {
        msggen->free_slots[msggen->free_count++] = (uint16_t)i;
    }
}

int te_msggen_open(const struct te_msggen_config *config, struct te_msggen **opened, char *why) {
    int error = check(config, why);
    if (error != TE_OK) {
        return error;
    }
    bool is_client = config->role == TE_MSGGEN_CLIENT;
    size_t room_bytes = is_client ? (size_t)BURST_MAX * padded(config->message_bytes)
                                  : PAYLOAD_BYTES + (size_t)BURST_MAX * padded(0);
    struct te_msggen *msggen = calloc(1, sizeof *msggen);
    if (msggen != NULL) {
        msggen->config = *config;
        msggen->next_number = 1;
        msggen->received = malloc(PAYLOAD_BYTES);
        msggen->records = malloc(room_bytes + BURST_MAX * TE_RECORD_ALIGN);
    }
    if (msggen == NULL || msggen->received == NULL || msggen->records == NULL) {
        te_msggen_close(msggen);
        snprintf(why, TE_WHY_BYTES, "no memory for a message generator");
        return TE_E_NO_MEMORY;
    }
    if (is_client) {
        fill_requests(msggen);
    }
    *opened = msggen;
    return TE_OK;
}

void te_msggen_close(struct te_msggen *msggen) {
    if (msggen != NULL) {
        free(msggen->received);
        free(msggen->records);
        free(msggen);
    }
}

/* ---- client ---- */

static void write_request(struct te_msggen *msggen, uint32_t place, uint16_t slot) {
    uint8_t *at = msggen->records + (size_t)place * msggen->stride_bytes;
    uint64_t mark = (msggen->next_number + place) << SLOT_BITS | slot;
    uint8_t *payload = at + sizeof(struct te_record);
    memcpy(at + offsetof(struct te_record, call_id), &mark, sizeof mark);
    memcpy(payload, &mark, sizeof mark);
    memcpy(payload + msggen->config.message_bytes - sizeof mark, &mark, sizeof mark);
    msggen->marks[slot] = mark;
}

/* Returns the requests sent, or an error. */
static int send_requests(struct te_msggen *msggen) {
    uint32_t count = msggen->free_count < BURST_MAX ? msggen->free_count : BURST_MAX;
    if (count == 0 || msggen->is_settling) {
        return 0;
    }
    uint64_t now_ns = msggen_now_ns();
    const uint16_t *last = msggen->free_slots + msggen->free_count - 1;
    for (uint32_t i = 0; i < count; i++) {
        write_request(msggen, i, last[-(ptrdiff_t)i]);
    }
    int64_t taken = te_channel_send(msggen->config.channel, msggen->records,
                                    (uint64_t)count * msggen->stride_bytes);
    if (taken < 0) {
        return (int)taken;
    }
    uint32_t sent = (uint32_t)((uint64_t)taken / msggen->stride_bytes);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t slot = last[-(ptrdiff_t)i];
        msggen->sent_ns[slot] = now_ns;
        msggen->marks[slot] = i < sent ? msggen->marks[slot] : 0;
    }
    msggen->free_count -= sent;
    msggen->next_number += sent;
    msggen->counts.requests += sent;
    return (int)sent;
}

static bool has_mark(const uint8_t *at, uint64_t mark) {
    return memcmp(at, &mark, sizeof mark) == 0;
}

static void take_reply(struct te_msggen *msggen, const struct te_record *head,
                       const uint8_t *payload, uint64_t now_ns) {
    const uint32_t bytes = msggen->config.message_bytes;
    uint64_t mark = head->call_id;
    uint32_t slot = (uint32_t)(mark & ((1 << SLOT_BITS) - 1));
    if (head->kind != TE_REPLY || (head->flags & TE_ERROR) || mark == 0 ||
        slot >= msggen->config.window || msggen->marks[slot] != mark) {
        msggen->counts.wrong_call++;
        return;
    }
    msggen->marks[slot] = 0;
    msggen->free_slots[msggen->free_count++] = (uint16_t)slot;
    if (head->total_bytes != bytes || head->size_bytes != bytes) {
        msggen->counts.wrong_length++;
    } else if (!has_mark(payload, mark) || !has_mark(payload + bytes - sizeof mark, mark)) {
        msggen->counts.wrong_mark++;
    } else {
        msggen->counts.replies++;
        histogram_add(&msggen->histogram, now_ns - msggen->sent_ns[slot]);
    }
}

/* ---- server ---- */

static void write_reply(struct te_msggen *msggen, const struct te_record *head,
                        const uint8_t *payload) {
    struct te_record *reply = (void *)(msggen->records + msggen->unsent_end);
    *reply = *head;
    reply->kind = TE_REPLY;
    reply->remaining_ns = 0;
    memcpy(reply + 1, payload, head->size_bytes);
    msggen->unsent_end += padded(head->size_bytes);
    msggen->counts.requests += (head->flags & TE_LAST) != 0;
    msggen->counts.replies += (head->flags & TE_LAST) != 0;
}

/* Returns the bytes sent, or an error. */
static int64_t send_replies(struct te_msggen *msggen) {
    uint64_t left_bytes = msggen->unsent_end - msggen->unsent_at;
    if (left_bytes == 0) {
        return 0;
    }
    int64_t taken = te_channel_send(msggen->config.channel, msggen->records + msggen->unsent_at,
                                    left_bytes);
    if (taken > 0) {
        msggen->unsent_at += (uint64_t)taken;
    }
    if (msggen->unsent_at == msggen->unsent_end) {
        msggen->unsent_at = msggen->unsent_end = 0;
    }
    return taken;
}

/* ---- both ---- */

static void take_record(struct te_msggen *msggen, const struct te_record *head,
                        const uint8_t *payload, uint64_t now_ns) {
    if (head->kind == TE_FLOW_CLOSED) {
        msggen->counts.flows_closed++;
        msggen->counts.close_reason = head->status;
    } else if (head->kind == TE_FLOW_ACCEPTED) {
        msggen->counts.flows_opened++;
    } else if (msggen->config.role == TE_MSGGEN_CLIENT) {
        take_reply(msggen, head, payload, now_ns);
    } else if (head->kind == TE_REQUEST) {
        write_reply(msggen, head, payload);
    } else {
        msggen->counts.wrong_call++;
    }
}

int msggen_step(struct te_msggen *msggen) {
    struct te_channel *channel = msggen->config.channel;
    bool is_client = msggen->config.role == TE_MSGGEN_CLIENT;
    bool may_receive = is_client || msggen->unsent_end == 0;
    int got = may_receive ? te_channel_receive(channel, msggen->heads, BURST_MAX, msggen->received,
                                               PAYLOAD_BYTES)
                          : 0;
    uint64_t now_ns = got > 0 && is_client ? msggen_now_ns() : 0;
    const uint8_t *payload = msggen->received;
    for (int i = 0; i < got; i++) {
        take_record(msggen, &msggen->heads[i], payload, now_ns);
        payload += msggen->heads[i].size_bytes;
    }
    int64_t sent = is_client ? send_requests(msggen) : send_replies(msggen);
    if (got != 0 || sent != 0) {
        te_channel_ring(channel);
    }
    if (got < 0 || sent < 0) {
        return got < 0 ? got : (int)sent;
    }
    return got + (sent > 0);
}

bool msggen_is_over(const struct te_msggen *msggen) {
    return msggen->config.role == TE_MSGGEN_CLIENT && msggen->counts.flows_closed > 0;
}

/* ---- figures ---- */

void te_msggen_count(const struct te_msggen *msggen, struct te_msggen_counts *counts) {
    *counts = msggen->counts;
}

uint64_t te_msggen_latency_ns(const struct te_msggen *msggen, uint32_t ppm) {
    return histogram_at(&msggen->histogram, ppm);
}

void te_msggen_forget(struct te_msggen *msggen) {
    msggen->counts = (struct te_msggen_counts){
        .flows_opened = msggen->counts.flows_opened,
        .flows_closed = msggen->counts.flows_closed,
        .close_reason = msggen->counts.close_reason,
    };
    histogram_clear(&msggen->histogram);
}
