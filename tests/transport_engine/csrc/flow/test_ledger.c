/* The ledger: what is acknowledged, what is lost, and how reordering makes it patient. */
#include "test.h"

#include "flow/ledger.h"

enum { BLOCKS = 64, TRIP_NS = 100000 };

static struct store store;
static void *memory;
static struct ledger ledger;
static struct rtt rtt;
static uint64_t now_ns;

/* Numbers begin where a random first number may be at most. */
static const uint64_t first = (UINT64_C(1) << 62) - 1;

static int set_up(void **state) {
    (void)state;
    memory = aligned_alloc(BLOCK_BYTES, store_bytes(BLOCKS));
    assert_non_null(memory);
    memset(memory, 0, store_bytes(BLOCKS));
    store_init(&store, memory, BLOCKS);
    ledger_init(&ledger, first);
    rtt_init(&rtt);
    rtt_update(&rtt, &(struct rtt_sample){TRIP_NS, 0, false}, 0);
    now_ns = 1000000000;
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    ledger_fini(&ledger, &store);
    assert_int_equal(ledger.count, 0);
    assert_int_equal(ledger.bytes_in_flight, 0);
    assert_int_equal(store.sent.free_count, 2 * BLOCKS);
    free(memory);
    return 0;
}

static void send(int count) {
    for (; count > 0; count--) {
        uint32_t index = pool_take(&store.sent);
        struct sent_packet *packet = pool_at(&store.sent, index);
        *packet = (struct sent_packet){.number = ledger.next_number++, .sent_ns = now_ns,
                                       .size_bytes = 100};
        ledger_add(&ledger, &store, index);
    }
}

/* Frees a chain; returns which numbers stood in it, as bits above `first`. */
static uint64_t take(uint32_t index) {
    uint64_t numbers = 0;
    while (index != NO_ITEM) {
        const struct sent_packet *packet = pool_at(&store.sent, index);
        uint32_t next = packet->next;
        numbers |= UINT64_C(1) << (packet->number - first);
        pool_give(&store.sent, index);
        index = next;
    }
    return numbers;
}

static struct ack_frame ack_of(uint64_t low, uint64_t high) {
    return (struct ack_frame){.count = 1, .ranges = {{first + low, first + high}}};
}

static uint64_t acknowledge(const struct ack_frame *ack) {
    bool is_violation = true;
    uint64_t numbers = take(ledger_acked(&ledger, &store, ack, &is_violation));
    assert_false(is_violation);
    return numbers;
}

static uint64_t lose(void) {
    return take(ledger_lost(&ledger, &store, &rtt, now_ns));
}

static void ranges_are_taken_out(void **state) {
    (void)state;
    send(10);
    struct ack_frame ack = {.count = 3, .ranges = {{first + 8, first + 9}, {first + 4, first + 5},
                                                   {first, first + 1}}};
    assert_int_equal(acknowledge(&ack), 0x333);
    assert_int_equal(ledger.count, 4);
    assert_int_equal(ledger.bytes_in_flight, 400);
    assert_int_equal(acknowledge(&ack), 0);
    struct ack_frame older = ack_of(2, 2);
    assert_int_equal(acknowledge(&older), 4);
    assert_int_equal(ledger.largest_acked, first + 9);
}

static void numbers_never_sent_are_a_violation(void **state) {
    (void)state;
    bool is_violation = false;
    send(3);
    struct ack_frame ack = ack_of(0, 3);
    assert_int_equal(ledger_acked(&ledger, &store, &ack, &is_violation), NO_ITEM);
    assert_true(is_violation);
    assert_int_equal(ledger.count, 3);
}

static void nothing_is_lost_before_anything_arrived(void **state) {
    (void)state;
    send(5);
    now_ns += 100 * TRIP_NS;
    assert_int_equal(lose(), 0);
    assert_int_equal(ledger.loss_ns, UINT64_MAX);
}

