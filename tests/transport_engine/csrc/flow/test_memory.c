/* A flow whose peer is short of memory: what it sends, and what still counts. */
#include "flow/pair.h"

/* Takes all blocks but `left`; returns a list of them. */
static uint32_t take_hostages(struct pool *blocks, uint32_t left) {
    uint32_t hostage = NO_ITEM;
    while (blocks->free_count > left) {
        uint32_t block = pool_take(blocks);
        memcpy((uint8_t *)pool_at(blocks, block) + 8, &hostage, sizeof hostage);
        hostage = block;
    }
    return hostage;
}

static void release_hostages(struct pool *blocks, uint32_t hostage) {
    while (hostage != NO_ITEM) {
        uint32_t block = hostage;
        memcpy(&hostage, (uint8_t *)pool_at(blocks, block) + 8, sizeof hostage);
        pool_give(blocks, block);
    }
}

/* The peer takes nothing but the oldest message, which is neither the newest nor the shortest, and
 * none of its packets has arrived. */
static void a_peer_short_of_memory_is_sent_the_oldest_message(void **state) {
    enum { LATER = 60, LATER_BYTES = 1000, OLDEST_BYTES = 300, PROBES_MAX = 4 };
    (void)state;
    struct pair *pair = pair_open(1);
    pair_establish(pair);
    assert_true(pair_send(pair, CLIENT, 0, OLDEST_BYTES, 0));
    pair->drop_mask = ~UINT64_C(0);
    pair_transmit(pair, CLIENT);
    for (uint32_t i = 1; i <= LATER; i++) {
        assert_true(pair_send(pair, CLIENT, i, LATER_BYTES, 0));
    }
    uint32_t hostages = take_hostages(&pair->store.blocks, 10);
    pair_transmit(pair, CLIENT);
    pair->drop_mask = 0;
    uint64_t probes = pair->counters.probes;
    while (pair->flows[CLIENT].out.whole.base == 0) {
        assert_true(pair_step(pair));
        assert_true(pair->counters.probes - probes <= PROBES_MAX);
    }
    assert_int_equal(pair_take(pair, SERVER), 0);
    assert_true(pair->counters.packets_no_memory > 0);
    release_hostages(&pair->store.blocks, hostages);
    for (uint32_t taken = 0; taken < LATER;) {
        assert_true(pair_step(pair));
        while (pair_take(pair, SERVER) != UINT32_MAX) {
            taken++;
        }
    }
    pair_close(pair);
}

/* What else a refused packet brings is needed, perhaps for memory to come back. */
static void credit_behind_a_refused_message_counts(void **state) {
    (void)state;
    uint8_t body[100];
    struct pair *pair = pair_open(1);
    pair_establish(pair);
    struct flow *server = &pair->flows[SERVER];
    struct message_frame message = {.total_bytes = 10, .size_bytes = 10};
    uint32_t hostages = take_hostages(&pair->store.blocks, 0);
    uint64_t more = server->out.units_limit + 1;
    size_t size = frame_write_message(body, &message);
    memset(body + size, 1, message.size_bytes);
    size += message.size_bytes;
    size += frame_write_credit(body + size, more);
    struct packet packet = {.number = pair->flows[CLIENT].ledger.next_number, .body = body,
                            .body_bytes = (uint32_t)size, .type = PACKET_DATA};
    flow_receive(server, &pair->store, &packet, pair->now_ns);
    assert_int_equal(server->out.units_limit, more);
    assert_false(sack_has(&server->sack, packet.number));
    release_hostages(&pair->store.blocks, hostages);
    pair_close(pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_short_of_memory_is_sent_the_oldest_message),
        cmocka_unit_test(credit_behind_a_refused_message_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
