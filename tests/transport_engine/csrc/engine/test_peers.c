/* Flows of one remote address: it gets so many and no more, and others get theirs. */
#include "hosts.h"

#include "engine/peers.h"

enum {
    LINK_BYTES_PER_US = 1000,
    STEPS = 20000,
    FLOWS = 8,
    ADDRESSES = 40,
    TURNS = 20000,
    LONG_BYTES = 8 << 20,
    ROUNDS = 2,
    HOLDERS = 5 /* of a long message each: what they can send with, and more than can be received */
};

static struct app client, sink;

static void open_listener(void) {
    open_hosts(LINK_BYTES_PER_US);
    set_share(1, (struct te_share){.weight = 1});
    open_app(&client, &near, 1);
    open_app(&sink, &far, 0);
    struct te_command request = {.op = TE_LISTEN, .channel = sink.index,
                                 .endpoint = {.port = PORT_FIRST}};
    assert_int_equal(command(&far, request).error, TE_OK);
}

static void close_listener(void) {
    te_channel_close(client.channel);
    te_channel_close(sink.channel);
    close_hosts();
}

static void ask_for_flows(uint32_t count) {
    struct te_command request = {.op = TE_CONNECT, .channel = client.index, .token = 1,
                                 .endpoint = near.netif->local};
    request.endpoint.port = PORT_FIRST;
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(command(&near, request).error, TE_OK);
    }
    for (int i = 0; i < STEPS; i++) {
        step();
        drain(&client);
        drain(&sink);
    }
}

static void one_peer_does_not_take_the_whole_table(void **state) {
    (void)state;
    open_listener();
    far.peers.flows_max = FLOWS;
    ask_for_flows(FLOWS + 3);
    assert_int_equal(client.flow_count, FLOWS);
    assert_int_equal(client.refused, 3);
    assert_int_equal(far.stats.peer_refusals, 3);
    assert_int_equal(far.stats.flows_open, FLOWS);
    fill(&client); /* those that it has work */
    for (int i = 0; i < STEPS; i++) {
        step();
        drain(&sink);
    }
    assert_int_equal(sink.messages_received, client.messages_sent);

    const uint8_t other[16] = {[15] = 9};
    struct peer *peer = peers_add(&far, other, true);
    assert_non_null(peer);
    peers_remove(&far, peer, true);

    struct te_command leave = {.op = TE_DETACH, .channel = client.index};
    assert_int_equal(command(&near, leave).error, TE_OK);
    for (int i = 0; i < STEPS && far.stats.flows_open > 0; i++) {
        step();
        drain(&sink);
    }
    assert_int_equal(far.stats.flows_open, 0);
    te_channel_close(client.channel);
    open_app(&client, &near, 1);
    connect_flows(&client, PORT_FIRST, FLOWS); /* it may again */
    close_listener();
}

/* Flows that go on from elsewhere, or say so, leave no place for more. */
static void a_peer_that_moves_gets_no_more(void **state) {
    (void)state;
    open_listener();
    far.peers.flows_max = FLOWS;
    ask_for_flows(FLOWS);
    wire.is_forged = true;
    fill(&client);
    for (int i = 0; i < STEPS; i++) { /* until all is said */
        step();
        drain(&sink);
    }
    wire.is_forged = false;
    assert_int_equal(far.flow_counters.rebinds, FLOWS);
    ask_for_flows(1);
    assert_int_equal(client.refused, 1);
    assert_int_equal(far.stats.flows_open, FLOWS);
    close_listener();
}

static void an_eighth_is_kept_for_others(void **state) {
    (void)state;
    open_listener();
    assert_int_equal(far.peers.flows_max, 2048 - 2048 / 8);
    close_listener();
}

/* Sends pieces of a long message on the app's first flow, as far as there is room. Returns how many
 * of its bytes have gone. */
static uint32_t go_on(struct app *app, uint32_t sent_bytes, uint32_t until_bytes) {
    static uint8_t packed[sizeof(struct te_record) + TE_RECORD_PAYLOAD_MAX];
    struct te_record record = {.kind = TE_REQUEST, .flow = app->flows[0],
                               .size_bytes = TE_RECORD_PAYLOAD_MAX, .total_bytes = LONG_BYTES};
    while (sent_bytes < until_bytes) {
        record.offset_bytes = sent_bytes;
        record.flags = sent_bytes == 0 ? TE_FIRST : 0;
        if (sent_bytes + record.size_bytes == LONG_BYTES) {
            record.flags |= TE_LAST;
        }
        memcpy(packed, &record, sizeof record);
        if (te_channel_send(app->channel, packed, sizeof packed) == 0) {
            break;
        }
        sent_bytes += record.size_bytes;
    }
    return sent_bytes;
}

static struct app holders[HOLDERS]; /* each with a flow of its own, all of one peer */

/* What is to be received has room for four long messages, and may fill it. */
static void open_holders(void) {
    open_listener();
    struct te_command bound = {.op = TE_SHARE, .share = 1,
                               .terms = {.weight = 1, .memory_bytes = 33 << 20}};
    assert_int_equal(command(&far, bound).error, TE_OK);
    far.tenants[sink.index].share = 1;
    for (int i = 0; i < HOLDERS; i++) {
        open_app(&holders[i], &near, 1);
        connect_flows(&holders[i], PORT_FIRST, 1);
    }
}

