/* Both ends of a channel in one process: transfer, backpressure, sleep, sealing, hostility. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "shm/channel.h"
#include "shm/layout.h"

enum {
    RING_BYTES = TE_RING_BYTES_MIN,
    PIECE = TE_RECORD_PAYLOAD_MAX,
    HEADS = 64,
    FULL_RECORDS_IN_RING = 1 /* of PIECE bytes: two headers more than fill the smallest ring */
};

struct both {
    struct channel *engine;
    struct te_channel *application;
    uint8_t *shared; /* a hostile application's own view of everything */
    int hostile_fd;
    char why[TE_WHY_BYTES];
};

void te_check_failed(const char *claim, const char *file, int line) {
    mock_assert(0, claim, file, line);
    abort();
}

static int setup(void **state) {
    static struct both both;
    int memory_fd = -1;
    int doorbell_fd = -1;
    both = (struct both){0};
    assert_int_equal(
        channel_create(RING_BYTES, &both.engine, &memory_fd, &doorbell_fd, both.why), TE_OK);
    both.hostile_fd = fcntl(memory_fd, F_DUPFD_CLOEXEC, 0);
    both.shared = mmap(NULL, CHANNEL_HEADER_BYTES + 2 * RING_BYTES, PROT_READ | PROT_WRITE,
                       MAP_SHARED, memory_fd, 0);
    assert_true(both.shared != MAP_FAILED);
    assert_int_equal(te_channel_open(memory_fd, doorbell_fd, &both.application, both.why), TE_OK);
    *state = &both;
    return 0;
}

static int teardown(void **state) {
    struct both *both = *state;
    te_channel_close(both->application);
    channel_destroy(both->engine);
    munmap(both->shared, CHANNEL_HEADER_BYTES + 2 * RING_BYTES);
    close(both->hostile_fd);
    return 0;
}

static struct channel_header *header_of(struct both *both) {
    return (struct channel_header *)(void *)both->shared;
}

static struct te_record record_of(uint8_t kind, uint32_t size_bytes) {
    return (struct te_record){
        .call_id = size_bytes,
        .kind = kind,
        .flags = TE_FIRST | TE_LAST,
        .size_bytes = size_bytes,
        .total_bytes = size_bytes,
    };
}

static uint64_t stride(uint32_t size_bytes) {
    return (sizeof(struct te_record) + size_bytes + 7) / 8 * 8;
}

static int64_t send_sized(struct te_channel *channel, uint32_t size_bytes, uint8_t fill) {
    static uint8_t packed[sizeof(struct te_record) + PIECE + 8];
    const struct te_record record = record_of(TE_REQUEST, size_bytes);
    memcpy(packed, &record, sizeof record);
    memset(packed + sizeof record, fill, size_bytes);
    return te_channel_send(channel, packed, stride(size_bytes));
}

static bool readable(int fd) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, 0) == 1;
}

/* Sends one record through the engine's end; false when the ring is full. */
static bool engine_send(struct channel *channel, uint32_t size_bytes, uint8_t fill) {
    int error = TE_E_INVALID;
    uint8_t *payload = channel_reserve(channel, size_bytes, &error);
    assert_int_equal(error, TE_OK);
    if (payload == NULL) {
        return false;
    }
    const struct te_record record = record_of(TE_REPLY, size_bytes);
    memset(payload, fill, size_bytes);
    channel_commit(channel, &record);
    return true;
}

static void test_records_reach_the_engine(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    assert_int_equal(channel_peek(both->engine, &record, &payload), 0);
    for (unsigned round = 0; round < 1000; round++) {
        const uint32_t size_bytes = (round * 7919U) % 5000U;
        assert_int_equal(send_sized(both->application, size_bytes, (uint8_t)round),
                         stride(size_bytes));
        assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
        assert_int_equal(record.size_bytes, size_bytes);
        for (uint32_t i = 0; i < size_bytes; i++) {
            assert_int_equal(payload[i], (uint8_t)round);
        }
        channel_pop(both->engine);
        channel_flush(both->engine);
    }
    assert_int_equal(channel_peek(both->engine, &record, &payload), 0);
}

