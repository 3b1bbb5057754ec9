/* A pair, whose two ends are applications: transfer, room, sleep, death, and either end hostile. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>

#include "channel_fixture.h"

enum end_name { ASKS, ACCEPTS, ENDS };

enum { TOTAL_BYTES = CHANNEL_HEADER_BYTES + 2 * RING_BYTES };

struct pair {
    struct te_channel *ends[ENDS];
    uint8_t *shared; /* a hostile end's own view of everything */
    int memory_fd;
    char why[TE_WHY_BYTES];
};

static uint8_t payload[4 * PIECE];
static struct te_record heads[HEADS];

static int open_pair(void **state) {
    static struct pair pair;
    int doorbells[ENDS] = {-1, -1};
    pair = (struct pair){.memory_fd = -1};
    assert_int_equal(te_pair_make(RING_BYTES, &pair.memory_fd, doorbells, pair.why), TE_OK);
    pair.shared =
        mmap(NULL, TOTAL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, pair.memory_fd, 0);
    assert_true(pair.shared != MAP_FAILED);
    for (int end = 0; end < ENDS; end++) {
        const int copy = fcntl(pair.memory_fd, F_DUPFD_CLOEXEC, 0);
        assert_int_equal(te_pair_open(copy, doorbells[end], end, &pair.ends[end], pair.why), TE_OK);
        assert_int_equal(fcntl(copy, F_GETFD), -1);
    }
    *state = &pair;
    return 0;
}

static int close_pair(void **state) {
    struct pair *pair = *state;
    for (int end = 0; end < ENDS; end++) {
        te_channel_close(pair->ends[end]);
    }
    munmap(pair->shared, TOTAL_BYTES);
    close(pair->memory_fd);
    return 0;
}

static struct channel_header *header(struct pair *pair) {
    return (struct channel_header *)(void *)pair->shared;
}

static int receive(struct pair *pair, int end) {
    return te_channel_receive(pair->ends[end], heads, HEADS, payload, sizeof payload);
}

/* The ring that an end writes, and where in it that end is. */
static uint8_t *ring_from(struct pair *pair, int end) {
    return pair->shared + CHANNEL_HEADER_BYTES + (end == ACCEPTS ? RING_BYTES : 0);
}

static _Atomic uint64_t *tail_of(struct pair *pair, int end) {
    return end == ASKS ? &header(pair)->tx_tail : &header(pair)->rx_tail;
}

static _Atomic uint64_t *head_of(struct pair *pair, int end) {
    return end == ASKS ? &header(pair)->rx_head : &header(pair)->tx_head;
}

static void test_records_pass_both_ways(void **state) {
    struct pair *pair = *state;
    for (unsigned round = 0; round < 1000; round++) {
        const uint32_t size_bytes = (round * 7919U) % 5000U;
        for (int end = 0; end < ENDS; end++) {
            assert_int_equal(send_sized(pair->ends[end], size_bytes, (uint8_t)round),
                             stride(size_bytes));
        }
        for (int end = 0; end < ENDS; end++) {
            assert_int_equal(receive(pair, end), 1);
            assert_int_equal(heads[0].size_bytes, size_bytes);
            for (uint32_t i = 0; i < size_bytes; i++) {
                assert_int_equal(payload[i], (uint8_t)round);
            }
            assert_int_equal(receive(pair, end), 0);
        }
    }
}

static void test_only_kinds_between_applications_pass(void **state) {
    struct pair *pair = *state;
    static const uint8_t kinds[] = {0,  TE_APP_KIND_LAST + 1, TE_FLOW_OPENED, TE_FLOW_ACCEPTED,
                                    TE_FLOW_CLOSED, TE_FLOW_CLOSE, 255};
    for (size_t i = 0; i < sizeof kinds; i++) {
        const uint32_t ends_bytes = kinds[i] == TE_FLOW_OPENED || kinds[i] == TE_FLOW_ACCEPTED
                                        ? (uint32_t)sizeof(struct te_flow_ends)
                                        : 0;
        const struct te_record record = record_of(kinds[i], ends_bytes);
        uint8_t packed[sizeof record + sizeof(struct te_flow_ends)] = {0};
        memcpy(packed, &record, sizeof record);
        for (int end = 0; end < ENDS; end++) {
            assert_int_equal(te_channel_send(pair->ends[end], packed, stride(ends_bytes)),
                             TE_E_INVALID);
        }
    }
    for (int end = 0; end < ENDS; end++) { /* and what a hostile end wrote all the same */
        const struct te_record record = record_of(TE_FLOW_CLOSED, 0);
        memcpy(ring_from(pair, end), &record, sizeof record);
        atomic_store(tail_of(pair, end), sizeof record);
        assert_int_equal(receive(pair, 1 - end), TE_E_CORRUPT);
    }
}