static void close_holder(int i) {
    struct te_command leave = {.op = TE_DETACH, .channel = holders[i].index};
    assert_int_equal(command(&near, leave).error, TE_OK);
    te_channel_close(holders[i].channel);
}

/* It begins long messages on several flows, and finishes none. */
static void one_peer_does_not_hold_all_memory(void **state) {
    (void)state;
    open_holders();
    for (int i = 0; i < HOLDERS; i++) {
        go_on(&holders[i], 0, TE_RECORD_PAYLOAD_MAX);
        for (int j = 0; j < 100; j++) {
            step();
        }
    }
    uint32_t slot = 0;
    while (far.flows[slot].flow.state != FLOW_OPEN) {
        slot++;
    }
    const struct peer *peer = &far.peers.places[far.flows[slot].peer];
    assert_int_equal(peer->flow_count, HOLDERS);
    assert_in_range(peer->begun.blocks, 2 * LONG_BYTES / BLOCK_BYTES,
                    4 * LONG_BYTES / BLOCK_BYTES - 1);
    close_holder(HOLDERS - 1); /* with what it held there the other one sends */

    wire.is_forged = true; /* as of another peer, to which those flows go over by and by */
    connect_flows(&client, PORT_FIRST, 1);
    uint32_t sent_bytes = 0;
    for (int i = 0; i < 10 * STEPS && sink.messages_received == 0; i++) {
        sent_bytes = go_on(&client, sent_bytes, LONG_BYTES);
        step();
        drain(&sink);
        drain(&client);
    }
    assert_int_equal(sink.bytes_received, LONG_BYTES);

    for (int i = 0; i < HOLDERS - 1; i++) {
        close_holder(i);
    }
    for (int i = 0; i < STEPS && far.stats.flows_open > 1; i++) {
        step();
        drain(&sink);
    }
    assert_int_equal(far.stats.flows_open, 1);
    assert_int_equal(peer->begun.blocks, 0);
    assert_int_equal(far.store.blocks.free_count, far.store.blocks.capacity);
    close_listener();
}

/* More at once than there is room for, and than one peer may hold. */
static void all_that_one_peer_sends_at_once_arrives(void **state) {
    (void)state;
    uint32_t sent_bytes[HOLDERS] = {0};
    open_holders();
    for (int i = 0; i < 10 * STEPS && sink.messages_received < ROUNDS * HOLDERS; i++) {
        for (int j = 0; j < HOLDERS; j++) {
            uint32_t done_bytes = sent_bytes[j] / LONG_BYTES * LONG_BYTES;
            if (done_bytes < ROUNDS * LONG_BYTES) {
                sent_bytes[j] = done_bytes + go_on(&holders[j], sent_bytes[j] - done_bytes,
                                                   LONG_BYTES);
            }
        }
        step();
        drain(&sink);
    }
    assert_int_equal(sink.messages_received, ROUNDS * HOLDERS);
    assert_int_equal(sink.bytes_received, (uint64_t)ROUNDS * HOLDERS * LONG_BYTES);
    assert_true(far.flow_counters.packets_no_memory > 0);
    assert_int_equal(far.stats.flows_open, HOLDERS);
    for (int i = 0; i < HOLDERS; i++) {
        close_holder(i);
    }
    close_listener();
}

/* Against a plain array, with addresses that fall upon each other. */
static uint64_t crowded(void *context, const uint8_t *bytes, size_t size_bytes) {
    (void)context;
    (void)size_bytes;
    return bytes[15] / 8u * 61u;
}

static void counts_are_right_whatever_collides(void **state) {
    (void)state;
    uint32_t opened[ADDRESSES] = {0};
    uint32_t called[ADDRESSES] = {0};
    struct peer *peers[ADDRESSES] = {0};
    static struct engine engine;
    engine.world.mac = crowded;
    assert_true(peers_init(&engine.peers, 6 * ADDRESSES, 3));
    prng_init(&prng, 7);
    for (int i = 0; i < TURNS; i++) {
        uint32_t who = (uint32_t)(prng_next(&prng) % ADDRESSES);
        const uint8_t address[16] = {[15] = (uint8_t)who};
        bool is_accepted = prng_next(&prng) % 2;
        uint32_t *count = is_accepted ? &opened[who] : &called[who];
        if (prng_next(&prng) % 2 == 0 && opened[who] + called[who] < 6) {
            bool is_refused = is_accepted && *count == 3;
            struct peer *peer = peers_add(&engine, address, is_accepted);
            assert_int_equal(peer == NULL, is_refused);
            assert_true(peer == NULL || peers[who] == NULL || peer == peers[who]);
            peers[who] = peer == NULL ? peers[who] : peer;
            *count += peer != NULL;
        } else if (*count > 0) {
            assert_memory_equal(peers[who]->address, address, sizeof address);
            peers_remove(&engine, peers[who], is_accepted);
            --*count;
        }
        peers[who] = opened[who] + called[who] == 0 ? NULL : peers[who];
    }
    peers_fini(&engine.peers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_peer_does_not_take_the_whole_table),
        cmocka_unit_test(a_peer_that_moves_gets_no_more),
        cmocka_unit_test(an_eighth_is_kept_for_others),
        cmocka_unit_test(one_peer_does_not_hold_all_memory),
        cmocka_unit_test(all_that_one_peer_sends_at_once_arrives),
        cmocka_unit_test(counts_are_right_whatever_collides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
