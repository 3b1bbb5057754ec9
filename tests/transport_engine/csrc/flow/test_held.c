/* Messages that are whole before it is their lane's turn: in which order they come out, and how
 * many a peer may have there. */
#include "test.h"

#include "base/prng.h"
#include "flow/reassembly.h"

enum { BLOCKS = 3 * MESSAGE_WINDOW, SEGMENT = 1024, LONGEST = 2 * SEGMENT };

static struct store store;
static void *memory;
static struct reassembly in;
static uint64_t next_id;

static int set_up(void **state) {
    (void)state;
    memory = calloc(1, store_bytes(BLOCKS));
    store_init(&store, memory, BLOCKS);
    reassembly_init(&in, SEGMENT, LONGEST, BLOCKS);
    next_id = 0;
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

static enum reassembly_verdict receive(uint8_t lane, uint16_t sequence) {
    static const uint8_t byte;
    struct message_frame frame = {.id = next_id++, .total_bytes = 1, .size_bytes = 1,
                                  .lane = lane, .lane_sequence = sequence, .bytes = &byte};
    return reassembly_receive(&in, &store, &frame);
}

static void expect(uint8_t lane, uint16_t sequence) {
    const struct incoming *message = reassembly_ready(&in, &store);
    assert_non_null(message);
    assert_int_equal(message->lane, lane);
    assert_int_equal(message->lane_sequence, sequence);
    reassembly_release(&in, &store);
}

/* Two lanes, each in an order of its own, over the end of their sequences. */
static void any_order_comes_out_in_order(void **state) {
    (void)state;
    enum { COUNT = 60, ROUNDS = 300 };
    struct prng prng;
    uint16_t first = (uint16_t)-ROUNDS;
    prng_init(&prng, 1);
    in.lane_next[2] = in.lane_next[LANES - 1] = first;
    for (int round = 0; round < ROUNDS; round++, first = (uint16_t)(first + COUNT)) {
        uint16_t order[2 * COUNT];
        for (uint16_t i = 0; i < 2 * COUNT; i++) {
            uint32_t to = prng_below(&prng, i + 1u);
            order[i] = order[to];
            order[to] = i;
        }
        in.units_limit += 2 * COUNT;
        for (int i = 0; i < 2 * COUNT; i++) {
            uint8_t lane = order[i] % 2 == 0 ? 2 : LANES - 1;
            assert_int_equal(receive(lane, (uint16_t)(first + order[i] / 2)), REASSEMBLY_STORED);
        }
        assert_int_equal(in.held.count, 0);
        uint16_t next[LANES] = {[2] = first, [LANES - 1] = first};
        for (int i = 0; i < 2 * COUNT; i++) {
            uint8_t lane = reassembly_ready(&in, &store)->lane;
            expect(lane, next[lane]++);
        }
    }
}

/* Fewer than the window of ids lie between a message that has not come and the newest, so a peer
 * that has more than that waiting has left one out. Each costs a look when another comes. */
static void no_more_is_held_than_ids_may_lie_ahead(void **state) {
    (void)state;
    for (uint16_t ahead = 1; ahead < MESSAGE_WINDOW; ahead++) {
        assert_int_equal(receive(1, ahead), REASSEMBLY_STORED);
    }
    assert_int_equal(receive(1, MESSAGE_WINDOW), REASSEMBLY_VIOLATION);
    assert_int_equal(in.held.count, MESSAGE_WINDOW - 1);
    assert_int_equal(receive(1, 0), REASSEMBLY_STORED);
    for (uint16_t sequence = 0; sequence < MESSAGE_WINDOW; sequence++) {
        expect(1, sequence);
    }
    assert_null(reassembly_ready(&in, &store));
}

/* Nobody could ever be given the second. */
static void a_place_in_a_lane_is_taken_once(void **state) {
    (void)state;
    assert_int_equal(receive(1, 0), REASSEMBLY_STORED);
    assert_int_equal(receive(1, 0), REASSEMBLY_VIOLATION);
    for (uint16_t sequence = 4; sequence >= 2; sequence--) {
        assert_int_equal(receive(1, sequence), REASSEMBLY_STORED);
    }
    for (uint16_t sequence = 2; sequence <= 4; sequence++) {
        assert_int_equal(receive(1, sequence), REASSEMBLY_VIOLATION);
    }
    assert_int_equal(in.held.count, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_order_comes_out_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_more_is_held_than_ids_may_lie_ahead, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_place_in_a_lane_is_taken_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
