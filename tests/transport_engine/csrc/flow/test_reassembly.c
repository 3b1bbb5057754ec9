/* Reassembly: what a peer may not do, and lanes. Data itself is covered by test_flow. */
#include "test.h"

#include "flow/reassembly.h"

enum { BLOCKS = 64, SEGMENT = 1024, CREDIT = 16, LONGEST = 100 * SEGMENT };

static struct store store;
static void *memory;
static struct reassembly in;
static uint8_t bytes[SEGMENT];

static int set_up(void **state) {
    (void)state;
    memory = aligned_alloc(BLOCK_BYTES, store_bytes(BLOCKS));
    memset(memory, 0, store_bytes(BLOCKS));
    store_init(&store, memory, BLOCKS);
    reassembly_init(&in, SEGMENT, LONGEST, CREDIT);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    reassembly_fini(&in, &store);
    assert_int_equal(store.blocks.free_count, BLOCKS);
    assert_int_equal(store.incoming.free_count, BLOCKS);
    free(memory);
    return 0;
}

static enum reassembly_verdict receive(uint64_t id, uint32_t offset, uint16_t size,
                                       uint32_t total) {
    struct message_frame frame = {.id = id, .offset_bytes = offset, .total_bytes = total,
                                  .size_bytes = size, .bytes = bytes};
    return reassembly_receive(&in, &store, &frame);
}

static enum reassembly_verdict receive_on_lane(uint64_t id, uint8_t lane, uint16_t sequence) {
    struct message_frame frame = {.id = id, .total_bytes = 10, .size_bytes = 10, .lane = lane,
                                  .lane_sequence = sequence, .bytes = bytes};
    return reassembly_receive(&in, &store, &frame);
}

static void duplicates_are_told_apart(void **state) {
    (void)state;
    assert_int_equal(receive(0, 0, 10, 10), REASSEMBLY_STORED);
    assert_int_equal(receive(0, 0, 10, 10), REASSEMBLY_DUPLICATE);
    assert_int_equal(receive(1, SEGMENT, 10, SEGMENT + 10), REASSEMBLY_STORED);
    assert_int_equal(receive(1, SEGMENT, 10, SEGMENT + 10), REASSEMBLY_DUPLICATE);
    assert_int_equal(receive(1, 0, SEGMENT, SEGMENT + 10), REASSEMBLY_STORED);
    assert_int_equal(receive(1, 0, SEGMENT, SEGMENT + 10), REASSEMBLY_DUPLICATE);
    assert_int_equal(reassembly_ready(&in, &store)->id, 0);
    reassembly_release(&in, &store);
    assert_int_equal(reassembly_ready(&in, &store)->id, 1);
    reassembly_release(&in, &store);
    assert_null(reassembly_ready(&in, &store));
    assert_int_equal(receive(1, 0, SEGMENT, SEGMENT + 10), REASSEMBLY_DUPLICATE);
}

static void violations_are_refused(void **state) {
    (void)state;
    assert_int_equal(receive(0, 0, SEGMENT, 2 * SEGMENT), REASSEMBLY_STORED);
    assert_int_equal(receive(0, SEGMENT, SEGMENT, 3 * SEGMENT), REASSEMBLY_VIOLATION); /* total */
    assert_int_equal(receive(0, 1, SEGMENT - 1, SEGMENT), REASSEMBLY_VIOLATION);   /* alignment */
    assert_int_equal(receive(0, 0, 500, 2 * SEGMENT), REASSEMBLY_VIOLATION);       /* short piece */
    assert_int_equal(receive(0, 0, 10, 10), REASSEMBLY_VIOLATION); /* two messages of one id */
    assert_int_equal(receive(MESSAGE_WINDOW, 0, 10, 10), REASSEMBLY_VIOLATION); /* far ahead */
    assert_int_equal(receive(5, 0, SEGMENT, LONGEST + 1), REASSEMBLY_VIOLATION); /* too long */
    assert_int_equal(receive(5, 0, SEGMENT + 1, SEGMENT + 1), REASSEMBLY_VIOLATION);
    assert_int_equal(receive(5, SEGMENT, SEGMENT + 1, 2 * SEGMENT + 1), REASSEMBLY_VIOLATION);
    struct message_frame frame = {.offset_bytes = SEGMENT, .total_bytes = 2 * SEGMENT, .lane = 1,
                                  .size_bytes = SEGMENT, .bytes = bytes};
    assert_int_equal(reassembly_receive(&in, &store, &frame), REASSEMBLY_VIOLATION); /* lane */
    frame.lane = 0;
    frame.lane_sequence = 1;
    assert_int_equal(reassembly_receive(&in, &store, &frame), REASSEMBLY_VIOLATION);
    frame.lane_sequence = 0;
    assert_int_equal(reassembly_receive(&in, &store, &frame), REASSEMBLY_STORED);
}

