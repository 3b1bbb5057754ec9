/* Each end of a pair reads each byte that the other may change at most once, whatever that writes.
 *
 * As fetches.c does for an engine: the end under test has its memory watched, the other is honest
 * or writes what no honest one does. One call may load a word of the header once and a byte of the
 * ring that it reads once; of the ring that it writes it loads nothing.
 */
#include "trace.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/check.h"
#include "shm/end.h"

enum end_name { ASKS, ACCEPTS, ENDS };

enum { RING_BYTES = TE_RING_BYTES_MIN, HEADER_PAGE_BYTES = 4096 };

enum part { PART_HEADER, PART_IN, PART_OUT };

static struct te_channel *ends[ENDS];
static int own; /* the end whose memory is watched */
static uint8_t *shared;
static uint64_t operations, cut_off;

void te_check_failed(const char *claim, const char *file, int line) {
    fprintf(stderr, "%s:%d: %s\n", file, line, claim);
    exit(2);
}

static uint8_t *ring_of(int end) {
    return shared + CHANNEL_HEADER_BYTES + (end == ACCEPTS ? RING_BYTES : 0);
}

static void open_pair(int end_under_test) {
    char why[TE_WHY_BYTES];
    int doorbells[ENDS] = {-1, -1};
    int memory_fd = -1;
    own = end_under_test;
    te_check(te_pair_make(RING_BYTES, &memory_fd, doorbells, why) == TE_OK);
    shared = mmap(NULL, CHANNEL_HEADER_BYTES + 2 * RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
                  memory_fd, 0);
    te_check(shared != MAP_FAILED);
    for (int end = 0; end < ENDS; end++) {
        const int copy = fcntl(memory_fd, F_DUPFD_CLOEXEC, 0);
        te_check(te_pair_open(copy, doorbells[end], end, &ends[end], why) == TE_OK);
    }
    te_check(te_pair_seal(memory_fd, why) == TE_OK);
    close(memory_fd);
    /* A channel begins with its end. */
    const struct end *watches = (const struct end *)(const void *)ends[own];
    watched_count = 0;
    trace_watch((uint8_t *)watches->mapping.header, HEADER_PAGE_BYTES, HEADER_PAGE_BYTES, shared);
    trace_watch(watches->in.bytes, 2 * RING_BYTES, RING_BYTES, ring_of(1 - own));
    trace_watch(watches->out.bytes, 2 * RING_BYTES, RING_BYTES, ring_of(own));
    for (size_t i = 0; i < watched_count; i++) {
        trace_forget(&watched[i]);
    }
}

static void close_pair(void) {
    watched_count = 0;
    te_channel_close(ends[ASKS]);
    te_channel_close(ends[ACCEPTS]);
    munmap(shared, CHANNEL_HEADER_BYTES + 2 * RING_BYTES);
}

static void check_call(const char *what) {
    trace_stop();
    operations++;
    for (int part = PART_HEADER; part <= PART_IN; part++) {
        const long twice = trace_loaded_twice(&watched[part]);
        if (twice >= 0) {
            printf("%s: byte %ld of part %d is loaded twice\n", what, twice, part);
            exit(1);
        }
    }
    for (size_t i = 0; i < RING_BYTES; i++) {
        if (watched[PART_OUT].loads[i] != 0) {
            printf("%s: byte %zu of the own ring is loaded\n", what, i);
            exit(1);
        }
    }
    trace_forget(&watched[PART_HEADER]);
}

static int receive(void) {
    static uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    struct te_record head;
    trace_start();
    const int count = te_channel_receive(ends[own], &head, 1, payload, sizeof payload);
    check_call("te_channel_receive");
    trace_start();
    te_channel_ring(ends[own]);
    check_call("te_channel_ring");
    if (count == 1) {
        trace_forget(&watched[PART_IN]);
    }
    return count;
}

static uint8_t packed[sizeof(struct te_record) + TE_RECORD_PAYLOAD_MAX];

static struct te_record request(uint32_t size_bytes) {
    return (struct te_record){.kind = TE_REQUEST, .flags = TE_FIRST | TE_LAST,
                              .size_bytes = size_bytes, .total_bytes = size_bytes};
}

static uint64_t pack(uint32_t size_bytes) {
    const struct te_record record = request(size_bytes);
    memcpy(packed, &record, sizeof record);
    return (sizeof record + size_bytes + 7) / 8 * 8;
}

static void try_sizes(int end) {
    static const uint32_t sizes[] = {0, 1, 7, 8, 9, 64, 700, 4096, 4097, 65535, 65536};
    open_pair(end);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const int64_t stride = (int64_t)pack(sizes[i]);
        te_check(te_channel_send(ends[1 - own], packed, (uint64_t)stride) == stride);
        te_check(receive() == 1 && receive() == 0);
        trace_start();
        const int64_t taken = te_channel_send(ends[own], packed, (uint64_t)stride);
        check_call("te_channel_send");
        te_check(taken == stride);
        trace_start();
        te_channel_arm(ends[own], TE_WAKE_READABLE | TE_WAKE_WRITABLE);
        check_call("te_channel_arm");
        static uint8_t payload[TE_RECORD_PAYLOAD_MAX];
        struct te_record head;
        te_check(te_channel_receive(ends[1 - own], &head, 1, payload, sizeof payload) == 1);
    }
    close_pair();
}

/* Each byte of the header with each of some values. */
static void try_broken(int end) {
    static const uint8_t values[] = {0, 1, 48, 255};
    for (size_t at = 0; at < sizeof(struct te_record); at++) {
        for (size_t i = 0; i < sizeof values; i++) {
            open_pair(end);
            const uint64_t stride = pack(64);
            packed[at] = values[i];
            memcpy(ring_of(1 - own), packed, stride);
            struct channel_header *header = (struct channel_header *)(void *)shared;
            atomic_store(own == ASKS ? &header->rx_tail : &header->tx_tail, stride);
            cut_off += receive() == TE_E_CORRUPT;
            close_pair();
        }
    }
}

static void try_positions(int end) {
    static const uint64_t positions[] = {8, 4, RING_BYTES, RING_BYTES + 8, 1ULL << 63, UINT64_MAX};
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        open_pair(end);
        struct channel_header *header = (struct channel_header *)(void *)shared;
        atomic_store(own == ASKS ? &header->rx_tail : &header->tx_tail, positions[i]);
        atomic_store(own == ASKS ? &header->tx_head : &header->rx_head, positions[i]);
        cut_off += receive() == TE_E_CORRUPT;
        const uint64_t stride = pack(TE_RECORD_PAYLOAD_MAX);
        for (int records = 0; records < 2; records++) {
            trace_start();
            const int64_t taken = te_channel_send(ends[own], packed, stride);
            check_call("te_channel_send");
            te_check(taken <= (int64_t)stride);
        }
        close_pair();
    }
}

int main(void) {
    trace_open();
    for (int end = 0; end < ENDS; end++) {
        try_sizes(end);
        try_broken(end);
        try_positions(end);
    }
    printf("%llu operations, %llu loads of %llu bytes, %llu quarantined\n",
           (unsigned long long)operations, (unsigned long long)loads_seen,
           (unsigned long long)bytes_seen, (unsigned long long)cut_off);
    return 0;
}