static void three_packets_later_is_lost(void **state) {
    (void)state;
    send(5);
    struct ack_frame ack = ack_of(4, 4);
    acknowledge(&ack);
    assert_int_equal(lose(), 3); /* 0 and 1; 2 and 3 may still be late */
    assert_int_equal(ledger.loss_ns, now_ns + TRIP_NS + TRIP_NS / 8);
    now_ns = ledger.loss_ns - 1;
    assert_int_equal(lose(), 0);
    now_ns++;
    assert_int_equal(lose(), 12);
    assert_int_equal(ledger.loss_ns, UINT64_MAX);
    assert_int_equal(ledger.newest, NO_ITEM);
}

/* Each packet is lost in its own time, and the first of these times is waited for. */
static void the_oldest_is_waited_for(void **state) {
    (void)state;
    const uint64_t begun_ns = now_ns;
    send(1);
    now_ns += TRIP_NS / 2;
    send(2);
    struct ack_frame ack = ack_of(2, 2);
    acknowledge(&ack);
    assert_int_equal(lose(), 0);
    assert_int_equal(ledger.loss_ns, begun_ns + TRIP_NS + TRIP_NS / 8);
    now_ns = ledger.loss_ns;
    assert_int_equal(lose(), 1);
    assert_int_equal(ledger.loss_ns, begun_ns + TRIP_NS / 2 + TRIP_NS + TRIP_NS / 8);
}

/* On a path that has just become longer, packets are as late as the one that told of it. */
static void a_longer_round_trip_counts_at_once(void **state) {
    (void)state;
    rtt_update(&rtt, &(struct rtt_sample){2 * TRIP_NS, 0, false}, 0);
    send(2);
    struct ack_frame ack = ack_of(1, 1);
    acknowledge(&ack);
    assert_int_equal(lose(), 0);
    assert_int_equal(ledger.loss_ns, now_ns + 2 * TRIP_NS + 2 * TRIP_NS / 8);
}

/* Packets declared lost that arrive widen the time that later ones are given, until losses have
 * been real for long. */
static void reordering_is_learnt_and_forgotten(void **state) {
    (void)state;
    send(5);
    struct ack_frame newest = ack_of(4, 4);
    acknowledge(&newest);
    assert_int_equal(lose(), 3);
    struct ack_frame late = ack_of(0, 0);
    assert_int_equal(ledger_spurious(&ledger, &late, &rtt, now_ns), 1);
    assert_int_equal(ledger_spurious(&ledger, &late, &rtt, now_ns), 0);
    assert_int_equal(ledger.reorder_ns, TRIP_NS / 4);
    now_ns += TRIP_NS + TRIP_NS / 2;
    late = ack_of(1, 1);
    assert_int_equal(ledger_spurious(&ledger, &late, &rtt, now_ns), 1);
    assert_int_equal(ledger.reorder_ns, TRIP_NS / 2); /* as late as it was */
    assert_int_equal(lose(), 12);
    late = ack_of(2, 2);
    assert_int_equal(ledger_spurious(&ledger, &late, &rtt, now_ns + 10 * TRIP_NS), 1);
    assert_int_equal(ledger.reorder_ns, TRIP_NS); /* no more than a round trip */
    for (int i = 0; i < REORDER_MEMORY_LOSSES; i++) {
        assert_int_equal(ledger.reorder_ns, TRIP_NS);
        send(5);
        uint64_t last = ledger.next_number - 1 - first;
        struct ack_frame ack = ack_of(last - 3, last);
        acknowledge(&ack);
        assert_int_equal(lose(), 0); /* packets are not counted now */
        now_ns += 2 * TRIP_NS;
        assert_int_equal(lose(), UINT64_C(1) << (last - 4));
        if (last > 55) { /* bits end: begin anew, with what was learnt */
            ledger.next_number = first + 5;
            ledger.largest_acked = first + 4;
        }
    }
    assert_int_equal(ledger.reorder_ns, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ranges_are_taken_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_never_sent_are_a_violation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_lost_before_anything_arrived, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(three_packets_later_is_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_oldest_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_longer_round_trip_counts_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reordering_is_learnt_and_forgotten, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