static void credit_is_enforced(void **state) {
    (void)state;
    for (uint64_t id = 0; id < CREDIT; id++) {
        assert_int_equal(receive(id, 0, 10, 10), REASSEMBLY_STORED);
    }
    assert_int_equal(receive(CREDIT, 0, 10, 10), REASSEMBLY_VIOLATION);
    in.units_limit++;
    assert_int_equal(receive(CREDIT, 0, 10, 10), REASSEMBLY_STORED);
}

static void lanes_keep_their_order(void **state) {
    (void)state;
    assert_int_equal(receive_on_lane(0, 1, 2), REASSEMBLY_STORED);
    assert_int_equal(receive_on_lane(1, 1, 1), REASSEMBLY_STORED);
    assert_int_equal(receive_on_lane(2, 2, 0), REASSEMBLY_STORED);
    assert_int_equal(reassembly_ready(&in, &store)->id, 2); /* another lane does not wait */
    reassembly_release(&in, &store);
    assert_null(reassembly_ready(&in, &store));
    assert_int_equal(receive_on_lane(3, 1, 0), REASSEMBLY_STORED);
    for (uint64_t id = 3; id > 0; id -= id == 3 ? 2 : 1) {
        assert_int_equal(reassembly_ready(&in, &store)->id, id == 3 ? 3 : 1);
        reassembly_release(&in, &store);
    }
    assert_int_equal(reassembly_ready(&in, &store)->id, 0);
}

static void lane_sequence_wraps(void **state) {
    (void)state;
    in.lane_next[1] = UINT16_MAX;
    assert_int_equal(receive_on_lane(0, 1, 0), REASSEMBLY_STORED);
    assert_null(reassembly_ready(&in, &store));
    assert_int_equal(receive_on_lane(1, 1, UINT16_MAX), REASSEMBLY_STORED);
    assert_int_equal(reassembly_ready(&in, &store)->id, 1);
    reassembly_release(&in, &store);
    assert_int_equal(reassembly_ready(&in, &store)->id, 0);
}

static void memory_runs_out_without_harm(void **state) {
    (void)state;
    uint32_t taken[BLOCKS];
    int count = 0;
    while (store.blocks.free_count > 0) {
        taken[count++] = pool_take(&store.blocks);
    }
    assert_int_equal(receive(0, 0, 10, 10), REASSEMBLY_NO_MEMORY);
    assert_int_equal(receive(1, 0, SEGMENT, 2 * SEGMENT), REASSEMBLY_NO_MEMORY);
    while (count > 0) {
        pool_give(&store.blocks, taken[--count]);
    }
    assert_int_equal(receive(0, 0, 10, 10), REASSEMBLY_STORED);
    assert_int_equal(receive(1, 0, SEGMENT, 2 * SEGMENT), REASSEMBLY_STORED);
}

/* Whatever the block of the map held before, also what a peer chose, names no partial message. */
static void what_the_map_held_before_names_nothing(void **state) {
    (void)state;
    reassembly_init(&in, SEGMENT, 2 * SEGMENT, 2 * CREDIT);
    for (uint32_t left = 0; left <= 3; left++) { /* beyond 1 nothing was ever taken */
        uint32_t *words = (uint32_t *)(void *)store.blocks.memory;
        for (size_t i = 0; i < (size_t)BLOCKS * BLOCK_BYTES / sizeof *words; i++) {
            words[i] = left;
        }
        store.blocks.free_head = NO_ITEM; /* the links of the free are gone with it */
        store.blocks.fresh = 0;
        uint64_t id = 2 * (uint64_t)left;
        assert_int_equal(receive(id, 0, SEGMENT, 2 * SEGMENT), REASSEMBLY_STORED);
        assert_int_equal(receive(id + 1, SEGMENT, SEGMENT, 2 * SEGMENT), REASSEMBLY_STORED);
        assert_int_equal(in.partial_count, 2);
        assert_int_equal(receive(id + 1, 0, SEGMENT, 2 * SEGMENT), REASSEMBLY_STORED);
        assert_int_equal(receive(id, SEGMENT, SEGMENT, 2 * SEGMENT), REASSEMBLY_STORED);
        assert_int_equal(in.partial_count, 0);
        for (uint64_t next = id + 2; next-- > id;) {
            assert_int_equal(reassembly_ready(&in, &store)->id, next);
            reassembly_release(&in, &store);
        }
    }
    assert_int_equal(receive(8, 0, SEGMENT, 2 * SEGMENT), REASSEMBLY_STORED); /* for tear_down */
}

/* Leaves `count` blocks free; the others come back with give_back. */
static uint32_t hostages[BLOCKS];
static int hostage_count;