static void test_full_ring_is_a_value_and_room_wakes(void **state) {
    struct pair *pair = *state;
    for (int end = 0; end < ENDS; end++) {
        struct te_channel *sender = pair->ends[end];
        while (send_sized(sender, PIECE, 1) > 0) {
        }
        assert_int_equal(send_sized(sender, PIECE, 1), 0);
        assert_int_equal(te_channel_arm(sender, TE_WAKE_WRITABLE), 0);
        assert_int_equal(receive(pair, 1 - end), 1);
        te_channel_ring(pair->ends[1 - end]);
        assert_true(readable(te_channel_fd(sender)));
        assert_int_equal(te_channel_awake(sender), TE_OK);
        assert_true(send_sized(sender, PIECE, 1) > 0);
    }
}

static void test_each_end_wakes_the_other_once(void **state) {
    struct pair *pair = *state;
    for (int end = 0; end < ENDS; end++) {
        struct te_channel *sleeper = pair->ends[1 - end];
        uint8_t wakes[8];
        assert_int_equal(te_channel_arm(sleeper, TE_WAKE_READABLE), 0);
        for (int i = 0; i < 3; i++) {
            send_sized(pair->ends[end], 8, 0);
            assert_int_equal(te_channel_ring(pair->ends[end]), i == 0);
        }
        assert_int_equal(read(te_channel_fd(sleeper), wakes, sizeof wakes), 1);
        assert_int_equal(te_channel_awake(sleeper), TE_OK);
        assert_int_equal(receive(pair, 1 - end), 3);
    }
}

static void test_an_end_that_sleeps_no_more_is_not_woken(void **state) {
    struct pair *pair = *state;
    for (int end = 0; end < ENDS; end++) {
        struct te_channel *sleeper = pair->ends[1 - end];
        assert_int_equal(te_channel_arm(sleeper, TE_WAKE_READABLE), 0);
        assert_int_equal(te_channel_arm(sleeper, 0), 0);
        send_sized(pair->ends[end], 8, 0);
        assert_int_equal(te_channel_ring(pair->ends[end]), 0);
        assert_false(readable(te_channel_fd(sleeper)));
        assert_int_equal(te_channel_arm(sleeper, TE_WAKE_READABLE), TE_WAKE_READABLE);
        assert_int_equal(receive(pair, 1 - end), 1);
    }
}

static void test_what_was_sent_before_death_arrives(void **state) {
    struct pair *pair = *state;
    for (int i = 0; i < 10; i++) {
        send_sized(pair->ends[ASKS], 1000, (uint8_t)i);
    }
    te_channel_close(pair->ends[ASKS]);
    pair->ends[ASKS] = NULL;
    assert_true(readable(te_channel_fd(pair->ends[ACCEPTS])));
    assert_int_equal(te_channel_awake(pair->ends[ACCEPTS]), TE_E_CLOSED);
    assert_int_equal(receive(pair, ACCEPTS), 10);
    assert_int_equal(payload[9000], 9);
    assert_int_equal(receive(pair, ACCEPTS), 0);
    assert_true(send_sized(pair->ends[ACCEPTS], 8, 0) > 0); /* into memory that nobody reads */
    te_channel_ring(pair->ends[ACCEPTS]);
    assert_int_equal(te_channel_awake(pair->ends[ACCEPTS]), TE_E_CLOSED);
}

