/* The table of flows: slots, ids that cannot be guessed, and who asked for a flow. */
#include "test.h"

#include "flow/flow_table.h"

enum { CAPACITY = 8, KEY = 0x5EED, PEERS = 1024, CHAIN_MAX = 32 };

static struct flow_table table;
static void *memory;
static struct flow flows[CAPACITY];

static int set_up(void **state) {
    (void)state;
    memory = calloc(1, flow_table_bytes(CAPACITY));
    assert_non_null(memory);
    flow_table_init(&table, memory, CAPACITY, KEY);
    memset(flows, 0, sizeof flows);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    free(memory);
    return 0;
}

/* Enters a flow; `remote_id` 0: one that we opened ourselves. */
static uint32_t put(uint64_t random, uint64_t remote_id, uint16_t port) {
    uint32_t slot = flow_table_reserve(&table);
    assert_int_not_equal(slot, NO_ITEM);
    flows[slot] = (struct flow){.local_id = flow_table_id(&table, slot, random),
                                .remote_id = remote_id, .remote = {{1}, port, 0},
                                .is_server = remote_id != 0};
    flow_table_put(&table, slot, &flows[slot]);
    return slot;
}

static void ids_find_their_flow_only(void **state) {
    (void)state;
    for (uint64_t i = 0; i < CAPACITY; i++) {
        put(0xABCD0000 + i * 77777, 0, 1);
    }
    assert_int_equal(flow_table_reserve(&table), NO_ITEM);
    for (uint32_t slot = 0; slot < CAPACITY; slot++) {
        assert_ptr_equal(flow_table_find(&table, flows[slot].local_id), &flows[slot]);
        assert_null(flow_table_find(&table, flows[slot].local_id ^ CAPACITY)); /* another life */
    }
    flow_table_remove(&table, 3);
    assert_null(flow_table_find(&table, flows[3].local_id));
    assert_int_equal(flow_table_reserve(&table), 3);
}

/* Ids are looked up as they came in, before anything of a packet is checked. */
static void any_id_may_be_peeked_at(void **state) {
    (void)state;
    const uint32_t slot = put(7, 0, 1);
    const uint64_t ids[] = {flows[slot].local_id, flows[slot].local_id + 1, 0, UINT64_MAX};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        const struct flow *found = flow_table_peek(&table, ids[i]);
        flow_table_fetch(&table, ids[i]);
        assert_true(found == NULL || found == &flows[slot]);
    }
    assert_ptr_equal(flow_table_peek(&table, flows[slot].local_id), &flows[slot]);
    assert_ptr_equal(flow_table_find(&table, flows[slot].local_id), &flows[slot]);
}

static void no_id_is_zero(void **state) {
    (void)state;
    assert_int_equal(flow_table_id(&table, 0, 7), UINT64_C(1) << 32);
    assert_int_equal(flow_table_id(&table, 0, 8), 8);
    assert_int_equal(flow_table_id(&table, 5, UINT64_MAX), UINT64_MAX - 2);
}

/* Peers choose their ids, and may choose the same. */
static void peers_are_told_apart(void **state) {
    (void)state;
    const struct te_endpoint known = {{1}, 10, 0};
    struct te_endpoint other = known;
    uint32_t a = put(1, 16, 10);
    uint32_t b = put(2, 16, 11);
    uint32_t c = put(3, 16 + CAPACITY, 10); /* the same low bits */
    put(4, 0, 10);
    assert_ptr_equal(flow_table_find_peer(&table, 16, &known), &flows[a]);
    assert_ptr_equal(flow_table_find_peer(&table, 16 + CAPACITY, &known), &flows[c]);
    other.port = 11;
    assert_ptr_equal(flow_table_find_peer(&table, 16, &other), &flows[b]);
    other.port = 10;
    other.address[15] = 9;
    assert_null(flow_table_find_peer(&table, 16, &other));
    assert_null(flow_table_find_peer(&table, 17, &known));
    flow_table_remove(&table, a); /* the last of its chain */
    assert_null(flow_table_find_peer(&table, 16, &known));
    assert_ptr_equal(flow_table_find_peer(&table, 16 + CAPACITY, &known), &flows[c]);
    flow_table_remove(&table, c);
    flow_table_remove(&table, b);
    other = (struct te_endpoint){{1}, 11, 0};
    assert_null(flow_table_find_peer(&table, 16, &other));
}

static uint32_t longest_chain(const struct flow_table *of) {
    uint32_t longest = 0;
    for (uint32_t bucket = 0; bucket < of->capacity; bucket++) {
        uint32_t length = 0;
        for (uint32_t slot = of->buckets[bucket]; slot != NO_ITEM;
             slot = of->next_in_bucket[slot]) {
            length++;
        }
        longest = length > longest ? length : longest;
    }
    return longest;
}

/* Each has one flow, so that the low bits of their ids are the same; or they differ in some others
 * only, as those of somebody who would have a long chain. */
static void ids_of_many_peers_do_not_share_a_bucket(void **state) {
    (void)state;
    const int shifts[] = {10, 20, 32, 40, 54};
    static struct flow crowd[PEERS];
    void *room = calloc(1, flow_table_bytes(PEERS));
    assert_non_null(room);
    for (size_t i = 0; i < sizeof shifts / sizeof shifts[0]; i++) {
        struct flow_table all;
        flow_table_init(&all, room, PEERS, UINT64_C(0x1234567890ABCDEF) * (i + 1));
        for (uint64_t peer = 0; peer < PEERS; peer++) {
            uint32_t slot = flow_table_reserve(&all);
            crowd[slot] = (struct flow){.remote_id = (peer << shifts[i]) | 1, .is_server = true};
            flow_table_put(&all, slot, &crowd[slot]);
        }
        assert_in_range(longest_chain(&all), 1, CHAIN_MAX);
    }
    free(room);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ids_find_their_flow_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_id_may_be_peeked_at, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_id_is_zero, set_up, tear_down),
        cmocka_unit_test_setup_teardown(peers_are_told_apart, set_up, tear_down),
        cmocka_unit_test(ids_of_many_peers_do_not_share_a_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