static void test_records_reach_the_application(void **state) {
    struct both *both = *state;
    static uint8_t payload[4 * PIECE];
    struct te_record heads[HEADS];
    for (unsigned round = 0; round < 1000; round++) {
        const uint32_t size_bytes = (round * 7919U) % 5000U;
        assert_true(engine_send(both->engine, size_bytes, (uint8_t)round));
        assert_true(engine_send(both->engine, 3, 0xEE));
        assert_int_equal(
            te_channel_receive(both->application, heads, HEADS, payload, sizeof payload), 0);
        channel_flush(both->engine);
        assert_int_equal(
            te_channel_receive(both->application, heads, HEADS, payload, sizeof payload), 2);
        assert_int_equal(heads[0].size_bytes, size_bytes);
        for (uint32_t i = 0; i < size_bytes; i++) {
            assert_int_equal(payload[i], (uint8_t)round);
        }
        assert_int_equal(payload[size_bytes], 0xEE); /* the next payload follows unpadded */
    }
}

static void test_send_refuses_what_the_engine_would(void **state) {
    struct both *both = *state;
    uint8_t packed[128] = {0};
    struct te_record record = record_of(TE_FLOW_OPENED, 0);
    memcpy(packed, &record, sizeof record);
    assert_int_equal(te_channel_send(both->application, packed, 48), TE_E_INVALID);
    record = record_of(TE_REQUEST, 8);
    memcpy(packed, &record, sizeof record);
    assert_int_equal(te_channel_send(both->application, packed, 48), TE_E_INVALID); /* cut off */
    assert_int_equal(te_channel_send(both->application, packed, 40), TE_E_INVALID);
    assert_int_equal(te_channel_send(both->application, packed, 56 + 16), 56); /* and half a one */
    assert_int_equal(te_channel_send(both->application, packed + 56, 16), TE_E_INVALID);
    assert_int_equal(te_channel_send(both->application, packed, 0), 0);
}

static void test_full_ring_is_a_value_in_both_directions(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *bytes;
    int64_t taken;
    int sent = 0;
    while ((taken = send_sized(both->application, PIECE, 1)) > 0) {
        sent++;
    }
    assert_int_equal(taken, 0);
    assert_int_equal(sent, FULL_RECORDS_IN_RING);
    assert_int_equal(channel_peek(both->engine, &record, &bytes), 1);
    channel_pop(both->engine);
    assert_int_equal(send_sized(both->application, PIECE, 1), 0); /* popped, not yet flushed */
    channel_flush(both->engine);
    assert_true(send_sized(both->application, PIECE, 1) > 0);

    sent = 0;
    while (engine_send(both->engine, PIECE, 2)) {
        sent++;
    }
    assert_int_equal(sent, FULL_RECORDS_IN_RING);
}

static void test_long_message_in_pieces_across_a_full_ring(void **state) {
    struct both *both = *state;
    enum { TOTAL = 3 * PIECE + 100 };
    static uint8_t packed[sizeof(struct te_record) + PIECE];
    uint32_t engine_saw = 0;
    for (uint32_t offset = 0; offset < TOTAL; offset += PIECE) {
        struct te_record record = record_of(TE_REQUEST, TOTAL - offset < PIECE ? 100 : PIECE);
        record.call_id = 1;
        record.offset_bytes = offset;
        record.total_bytes = TOTAL;
        record.flags = (uint8_t)((offset == 0 ? TE_FIRST : 0)
                                 | (offset + record.size_bytes == TOTAL ? TE_LAST : 0));
        memcpy(packed, &record, sizeof record);
        while (te_channel_send(both->application, packed, stride(record.size_bytes)) == 0) {
            const uint8_t *payload;
            assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
            assert_int_equal(record.offset_bytes, engine_saw);
            engine_saw += record.size_bytes;
            channel_pop(both->engine);
            channel_flush(both->engine);
            memcpy(&record, packed, sizeof record);
        }
    }
    struct te_record record;
    const uint8_t *payload;
    while (channel_peek(both->engine, &record, &payload) == 1) {
        engine_saw += record.size_bytes;
        channel_pop(both->engine);
    }
    assert_int_equal(engine_saw, TOTAL);
}