static void test_positions_of_no_honest_end(void **state) {
    static const uint64_t tails[] = {4, RING_BYTES + 8, UINT64_C(1) << 63, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        struct pair *pair = *state;
        for (int end = 0; end < ENDS; end++) {
            atomic_store(tail_of(pair, end), tails[i]);
            assert_int_equal(receive(pair, 1 - end), TE_E_CORRUPT);
            atomic_store(tail_of(pair, end), 0); /* too late: it stays cut off */
            assert_int_equal(receive(pair, 1 - end), TE_E_CORRUPT);
            assert_int_equal(send_sized(pair->ends[1 - end], 8, 0), TE_E_CORRUPT);
        }
        close_pair(state);
        open_pair(state);
        pair = *state;
        for (int end = 0; end < ENDS; end++) {
            atomic_store(head_of(pair, end), tails[i]);
            while (send_sized(pair->ends[1 - end], PIECE, 1) > 0) {
            }
            assert_int_equal(send_sized(pair->ends[1 - end], PIECE, 1), TE_E_CORRUPT);
            assert_int_not_equal(te_channel_arm(pair->ends[1 - end], TE_WAKE_WRITABLE), 0);
            atomic_store(head_of(pair, end), 0);
            assert_int_equal(send_sized(pair->ends[1 - end], PIECE, 1), TE_E_CORRUPT);
        }
        close_pair(state);
        open_pair(state);
    }
}

/* Each byte of a header with other values: a record that keeps the rules, or TE_E_CORRUPT. */
static void test_headers_with_one_byte_changed(void **state) {
    static const uint8_t values[] = {0, 1, 2, 7, 8, 32, 48, 64, 128, 255};
    struct pair *pair = *state;
    const struct te_record honest = record_of(TE_REQUEST, 64);
    int corrupt = 0;
    for (size_t at = 0; at < sizeof honest; at++) {
        for (size_t i = 0; i < sizeof values; i++) {
            memcpy(ring_from(pair, ASKS), &honest, sizeof honest);
            ring_from(pair, ASKS)[at] = values[i];
            atomic_store(tail_of(pair, ASKS), sizeof honest + 64);
            const int count = receive(pair, ACCEPTS);
            assert_true(count == TE_E_CORRUPT || count == 1);
            corrupt += count == TE_E_CORRUPT;
            assert_true(count < 0 || heads[0].size_bytes <= 64);
            close_pair(state);
            open_pair(state);
        }
    }
    assert_true(corrupt > 100); /* of 15 bytes that bind; 33 are free */
}

static void scribble(struct pair *pair, uint64_t *random) {
    for (size_t at = 0; at < TOTAL_BYTES; at += 8) {
        *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        memcpy(pair->shared + at, random, 8);
        at += at == 1024 ? CHANNEL_HEADER_BYTES - 1024 : 0; /* one page of the header is used */
    }
}

static void test_noise_over_everything(void **state) {
    uint64_t random = 1;
    for (int round = 0; round < 50; round++) {
        struct pair *pair = *state;
        send_sized(pair->ends[ASKS], 1000, 1);
        send_sized(pair->ends[ACCEPTS], 1000, 1);
        scribble(pair, &random);
        for (int end = 0; end < ENDS; end++) {
            assert_true(receive(pair, end) <= 0);
            te_channel_ring(pair->ends[end]);
            (void)te_channel_arm(pair->ends[end], TE_WAKE_READABLE | TE_WAKE_WRITABLE);
            (void)te_channel_awake(pair->ends[end]);
            assert_true(send_sized(pair->ends[end], PIECE, 1) <= (int64_t)stride(PIECE));
        }
        close_pair(state);
        open_pair(state);
    }
}

static void test_geometry_changed_by_the_end_that_mapped_first(void **state) {
    struct pair *pair = *state;
    struct te_channel *late = NULL;
    static const uint64_t lies[] = {0, TE_RING_BYTES_MIN * 2, UINT64_MAX};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        header(pair)->ring_bytes = lies[i];
        const int copy = fcntl(pair->memory_fd, F_DUPFD_CLOEXEC, 0);
        assert_int_equal(te_pair_open(copy, dup(1), ACCEPTS, &late, pair->why), TE_E_CORRUPT);
        assert_non_null(strstr(pair->why, "does not agree"));
    }
    assert_true(send_sized(pair->ends[ASKS], 100, 1) > 0); /* who has mapped reads it no more */
    assert_int_equal(receive(pair, ACCEPTS), 1);
}