static void leave(struct pool *pool, uint32_t count) {
    hostage_count = 0;
    while (pool->free_count > count) {
        hostages[hostage_count++] = pool_take(pool);
    }
}

static void give_back(struct pool *pool) {
    while (hostage_count > 0) {
        pool_give(pool, hostages[--hostage_count]);
    }
}

/* 25 blocks of bytes, one that lists them; one of sets, one that maps partial messages. */
enum { LONGEST_BLOCKS = 28 };

/* What is refused leaves nothing behind; what is begun has memory for all of it. */
static void a_message_begins_with_memory_for_all_of_it(void **state) {
    (void)state;
    in.units_limit = 100;
    leave(&store.blocks, LONGEST_BLOCKS - 1);
    assert_int_equal(receive(0, 0, SEGMENT, LONGEST), REASSEMBLY_NO_MEMORY);
    assert_int_equal(store.blocks.free_count, LONGEST_BLOCKS - 1);
    assert_int_equal(in.units_started, 0);
    give_back(&store.blocks);
    leave(&store.blocks, LONGEST_BLOCKS);
    store.blocks.floor = 1;
    assert_int_equal(receive(0, 0, SEGMENT, LONGEST), REASSEMBLY_NO_MEMORY);
    store.blocks.floor = 0;
    assert_int_equal(receive(0, 0, SEGMENT, LONGEST), REASSEMBLY_STORED);
    assert_int_equal(pool_take(&store.blocks), NO_ITEM); /* it is nobody else's */
    for (uint32_t offset = SEGMENT; offset < LONGEST; offset += SEGMENT) {
        assert_int_equal(receive(0, offset, SEGMENT, LONGEST), REASSEMBLY_STORED);
    }
    assert_int_equal(in.units_started, 25);
    assert_non_null(reassembly_ready(&in, &store));
    give_back(&store.blocks);
    leave(&store.incoming, 0);
    assert_int_equal(receive(1, 0, 10, 10), REASSEMBLY_NO_MEMORY);
    assert_int_equal(receive(1, 0, SEGMENT, LONGEST), REASSEMBLY_NO_MEMORY);
    give_back(&store.incoming);
    assert_int_equal(receive(1, 0, 10, 10), REASSEMBLY_STORED);
}

/* Later messages of a lane, whole or not, leave room for the one that they wait for. */
static void the_oldest_message_always_finds_room(void **state) {
    (void)state;
    in.units_limit = 100;
    uint64_t id = 1;
    for (; receive_on_lane(id, 1, (uint16_t)id) == REASSEMBLY_STORED; id++) {
    }
    assert_int_equal(receive(id, 0, SEGMENT, 2 * SEGMENT), REASSEMBLY_NO_MEMORY);
    assert_true(id > 1 && id < 100);
    assert_true(store.blocks.free_count >= LONGEST_BLOCKS);
    assert_null(reassembly_ready(&in, &store));
    struct message_frame oldest = {.total_bytes = LONGEST, .size_bytes = SEGMENT, .lane = 1,
                                   .bytes = bytes};
    for (; oldest.offset_bytes < LONGEST; oldest.offset_bytes += SEGMENT) {
        assert_int_equal(reassembly_receive(&in, &store, &oldest), REASSEMBLY_STORED);
    }
    for (uint64_t next = 0; next < id; next++) {
        assert_int_equal(reassembly_ready(&in, &store)->id, next);
        reassembly_release(&in, &store);
    }
    assert_int_equal(receive_on_lane(id, 1, (uint16_t)id), REASSEMBLY_STORED);
}

static enum reassembly_verdict lend(uint64_t id, uint8_t lane, uint16_t sequence) {
    struct message_frame frame = {.id = id, .total_bytes = 10, .size_bytes = 10, .lane = lane,
                                  .lane_sequence = sequence, .bytes = bytes, .is_lent = true};
    return reassembly_receive(&in, &store, &frame);
}

static uint8_t byte_of_ready(void) {
    uint8_t found[10];
    incoming_read(reassembly_ready(&in, &store), &store, 0, found, sizeof found);
    return found[9];
}

/* Taken at once it is read from where it arrived, later from a copy. A place that was given back
 * may be another message's by then. */
