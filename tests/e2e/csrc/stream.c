/* An honest tenant: a flow to itself through the engine, every byte of it checked.
 *
 * stream SOCKET SECONDS [RATE]: sends messages of many sizes in one lane as fast as it may, or
 * RATE of them a second, until then or SIGTERM; prints one line of JSON each second, and one at the
 * end. A message that is lost, doubled, out of order or changed ends it with status 1.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

enum {
    STREAM_RING_BYTES = 1 << 20,
    LANE = 1,
    HEADS = 64,
    PAYLOAD_BYTES = 4 * TE_RECORD_PAYLOAD_MAX,
    WAIT_MS = 100,
    SILENCE_MS = 20000
};

static const uint32_t SIZES[] = {0, 8, 64, 1000, 1024, 4096, 9000, 65536};

static volatile sig_atomic_t is_over;

struct stream {
    struct te_channel *channel;
    struct loop loop;
    uint64_t sent;
    uint64_t received;
    uint64_t bytes;
    uint64_t heard_ns;
};

static uint32_t size_of(uint64_t number) {
    return SIZES[number % (sizeof SIZES / sizeof SIZES[0])];
}

/* splitmix64: content of word `at` of message `number`. */
static uint64_t word(uint64_t number, uint32_t at) {
    uint64_t z = number * UINT64_C(0x9E3779B97F4A7C15) + at;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    return z ^ (z >> 31);
}

static void fill(uint8_t *payload, uint64_t number, uint32_t size) {
    for (uint32_t at = 0; at < size; at += 8) {
        const uint64_t value = word(number, at);
        memcpy(payload + at, &value, 8);
    }
}

static bool is_right(const uint8_t *payload, uint64_t number, uint32_t size) {
    for (uint32_t at = 0; at < size; at += 8) {
        const uint64_t value = word(number, at);
        if (memcmp(payload + at, &value, 8) != 0) {
            return false;
        }
    }
    return true;
}

static bool send_next(struct stream *stream) {
    static uint8_t packed[sizeof(struct te_record) + TE_RECORD_PAYLOAD_MAX];
    static uint64_t prepared;
    const uint32_t size = size_of(stream->sent);
    if (prepared != stream->sent + 1) {
        const struct te_record record = {.call_id = stream->sent, .kind = TE_REQUEST,
                                         .flags = TE_FIRST | TE_LAST, .flow = stream->loop.near,
                                         .size_bytes = size, .total_bytes = size, .lane = LANE};
        memcpy(packed, &record, sizeof record);
        fill(packed + sizeof record, stream->sent, size);
        prepared = stream->sent + 1;
    }
    const int64_t taken = te_channel_send(stream->channel, packed, sizeof(struct te_record) + size);
    if (taken < 0) {
        die("the engine's positions are wrong");
    }
    stream->sent += taken > 0;
    return taken > 0;
}

static void check(struct stream *stream, const struct te_record *head, const uint8_t *payload) {
    if (head->kind != TE_REQUEST || head->flow != stream->loop.far) {
        fprintf(stderr, "record of kind %d, status %d, after %" PRIu64 " messages\n", head->kind,
                head->status, stream->received);
        exit(1);
    }
    if (head->call_id != stream->received || head->size_bytes != size_of(head->call_id)
        || !is_right(payload, head->call_id, head->size_bytes)) {
        fprintf(stderr, "message %" PRIu64 " came where %" PRIu64 " was due, or is changed\n",
                head->call_id, stream->received);
        exit(1);
    }
    stream->received++;
    stream->bytes += head->size_bytes;
}

static int receive(struct stream *stream) {
    static uint8_t payload[PAYLOAD_BYTES];
    struct te_record heads[HEADS];
    const int count = te_channel_receive(stream->channel, heads, HEADS, payload, PAYLOAD_BYTES);
    const uint8_t *at = payload;
    for (int i = 0; i < count; i++) {
        check(stream, &heads[i], at);
        at += heads[i].size_bytes;
    }
    if (count < 0) {
        die("the engine wrote a record that breaks the rules");
    }
    if (count > 0) {
        stream->heard_ns = now_ns();
    } else if (now_ns() - stream->heard_ns > SILENCE_MS * UINT64_C(1000000)) {
        die("nothing comes any more");
    }
    return count;
}

static void say(const struct stream *stream, uint64_t since_ns, bool is_end) {
    printf("{\"%s\": true, \"messages\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"seconds\": %.3f}\n",
           is_end ? "end" : "going", stream->received, stream->bytes,
           (double)(now_ns() - since_ns) / 1e9);
    fflush(stdout);
}

static void end(int signal_number) {
    (void)signal_number;
    is_over = 1;
}

static void run(struct stream *stream, double seconds, double rate) {
    const uint64_t begun_ns = now_ns();
    const uint64_t until_ns = begun_ns + (uint64_t)(seconds * 1e9);
    uint64_t said_ns = begun_ns;
    stream->heard_ns = begun_ns;
    say(stream, begun_ns, false);
    for (uint64_t now = begun_ns; (now < until_ns && !is_over) || stream->received < stream->sent;
         now = now_ns()) {
        const double allowed = rate > 0 ? (double)(now - begun_ns) / 1e9 * rate : 1e18;
        int moved = 0;
        bool is_full = false;
        const bool may_send = now < until_ns && !is_over;
        while (may_send && moved < HEADS && (double)stream->sent < allowed && !is_full) {
            is_full = !send_next(stream);
            moved += !is_full;
        }
        moved += receive(stream);
        te_channel_ring(stream->channel);
        const int wakes = TE_WAKE_READABLE | (is_full ? TE_WAKE_WRITABLE : 0);
        const int wait_ms = rate > 0 ? 1 : WAIT_MS;
        if (moved == 0 && !channel_wait(stream->channel, wakes, wait_ms)) {
            die("the engine is gone");
        }
        if (now - said_ns >= UINT64_C(1000000000)) {
            said_ns = now;
            say(stream, begun_ns, false);
        }
    }
    say(stream, begun_ns, true);
}

int main(int argc, char **argv) {
    struct guest guest;
    struct stream stream = {0};
    if (argc < 3 || !guest_attach(&guest, argv[1], STREAM_RING_BYTES)) {
        die("usage: stream SOCKET SECONDS [RATE], and an engine there");
    }
    stream.channel = guest_open_channel(&guest);
    if (!guest_loop(&guest, stream.channel, &stream.loop)) {
        die("no flow");
    }
    signal(SIGTERM, end);
    run(&stream, atof(argv[2]), argc > 3 ? atof(argv[3]) : 0);
    te_channel_close(stream.channel);
    guest_leave(&guest);
    return 0;
}