static void test_peek_again_reads_nothing_again(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    send_sized(both->application, 16, 1);
    assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
    memset(both->shared + CHANNEL_HEADER_BYTES, 0xFF, sizeof record); /* the tenant scribbles */
    memset(&record, 0, sizeof record);
    assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
    assert_int_equal(record.size_bytes, 16);
    assert_int_equal(record.kind, TE_REQUEST);
    channel_pop(both->engine);
    assert_int_equal(channel_peek(both->engine, &record, &payload), 0);
}

static void test_engine_wakes_application_once(void **state) {
    struct both *both = *state;
    const int fd = te_channel_fd(both->application);
    assert_int_equal(te_channel_arm(both->application, TE_WAKE_READABLE), 0);
    channel_flush(both->engine);
    assert_false(readable(fd)); /* nothing happened */
    engine_send(both->engine, 8, 0);
    channel_flush(both->engine);
    assert_true(readable(fd));
    assert_int_equal(te_channel_awake(both->application), TE_OK);
    assert_false(readable(fd));
    engine_send(both->engine, 8, 0);
    channel_flush(both->engine);
    assert_false(readable(fd)); /* awake: no system call, no wake */
    assert_int_equal(te_channel_arm(both->application, TE_WAKE_READABLE), TE_WAKE_READABLE);
    engine_send(both->engine, 8, 0);
    channel_flush(both->engine);
    assert_false(readable(fd)); /* arm found something, so it is not armed */
}

static void test_application_wakes_engine(void **state) {
    struct both *both = *state;
    const int fd = channel_fd(both->engine);
    assert_int_equal(channel_arm(both->engine), 0);
    send_sized(both->application, 8, 0);
    assert_false(readable(fd)); /* sending rings no bell */
    te_channel_ring(both->application);
    assert_true(readable(fd));
    assert_int_equal(channel_awake(both->engine), TE_OK);
    assert_int_equal(channel_arm(both->engine), 1);
}

static void test_blocked_engine_may_sleep_on_a_peeked_record(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    send_sized(both->application, 8, 0);
    assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
    assert_int_equal(channel_arm(both->engine), 0);
    send_sized(both->application, 8, 0);
    te_channel_ring(both->application);
    assert_false(readable(channel_fd(both->engine)));
    channel_pop(both->engine);
    assert_int_equal(channel_arm(both->engine), 1);
}

static void test_application_waits_for_room(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    assert_int_equal(te_channel_arm(both->application, TE_WAKE_WRITABLE), TE_WAKE_WRITABLE);
    while (send_sized(both->application, 1000, 1) > 0) {
    }
    assert_int_equal(te_channel_arm(both->application, TE_WAKE_WRITABLE), 0);
    int popped = 0;
    while (!readable(te_channel_fd(both->application))) {
        assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
        channel_pop(both->engine);
        channel_flush(both->engine);
        popped++;
    }
    assert_true(popped > 10); /* not for the first bytes: for room worth waking for */
    assert_int_equal(te_channel_awake(both->application), TE_OK);
    assert_true(send_sized(both->application, PIECE, 1) > 0);
}

static void test_engine_waits_for_room(void **state) {
    struct both *both = *state;
    static uint8_t payload[PIECE];
    struct te_record head;
    int received = 0;
    while (engine_send(both->engine, 1000, 1)) {
    }
    channel_flush(both->engine);
    assert_int_equal(channel_arm(both->engine), 0);
    while (!readable(channel_fd(both->engine))) {
        assert_int_equal(te_channel_receive(both->application, &head, 1, payload, PIECE), 1);
        te_channel_ring(both->application);
        received++;
    }
    assert_true(received > 10);
    assert_int_equal(channel_awake(both->engine), TE_OK);
    assert_int_equal(channel_arm(both->engine), 1);
    assert_true(engine_send(both->engine, PIECE, 1));
}

