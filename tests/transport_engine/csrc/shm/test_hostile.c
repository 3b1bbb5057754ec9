/* A channel whose other end is hostile, or broken: positions, headers, pages, seals, doorbell. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>

#include "channel_fixture.h"

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

/* Two records, of which the first is peeked at and the second's flow read ahead. */
static uint8_t *read_ahead(struct both *both, uint32_t size_bytes) {
    struct te_record record;
    const uint8_t *payload;
    uint32_t flow = UINT32_MAX;
    send_sized(both->application, 16, 1);
    assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
    assert_false(channel_ahead(both->engine, &flow));
    channel_pop(both->engine);
    send_sized(both->application, 16, 1);
    send_sized(both->application, size_bytes, 2);
    assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
    uint8_t *second = both->shared + CHANNEL_HEADER_BYTES + 2 * stride(16);
    struct te_record named = {0};
    memcpy(&named, second, sizeof named);
    named.flow = 77;
    memcpy(second, &named, sizeof named);
    assert_true(channel_ahead(both->engine, &flow));
    assert_int_equal(flow, 77);
    return second;
}

static void test_what_was_read_ahead_is_not_read_again(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    uint32_t flow = 0;
    uint8_t *second = read_ahead(both, 24);
    memset(second, 0xFF, sizeof record); /* the tenant scribbles */
    assert_true(channel_ahead(both->engine, &flow));
    assert_int_equal(flow, 77);
    channel_pop(both->engine);
    assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
    assert_int_equal(record.size_bytes, 24);
    assert_int_equal(record.flow, 77);
    assert_int_equal(payload[23], 2);
    channel_pop(both->engine);
    assert_int_equal(channel_peek(both->engine, &record, &payload), 0);
}

static void test_what_was_read_ahead_is_checked_when_its_turn_comes(void **state) {
    struct both *both = *state;
    struct te_record record;
    const uint8_t *payload;
    uint32_t flow = 0;
    send_sized(both->application, 16, 1);
    send_sized(both->application, 24, 2);
    record = record_of(TE_REQUEST, PIECE); /* reaches beyond what was published */
    memcpy(both->shared + CHANNEL_HEADER_BYTES + stride(16), &record, sizeof record);
    assert_int_equal(channel_peek(both->engine, &record, &payload), 1);
    assert_true(channel_ahead(both->engine, &flow));
    channel_pop(both->engine);
    assert_int_equal(channel_peek(both->engine, &record, &payload), TE_E_CORRUPT);
    assert_int_equal(channel_violation(both->engine), TE_V_RECORD);
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
    assert_int_equal(channel_awake(both->engine), TE_OK);
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

/* Nobody rings for them; an engine that slept on them would not find out. */
static void test_no_engine_sleeps_on_hostile_positions(void **state) {
    struct both *both = *state;
    assert_int_equal(channel_arm(both->engine), 0);
    atomic_store(&header_of(both)->tx_tail, RING_BYTES + 8);
    assert_int_not_equal(channel_arm(both->engine), 0);
    atomic_store(&header_of(both)->tx_tail, 0);
    while (engine_send(both->engine, 1000, 1)) {
    }
    assert_int_equal(channel_arm(both->engine), 0); /* for room */
    atomic_store(&header_of(both)->rx_head, (uint64_t)2 * RING_BYTES);
    assert_int_not_equal(channel_arm(both->engine), 0);
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
        const int doorbell_fd = dup(1);
        assert_int_equal(te_channel_open(fd, doorbell_fd, &channel, both->why), TE_E_CORRUPT);
        assert_non_null(strstr(both->why, cases[i].sentence));
        assert_int_equal(fcntl(fd, F_GETFD), -1); /* it took over both */
        assert_int_equal(fcntl(doorbell_fd, F_GETFD), -1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CHANNEL_TEST(test_peek_again_reads_nothing_again),
        CHANNEL_TEST(test_what_was_read_ahead_is_not_read_again),
        CHANNEL_TEST(test_what_was_read_ahead_is_checked_when_its_turn_comes),
        CHANNEL_TEST(test_full_doorbell_never_blocks_the_engine),
        CHANNEL_TEST(test_flooded_doorbell_drains_a_bounded_part),
        CHANNEL_TEST(test_corrupt_header_quarantines_and_stays_so),
        CHANNEL_TEST(test_hostile_positions),
        CHANNEL_TEST(test_no_engine_sleeps_on_hostile_positions),
        CHANNEL_TEST(test_geometry_in_shared_memory_is_not_believed),
        CHANNEL_TEST(test_application_refuses_a_broken_engine),
        CHANNEL_TEST(test_seals),
        CHANNEL_TEST(test_pages_removed_before_the_seal_are_found),
        CHANNEL_TEST(test_seal_kept_off_by_the_application_is_found),
        CHANNEL_TEST(test_second_open_is_refused),
        CHANNEL_TEST(test_open_refuses_other_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