static void test_the_maker_s_seals(void **state) {
    struct pair *pair = *state;
    const int fd = pair->memory_fd;
    struct te_channel *late = NULL;
    assert_int_equal(ftruncate(fd, 4096), -1);
    assert_int_equal(ftruncate(fd, 2 * TOTAL_BYTES), -1);
    assert_int_equal(te_pair_seal(fd, pair->why), TE_OK);
    assert_int_equal(fcntl(fd, F_GET_SEALS),
                     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(madvise(pair->shared, 4096, MADV_REMOVE), -1);
    assert_int_equal(te_pair_open(fcntl(fd, F_DUPFD_CLOEXEC, 0), dup(1), ASKS, &late, pair->why),
                     TE_E_SYSTEM);
    assert_non_null(strstr(pair->why, "mapped once already"));
}

static void test_pages_removed_before_the_seal(void **state) {
    struct pair *pair = *state;
    assert_int_equal(fallocate(pair->memory_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               CHANNEL_HEADER_BYTES + RING_BYTES, 4096),
                     0);
    assert_int_equal(te_pair_seal(pair->memory_fd, pair->why), TE_E_CORRUPT);
    assert_non_null(strstr(pair->why, "removed pages"));
}

static void test_seal_kept_off(void **state) {
    struct pair *pair = *state;
    assert_int_equal(fcntl(pair->memory_fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    assert_int_equal(te_pair_seal(pair->memory_fd, pair->why), TE_E_CORRUPT);
}

static void test_flooded_and_full_doorbells(void **state) {
    struct pair *pair = *state;
    static uint8_t flood[4096];
    while (send(te_channel_fd(pair->ends[ASKS]), flood, sizeof flood, MSG_DONTWAIT) > 0) {
    }
    assert_int_equal(te_channel_awake(pair->ends[ACCEPTS]), TE_OK);
    assert_true(readable(te_channel_fd(pair->ends[ACCEPTS])));
    for (int i = 0; i < 1000; i++) { /* the other never empties its own */
        atomic_store(&header(pair)->engine_armed, TE_WAKE_READABLE);
        send_sized(pair->ends[ASKS], 0, 0);
        te_channel_ring(pair->ends[ASKS]);
    }
    assert_int_equal(te_channel_awake(pair->ends[ASKS]), TE_OK);
}

static void test_make_refuses_other_sizes(void **state) {
    (void)state;
    static const uint64_t sizes[] = {0, TE_RING_BYTES_MIN / 2, TE_RING_BYTES_MIN + 8,
                                     UINT64_C(2) * TE_RING_BYTES_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int memory_fd = -1;
        int doorbells[ENDS] = {-1, -1};
        char why[TE_WHY_BYTES];
        assert_int_equal(te_pair_make(sizes[i], &memory_fd, doorbells, why), TE_E_INVALID);
        assert_non_null(strstr(why, "power of two"));
        assert_int_equal(memory_fd, -1);
    }
}

#define PAIR_TEST(test) cmocka_unit_test_setup_teardown(test, open_pair, close_pair)

int main(void) {
    const struct CMUnitTest tests[] = {
        PAIR_TEST(test_records_pass_both_ways),
        PAIR_TEST(test_only_kinds_between_applications_pass),
        PAIR_TEST(test_full_ring_is_a_value_and_room_wakes),
        PAIR_TEST(test_each_end_wakes_the_other_once),
        PAIR_TEST(test_an_end_that_sleeps_no_more_is_not_woken),
        PAIR_TEST(test_what_was_sent_before_death_arrives),
        PAIR_TEST(test_positions_of_no_honest_end),
        PAIR_TEST(test_headers_with_one_byte_changed),
        PAIR_TEST(test_noise_over_everything),
        PAIR_TEST(test_geometry_changed_by_the_end_that_mapped_first),
        PAIR_TEST(test_the_maker_s_seals),
        PAIR_TEST(test_pages_removed_before_the_seal),
        PAIR_TEST(test_seal_kept_off),
        PAIR_TEST(test_flooded_and_full_doorbells),
        cmocka_unit_test(test_make_refuses_other_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