static void test_receive_stops_where_payload_is_full(void **state) {
    struct both *both = *state;
    static uint8_t payload[PIECE];
    struct te_record heads[HEADS];
    engine_send(both->engine, PIECE - 10, 1);
    engine_send(both->engine, 11, 2);
    channel_flush(both->engine);
    assert_int_equal(te_channel_receive(both->application, heads, HEADS, payload, PIECE), 1);
    assert_int_equal(te_channel_receive(both->application, heads, HEADS, payload, PIECE), 1);
    assert_int_equal(heads[0].size_bytes, 11);
    assert_int_equal(te_channel_receive(both->application, heads, HEADS, payload, PIECE - 1),
                     TE_E_INVALID);
    assert_int_equal(te_channel_receive(both->application, heads, 0, payload, PIECE),
                     TE_E_INVALID);
}

static void test_engine_is_told_when_the_application_dies(void **state) {
    struct both *both = *state;
    te_channel_close(both->application);
    both->application = NULL;
    assert_true(readable(channel_fd(both->engine)));
    assert_false(channel_closed(both->engine));
    assert_int_equal(channel_awake(both->engine), TE_E_CLOSED);
    assert_true(channel_closed(both->engine));
}

static void test_flush_to_a_dead_application_says_closed(void **state) {
    struct both *both = *state;
    assert_int_equal(te_channel_arm(both->application, TE_WAKE_READABLE), 0);
    te_channel_close(both->application);
    both->application = NULL;
    engine_send(both->engine, 8, 0);
    channel_flush(both->engine); /* EPIPE, and no signal */
    assert_true(channel_closed(both->engine));
}

static void test_application_is_told_when_the_engine_dies(void **state) {
    struct both *both = *state;
    channel_destroy(both->engine);
    both->engine = NULL;
    assert_true(readable(te_channel_fd(both->application)));
    assert_int_equal(te_channel_awake(both->application), TE_E_CLOSED);
}

static void test_full_doorbell_never_blocks_the_engine(void **state) {
    struct both *both = *state;
    for (int i = 0; i < 100000; i++) {
        atomic_store(&header_of(both)->application_armed, TE_WAKE_READABLE);
        if (!engine_send(both->engine, 0, 0)) {
            static uint8_t payload[PIECE];
            struct te_record heads[HEADS];
            while (te_channel_receive(both->application, heads, HEADS, payload, PIECE) > 0) {
            }
        }
        channel_flush(both->engine);
    }
    assert_false(channel_closed(both->engine));
    assert_true(readable(te_channel_fd(both->application)));
}

static void test_flooded_doorbell_drains_a_bounded_part(void **state) {
    struct both *both = *state;
    const int fd = te_channel_fd(both->application);
    uint8_t flood[4096] = {0};
    while (send(fd, flood, sizeof flood, MSG_DONTWAIT) > 0) {
    }
    assert_int_equal(channel_awake(both->engine), TE_OK);
    assert_true(readable(channel_fd(both->engine)));
}

static void test_corrupt_header_quarantines_and_stays_so(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    send_sized(both->application, 16, 1);
    ((struct te_record *)(void *)(both->shared + CHANNEL_HEADER_BYTES))->size_bytes = 17;
    assert_int_equal(channel_peek(both->engine, &record, &payload), TE_E_CORRUPT);
    assert_int_equal(channel_peek(both->engine, &record, &payload), TE_E_CORRUPT);
    assert_int_equal(channel_arm(both->engine), 1); /* never asleep on a broken ring */
}

static void test_hostile_positions(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    int error = TE_OK;
    atomic_store(&header_of(both)->tx_tail, RING_BYTES + 8);
    assert_int_equal(channel_peek(both->engine, &record, &payload), TE_E_CORRUPT);
    while (engine_send(both->engine, PIECE, 1)) {
    }
    channel_flush(both->engine);
    atomic_store(&header_of(both)->rx_head, (uint64_t)2 * RING_BYTES);
    assert_null(channel_reserve(both->engine, PIECE, &error));
    assert_int_equal(error, TE_E_CORRUPT);
    assert_int_equal(channel_arm(both->engine), 1);
}