static void lent_bytes_are_read_where_they_are_or_kept(void **state) {
    (void)state;
    memset(bytes, 1, sizeof bytes);
    assert_int_equal(lend(0, 0, 0), REASSEMBLY_STORED);
    assert_int_equal(lend(1, 0, 0), REASSEMBLY_STORED);
    assert_int_equal(lend(2, 1, 1), REASSEMBLY_STORED); /* not yet its turn */
    bytes[9] = 2;
    assert_int_equal(byte_of_ready(), 2);
    reassembly_release(&in, &store);
    assert_int_equal(receive(3, 0, 10, SEGMENT + 10), REASSEMBLY_VIOLATION);
    assert_int_equal(receive(3, SEGMENT, 10, SEGMENT + 10), REASSEMBLY_STORED);
    reassembly_keep(&store);
    memset(bytes, 3, sizeof bytes);
    assert_int_equal(byte_of_ready(), 2);
    reassembly_release(&in, &store);
    assert_int_equal(receive_on_lane(4, 1, 0), REASSEMBLY_STORED);
    assert_int_equal(byte_of_ready(), 3);
    reassembly_release(&in, &store);
    assert_int_equal(byte_of_ready(), 2); /* the held one */
    reassembly_release(&in, &store);
}

static uint8_t arrived[LENT_MAX + 6][SEGMENT];

static void fill_arrived(uint8_t seed) {
    for (size_t i = 0; i < sizeof arrived; i++) {
        ((uint8_t *)arrived)[i] = (uint8_t)(seed + i / SEGMENT + i * 7);
    }
}

static void lend_segment(uint64_t id, uint32_t segment, uint32_t total) {
    uint32_t left = total - segment * SEGMENT;
    struct message_frame frame = {.id = id, .offset_bytes = segment * SEGMENT,
                                  .size_bytes = (uint16_t)(left < SEGMENT ? left : SEGMENT),
                                  .total_bytes = total, .bytes = arrived[segment],
                                  .is_lent = true};
    assert_int_equal(reassembly_receive(&in, &store, &frame), REASSEMBLY_STORED);
}

/* Reads the ready message in pieces of `step`, and compares each byte with what is expected. */
static void assert_ready(const uint8_t *expected, uint32_t total, uint32_t step) {
    static uint8_t read[LONGEST];
    const struct incoming *message = reassembly_ready(&in, &store);
    assert_non_null(message);
    assert_int_equal(message->body.total_bytes, total);
    for (uint32_t offset = 0; offset < total; offset += step) {
        uint32_t size = total - offset < step ? total - offset : step;
        incoming_read(message, &store, offset, read + offset, size);
    }
    assert_memory_equal(read, expected, total);
}

static void no_more_is_lent_than_can_be_kept(void **state) {
    (void)state;
    const uint32_t total = (LENT_MAX + 5) * SEGMENT + 9;
    static uint8_t expected[sizeof arrived];
    reassembly_init(&in, SEGMENT, LONGEST, 2 * CREDIT);
    fill_arrived(1);
    memcpy(expected, arrived, sizeof expected);
    for (uint32_t segment = 0; segment * SEGMENT < total; segment++) {
        lend_segment(0, segment, total);
    }
    fill_arrived(2); /* of which the first are still read there, and the others are not */
    memcpy(expected, arrived, (size_t)LENT_MAX * SEGMENT);
    assert_ready(expected, total, 1000);
    reassembly_keep(&store);
    fill_arrived(3);
    assert_ready(expected, total, total);
    reassembly_release(&in, &store);
}

/* Some of its pieces were lent earlier and kept, some are lent now, in any order, and others are
 * of another message. */
static void pieces_are_read_wherever_they_are(void **state) {
    (void)state;
    const uint32_t total = 11 * SEGMENT + 9;
    const uint32_t orders[][12] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
                                   {11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0},
                                   {4, 0, 9, 2, 11, 6, 1, 10, 3, 8, 7, 5}};
    uint64_t id = 0;
    reassembly_init(&in, SEGMENT, LONGEST, 10000);
    for (size_t order = 0; order < sizeof orders / sizeof *orders; order++) {
        for (uint32_t kept = 0; kept <= 12; kept++) {
            fill_arrived((uint8_t)(10 * order + kept));
            for (uint32_t i = 0; i < 12; i++) {
                if (i == kept) {
                    reassembly_keep(&store);
                }
                lend_segment(id, orders[order][i], total);
                if (i < 11) {
                    lend_segment(id + 1, i, total);
                }
            }
            for (uint32_t step = 1; step <= 3 * SEGMENT; step = step * 5 + 1) {
                assert_ready((const uint8_t *)arrived, total, step);
            }
            reassembly_release(&in, &store);
            assert_null(reassembly_ready(&in, &store));
            reassembly_keep(&store); /* of the one that is gone nothing, of the other the rest */
            lend_segment(id + 1, 11, total);
            assert_ready((const uint8_t *)arrived, total, total);
            reassembly_release(&in, &store);
            id += 2;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lent_bytes_are_read_where_they_are_or_kept, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(no_more_is_lent_than_can_be_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pieces_are_read_wherever_they_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(duplicates_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(violations_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(credit_is_enforced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lanes_keep_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lane_sequence_wraps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_map_held_before_names_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_runs_out_without_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_begins_with_memory_for_all_of_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_oldest_message_always_finds_room, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
