/* What waits of one peer, over all its flows, leaves as much memory as it holds; and none of it is
 * counted twice, or for longer than it waits. */
#include "test.h"

#include "base/prng.h"
#include "flow/begun.h"

enum {
    SEGMENT = 1024,
    LONGEST = 100 * SEGMENT,
    LONGEST_BLOCKS = 28, /* 25 of bytes, one that lists them; one of sets, one that maps partials */
    MESSAGES = 8, /* of which the memory has room */
    BLOCKS = MESSAGES * LONGEST_BLOCKS,
    CREDIT = 1 << 20,
    FLOWS = 12,
    PEERS = 3,
    TURNS = 200000
};

static struct store store;
static void *memory;
static struct reassembly flows[PEERS][FLOWS];
static struct begun peers[PEERS];
static uint8_t bytes[SEGMENT];

static int set_up(void **state) {
    (void)state;
    memory = aligned_alloc(BLOCK_BYTES, store_bytes(BLOCKS));
    memset(memory, 0, store_bytes(BLOCKS));
    store_init(&store, memory, BLOCKS);
    for (int peer = 0; peer < PEERS; peer++) {
        peers[peer] = (struct begun){0};
        for (int flow = 0; flow < FLOWS; flow++) {
            reassembly_init(&flows[peer][flow], SEGMENT, LONGEST, CREDIT);
        }
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    for (int peer = 0; peer < PEERS; peer++) {
        for (int flow = 0; flow < FLOWS; flow++) {
            reassembly_fini(&flows[peer][flow], &store);
        }
        assert_int_equal(peers[peer].blocks, 0);
        assert_null(peers[peer].beyond);
    }
    assert_int_equal(store.blocks.free_count, BLOCKS);
    assert_int_equal(store.incoming.free_count, BLOCKS);
    free(memory);
    return 0;
}

static enum reassembly_verdict receive(int peer, int flow, struct message_frame frame) {
    frame.bytes = bytes;
    frame.begun = &peers[peer];
    return reassembly_receive(&flows[peer][flow], &store, &frame);
}

static bool begin(int peer, int flow, uint64_t id, uint32_t total_bytes) {
    return receive(peer, flow, (struct message_frame){.id = id, .total_bytes = total_bytes,
                                                      .size_bytes = SEGMENT}) ==
           REASSEMBLY_STORED;
}

static void finish(int peer, int flow, uint64_t id) {
    struct message_frame frame = {.id = id, .total_bytes = LONGEST, .size_bytes = SEGMENT};
    for (frame.offset_bytes = SEGMENT; frame.offset_bytes < LONGEST;
         frame.offset_bytes += SEGMENT) {
        assert_int_equal(receive(peer, flow, frame), REASSEMBLY_STORED);
    }
}

static void deliver(int peer, int flow, uint64_t id) {
    assert_int_equal(reassembly_ready(&flows[peer][flow], &store)->id, id);
    reassembly_release(&flows[peer][flow], &store);
}

/* Begins the longest on each flow of a peer and goes on with none. Returns how many began. */
static int begin_all(int peer) {
    int count = 0;
    for (int flow = 0; flow < FLOWS; flow++) {
        count += begin(peer, flow, 0, LONGEST);
    }
    return count;
}

static void one_peer_does_not_hold_what_others_want(void **state) {
    (void)state;
    assert_int_equal(begin_all(0), MESSAGES / 2 + 1); /* one beyond what fits */
    assert_true(peers[0].blocks == (MESSAGES / 2 + 1) * LONGEST_BLOCKS);
    for (uint64_t id = 0; id < 100; id++) {
        assert_true(begin(1, 0, id, LONGEST));
        assert_false(begin(0, FLOWS - 1, 0, LONGEST));
        assert_false(begin(0, FLOWS - 1, 0, 2 * SEGMENT));
        finish(1, 0, id);
        deliver(1, 0, id);
    }
    assert_true(begin(1, 0, 100, LONGEST)); /* and a third one, meanwhile */
    assert_true(begin(2, 0, 0, LONGEST));
}

/* They are many, and whole, and none may be delivered. */
static void what_waits_for_its_turn_counts(void **state) {
    (void)state;
    for (int flow = 0; flow < FLOWS; flow++) {
        struct message_frame frame = {.total_bytes = 10, .size_bytes = 10, .lane = 1};
        for (frame.id = frame.lane_sequence = 1; frame.id < MESSAGE_WINDOW; frame.id++) {
            receive(0, flow, frame);
            frame.lane_sequence++;
        }
        assert_null(reassembly_ready(&flows[0][flow], &store));
    }
    assert_true(store.blocks.free_count >= BLOCKS / 2);
    assert_true(begin(1, 0, 0, LONGEST));
}

/* The lowest id of all, which is not its lane's turn, is not the oldest of an honest peer. */
static void who_leaves_turns_out_gets_no_more(void **state) {
    (void)state;
    for (int flow = 0; flow < FLOWS; flow++) {
        struct message_frame frame = {.total_bytes = 10, .size_bytes = 10, .lane = 1};
        while (frame.id < MESSAGE_WINDOW - 1) {
            frame.lane_sequence = (uint16_t)(frame.id + 1);
            if (receive(0, flow, frame) != REASSEMBLY_STORED) {
                break;
            }
            frame.id++;
        }
        struct message_frame longer = {.id = frame.id, .total_bytes = LONGEST, .lane = 1,
                                       .lane_sequence = frame.lane_sequence,
                                       .size_bytes = SEGMENT};
        assert_int_equal(receive(0, flow, longer), REASSEMBLY_NO_MEMORY);
    }
    assert_true(store.blocks.free_count >= BLOCKS / 2);
    assert_null(peers[0].beyond);
}

/* What waits in a lane can go on, whatever others hold: with the oldest, also of several flows. */
static void the_oldest_go_beyond_one_at_a_time(void **state) {
    (void)state;
    const struct message_frame late = {.id = 1, .total_bytes = 10, .size_bytes = 10, .lane = 1,
                                       .lane_sequence = 1};
    struct message_frame oldest = {.total_bytes = LONGEST, .size_bytes = SEGMENT, .lane = 1};
    for (int flow = 0; flow < 2; flow++) {
        assert_int_equal(receive(0, flow, late), REASSEMBLY_STORED);
    }
    uint32_t taken = store.blocks.free_count - LONGEST_BLOCKS - 5;
    assert_true(pool_reserve(&store.blocks, taken));
    assert_int_equal(receive(0, 0, oldest), REASSEMBLY_STORED);
    assert_non_null(peers[0].beyond);
    pool_unreserve(&store.blocks, LONGEST_BLOCKS);
    assert_int_equal(receive(0, 1, oldest), REASSEMBLY_NO_MEMORY);
    for (; oldest.offset_bytes < LONGEST; oldest.offset_bytes += SEGMENT) {
        receive(0, 0, oldest);
    }
    assert_null(peers[0].beyond);
    deliver(0, 0, 0);
    deliver(0, 0, 1);
    oldest.offset_bytes = 0;
    assert_int_equal(receive(0, 1, oldest), REASSEMBLY_STORED);
    pool_unreserve(&store.blocks, taken - LONGEST_BLOCKS);
}

/* Those that came later do not keep the oldest of their flow from going on. */
static void later_ones_do_not_hold_up_the_oldest(void **state) {
    (void)state;
    assert_true(begin(0, 0, 1, LONGEST));
    uint32_t taken = store.blocks.free_count - LONGEST_BLOCKS;
    assert_true(pool_reserve(&store.blocks, taken));
    assert_true(begin(0, 0, 0, LONGEST));
    pool_unreserve(&store.blocks, taken);
}

static void what_is_whole_and_in_turn_is_taken(void **state) {
    (void)state;
    const struct message_frame whole = {.total_bytes = 10, .size_bytes = 10, .lane = 1};
    begin_all(0);
    for (int flow = 0; flow < FLOWS; flow++) {
        if (flows[0][flow].partial_count == 0) {
            assert_int_equal(receive(0, flow, whole), REASSEMBLY_STORED);
        }
    }
}

/* ---- against a sum over all that waits ---- */

static uint32_t blocks_waiting(int peer) {
    uint32_t count = 0;
    for (int flow = 0; flow < FLOWS; flow++) {
        const struct reassembly *in = &flows[peer][flow];
        for (uint32_t i = 0; i < MESSAGE_WINDOW && in->partial_count > 0; i++) {
            const struct incoming *message = reassembly_partial(in, &store, i);
            count += message == NULL ? 0 : begun_blocks(message->body.total_bytes);
        }
        for (uint32_t newest = in->held.newest; newest != NO_ITEM;) {
            uint32_t index = newest;
            do {
                const struct incoming *message = pool_at(&store.incoming, index);
                count += begun_blocks(message->body.total_bytes);
                index = message->next;
            } while (index != newest);
            newest = ((const struct incoming *)pool_at(&store.incoming, newest))->other;
        }
    }
    return count;
}

/* Some piece of one of the messages that may come next. Of every second flow those of a lane wait
 * for one that never comes. */
static struct message_frame any_frame(struct prng *prng, int flow, const struct reassembly *in) {
    struct message_frame frame = {.id = in->whole.base + prng_below(prng, 4),
                                  .size_bytes = SEGMENT};
    const uint32_t segments = 1 + (uint32_t)(frame.id * 7 % 9);
    frame.lane = (uint8_t)(frame.id % 3);
    frame.lane_sequence = (uint16_t)(frame.id / 3 + (flow % 2 == 1 && frame.lane == 1));
    frame.total_bytes = segments * SEGMENT;
    frame.offset_bytes = prng_below(prng, segments) * SEGMENT;
    return frame;
}

static void nothing_is_counted_that_does_not_wait(void **state) {
    (void)state;
    struct prng prng;
    int verdicts[REASSEMBLY_VIOLATION + 1] = {0};
    prng_init(&prng, 5);
    for (int turn = 0; turn < TURNS; turn++) {
        int peer = (int)prng_below(&prng, PEERS);
        int flow = (int)prng_below(&prng, FLOWS);
        struct reassembly *in = &flows[peer][flow];
        verdicts[receive(peer, flow, any_frame(&prng, flow, in))]++;
        if (prng_below(&prng, 4) == 0 && reassembly_ready(in, &store) != NULL) {
            reassembly_release(in, &store);
        }
        if (prng_below(&prng, 500) == 0) { /* the flow ends, and another begins */
            reassembly_fini(in, &store);
            reassembly_init(in, SEGMENT, LONGEST, CREDIT);
        }
        if (turn % 16 == 0) {
            assert_int_equal(peers[peer].blocks, blocks_waiting(peer));
        }
    }
    assert_int_equal(verdicts[REASSEMBLY_VIOLATION], 0);
    assert_true(verdicts[REASSEMBLY_STORED] > TURNS / 20);
    assert_true(verdicts[REASSEMBLY_NO_MEMORY] > TURNS / 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_peer_does_not_hold_what_others_want, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_waits_for_its_turn_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_leaves_turns_out_gets_no_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_oldest_go_beyond_one_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(later_ones_do_not_hold_up_the_oldest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_whole_and_in_turn_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_counted_that_does_not_wait, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