static void test_geometry_in_shared_memory_is_not_believed(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    header_of(both)->ring_bytes = UINT64_MAX;
    atomic_store(&header_of(both)->tx_head, UINT64_MAX);
    atomic_store(&header_of(both)->rx_tail, UINT64_MAX);
    assert_int_equal(send_sized(both->application, 100, 1), stride(100));
    assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
    channel_pop(both->engine);
    channel_flush(both->engine);
    assert_int_equal(atomic_load(&header_of(both)->tx_head), stride(100));
}

static void test_application_refuses_a_broken_engine(void **state) {
    struct both *both = *state;
    static uint8_t payload[PIECE];
    struct te_record heads[HEADS];
    engine_send(both->engine, 16, 1);
    channel_flush(both->engine);
    uint8_t *rx = both->shared + CHANNEL_HEADER_BYTES + RING_BYTES;
    ((struct te_record *)(void *)rx)->kind = TE_FLOW_CLOSE;
    assert_int_equal(te_channel_receive(both->application, heads, HEADS, payload, PIECE),
                     TE_E_CORRUPT);
    atomic_store(&header_of(both)->tx_head, (uint64_t)2 * RING_BYTES);
    while (send_sized(both->application, 1000, 1) > 0) {
    }
    assert_int_equal(send_sized(both->application, 1000, 1), TE_E_CORRUPT);
}

static void test_seals(void **state) {
    struct both *both = *state;
    const int fd = both->hostile_fd;
    struct te_record record;
    const uint8_t *payload;
    assert_int_equal(ftruncate(fd, 4096), -1);
    assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);

    send_sized(both->application, 8, 1);
    assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
    assert_int_equal(fcntl(fd, F_GET_SEALS),
                     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(madvise(both->shared, 4096, MADV_REMOVE), -1);
    assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    assert_int_equal(channel_seal(both->engine), TE_OK);
}

static void test_pages_removed_before_the_seal_are_found(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    send_sized(both->application, 8, 1);
    assert_int_equal(fallocate(both->hostile_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               CHANNEL_HEADER_BYTES + RING_BYTES, 4096),
                     0);
    assert_int_equal(channel_peek(both->engine, &record, &payload), TE_E_CORRUPT);
}

static void test_seal_kept_off_by_the_application_is_found(void **state) {
    struct both *both = *state;
    int error = TE_OK;
    assert_int_equal(fcntl(both->hostile_fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    assert_null(channel_reserve(both->engine, 8, &error));
    assert_int_equal(error, TE_E_CORRUPT);
}

static void test_second_open_is_refused(void **state) {
    struct both *both = *state;
    struct te_channel *second = NULL;
    assert_int_equal(channel_seal(both->engine), TE_OK);
    const int fd = fcntl(both->hostile_fd, F_DUPFD_CLOEXEC, 0);
    assert_int_equal(te_channel_open(fd, dup(1), &second, both->why), TE_E_SYSTEM);
    assert_non_null(strstr(both->why, "mapped once already"));
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* both descriptors were taken over */
}

static void test_open_refuses_other_memory(void **state) {
    struct both *both = *state;
    struct te_channel *channel = NULL;
    assert_int_equal(te_channel_open(dup(1), dup(1), &channel, both->why), TE_E_CORRUPT);
    assert_non_null(strstr(both->why, "sealed"));

    struct {
        uint64_t ring_bytes;
        uint32_t version;
        const char *sentence;
    } cases[] = {
        {TE_RING_BYTES_MIN, CHANNEL_VERSION + 1, "another version"},
        {TE_RING_BYTES_MIN + 8, CHANNEL_VERSION, "does not agree"},
        {2 * TE_RING_BYTES_MIN, CHANNEL_VERSION, "does not agree"},
        {0, CHANNEL_VERSION, "does not agree"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int fd = memfd_create("not-a-channel", MFD_ALLOW_SEALING | MFD_CLOEXEC);
        struct channel_header header = {.version = cases[i].version,
                                        .header_bytes = CHANNEL_HEADER_BYTES,
                                        .ring_bytes = cases[i].ring_bytes};
        memcpy(header.magic, CHANNEL_MAGIC, CHANNEL_MAGIC_BYTES);
        assert_int_equal(ftruncate(fd, CHANNEL_HEADER_BYTES + 2 * TE_RING_BYTES_MIN), 0);
        assert_int_equal(pwrite(fd, &header, 32, 0), 32);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
        assert_int_equal(te_channel_open(fd, dup(1), &channel, both->why), TE_E_CORRUPT);
        assert_non_null(strstr(both->why, cases[i].sentence));
    }
}

static void test_create_refuses_sizes(void **state) {
    struct both *both = *state;
    const uint64_t sizes[] = {0, 4096, TE_RING_BYTES_MIN - 1, TE_RING_BYTES_MIN + 4096,
                              (uint64_t)TE_RING_BYTES_MAX * 2, UINT64_MAX};
    struct channel *channel = NULL;
    int memory_fd = -1;
    int doorbell_fd = -1;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(channel_create(sizes[i], &channel, &memory_fd, &doorbell_fd, both->why),
                         TE_E_INVALID);
        assert_non_null(strstr(both->why, "power of two"));
    }
}

static void test_commit_of_what_was_not_reserved_is_our_bug(void **state) {
    struct both *both = *state;
    int error = TE_OK;
    const struct te_record record = record_of(TE_REPLY, 9);
    assert_non_null(channel_reserve(both->engine, 8, &error));
    expect_assert_failure(channel_commit(both->engine, &record));
    expect_assert_failure(channel_pop(both->engine));
}

#define CHANNEL_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CHANNEL_TEST(test_records_reach_the_engine),
        CHANNEL_TEST(test_records_reach_the_application),
        CHANNEL_TEST(test_send_refuses_what_the_engine_would),
        CHANNEL_TEST(test_full_ring_is_a_value_in_both_directions),
        CHANNEL_TEST(test_long_message_in_pieces_across_a_full_ring),
        CHANNEL_TEST(test_peek_again_reads_nothing_again),
        CHANNEL_TEST(test_engine_wakes_application_once),
        CHANNEL_TEST(test_application_wakes_engine),
        CHANNEL_TEST(test_blocked_engine_may_sleep_on_a_peeked_record),
        CHANNEL_TEST(test_application_waits_for_room),
        CHANNEL_TEST(test_engine_waits_for_room),
        CHANNEL_TEST(test_receive_stops_where_payload_is_full),
        CHANNEL_TEST(test_engine_is_told_when_the_application_dies),
        CHANNEL_TEST(test_flush_to_a_dead_application_says_closed),
        CHANNEL_TEST(test_application_is_told_when_the_engine_dies),
        CHANNEL_TEST(test_full_doorbell_never_blocks_the_engine),
        CHANNEL_TEST(test_flooded_doorbell_drains_a_bounded_part),
        CHANNEL_TEST(test_corrupt_header_quarantines_and_stays_so),
        CHANNEL_TEST(test_hostile_positions),
        CHANNEL_TEST(test_geometry_in_shared_memory_is_not_believed),
        CHANNEL_TEST(test_application_refuses_a_broken_engine),
        CHANNEL_TEST(test_seals),
        CHANNEL_TEST(test_pages_removed_before_the_seal_are_found),
        CHANNEL_TEST(test_seal_kept_off_by_the_application_is_found),
        CHANNEL_TEST(test_second_open_is_refused),
        CHANNEL_TEST(test_open_refuses_other_memory),
        CHANNEL_TEST(test_create_refuses_sizes),
        CHANNEL_TEST(test_commit_of_what_was_not_reserved_is_our_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
