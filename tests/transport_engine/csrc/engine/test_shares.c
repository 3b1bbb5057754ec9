/* Shares: a tenant with many flows, small packets, no manners or no memory leaves the other its
 * part; rates and quotas hold; nothing that a tenant writes names what is another's. */
#include "hosts.h"

#include "engine/shares.h"

enum { LINK_BYTES_PER_US = 1000, WARM_STEPS = 1000, STEPS = 4000, FORGERIES = 1000000 };

enum { MEMORY_BYTES = 24 << 20 };

static const struct te_share plain = {.weight = 1, .memory_bytes = MEMORY_BYTES};
static struct app hog, lamb, sink;
static struct app beside[7]; /* channels of the hog's share */
static int beside_count;

static int set_up(void **state) {
    (void)state;
    open_hosts(LINK_BYTES_PER_US);
    set_share(1, plain);
    set_share(2, plain);
    open_app(&hog, &near, 1);
    open_app(&lamb, &near, 2);
    open_app(&sink, &far, 0);
    for (uint16_t port = PORT_FIRST; port < PORT_FIRST + 2; port++) {
        struct te_command request = {.op = TE_LISTEN, .channel = sink.index,
                                     .endpoint = {.port = port}};
        assert_int_equal(command(&far, request).error, TE_OK);
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    while (beside_count > 0) {
        te_channel_close(beside[--beside_count].channel);
    }
    te_channel_close(hog.channel);
    te_channel_close(lamb.channel);
    te_channel_close(sink.channel);
    close_hosts();
    return 0;
}

static void run(int steps) {
    for (int i = 0; i < steps; i++) {
        fill(&hog);
        fill(&lamb);
        for (int j = 0; j < beside_count; j++) {
            fill(&beside[j]);
        }
        step();
        drain(&hog);
        drain(&lamb);
        drain(&sink);
    }
}

/* What the lamb has of the link's bytes, in parts per thousand, once both are at full speed. */
static uint64_t part_of_lamb(void) {
    run(WARM_STEPS);
    uint64_t before[2] = {wire.bytes_to[0], wire.bytes_to[1]};
    run(STEPS);
    uint64_t hogs = wire.bytes_to[0] - before[0];
    uint64_t lambs = wire.bytes_to[1] - before[1];
    uint64_t link_bytes = (uint64_t)STEPS * STEP_NS / 1000 * LINK_BYTES_PER_US;
    print_message("hog %llu, lamb %llu of %llu bytes\n", (unsigned long long)hogs,
                  (unsigned long long)lambs, (unsigned long long)link_bytes);
    assert_true(hogs + lambs > link_bytes / 100 * 95); /* the link is the bottleneck */
    return lambs * 1000 / (hogs + lambs);
}

static void connect_both(uint32_t flows_of_hog) {
    connect_flows(&hog, PORT_FIRST, flows_of_hog);
    connect_flows(&lamb, PORT_FIRST + 1, 1);
}

static void many_flows_weigh_no_more_than_one(void **state) {
    (void)state;
    connect_both(1000);
    assert_in_range(part_of_lamb(), 475, 525);
}

static void weights_are_honoured(void **state) {
    (void)state;
    set_share(2, (struct te_share){.weight = 3, .memory_bytes = MEMORY_BYTES});
    connect_both(1000);
    assert_in_range(part_of_lamb(), 713, 787);
}

static void weights_are_honoured_the_other_way(void **state) {
    (void)state;
    set_share(1, (struct te_share){.weight = 3, .memory_bytes = MEMORY_BYTES});
    connect_both(1);
    assert_in_range(part_of_lamb(), 238, 262);
}

static void small_packets_are_counted_too(void **state) {
    (void)state;
    hog.message_bytes = 64;
    connect_both(1000);
    assert_true(part_of_lamb() >= 500);
}

static void channels_of_one_tenant_share_its_part(void **state) {
    (void)state;
    for (beside_count = 0; beside_count < 7; beside_count++) {
        int i = beside_count;
        open_app(&beside[i], &near, 1);
        connect_flows(&beside[i], PORT_FIRST, 4);
    }
    connect_both(4);
    assert_in_range(part_of_lamb(), 475, 525);
    for (int i = 0; i < beside_count; i++) {
        assert_true(beside[i].messages_sent > 100);
    }
}

static void rate_of_bytes_holds(void **state) {
    (void)state;
    set_share(1, (struct te_share){.weight = 1, .bytes_per_second = 100000000});
    connect_flows(&hog, PORT_FIRST, 10);
    run(WARM_STEPS);
    uint64_t before = sink.bytes_received;
    run(STEPS);
    uint64_t records_bytes = 4000000; /* 40 ms of it, headers of records included */
    assert_in_range(sink.bytes_received - before, records_bytes / 100 * 95, records_bytes);
    assert_true(near.stats.rate_waits > 0);
    assert_true(near.resume_ns > now_ns && near.resume_ns < now_ns + 1000000);
}

static void rate_of_messages_holds(void **state) {
    (void)state;
    hog.message_bytes = 64;
    set_share(1, (struct te_share){.weight = 1, .messages_per_second = 50000});
    connect_both(10);
    run(WARM_STEPS);
    uint64_t before = near.shares[1].messages.next_ns;
    uint64_t sent = hog.messages_sent;
    run(STEPS);
    assert_in_range(hog.messages_sent - sent, 1990, 2010);
    assert_in_range(near.shares[1].messages.next_ns - before, 39000000, 41000000);
    assert_true(lamb.messages_sent > 5000); /* whose rate is its own */
}

/* Whichever channel is looked at last. */
static void who_waits_for_longer_does_not_hold_up_others(void **state) {
    (void)state;
    set_share(1, (struct te_share){.weight = 1, .bytes_per_second = 100000000});
    set_share(2, (struct te_share){.weight = 1, .bytes_per_second = 100000});
    connect_both(1);
    run(WARM_STEPS);
    for (int i = 0; i < 10; i++) {
        run(1);
        assert_true(near.shares[1].is_waiting && near.shares[2].is_waiting);
        assert_true(near.resume_ns <= near.shares[1].bytes.next_ns);
    }
}

static void memory_is_a_quota(void **state) {
    (void)state;
    set_share(1, (struct te_share){.weight = 1, .memory_bytes = 4 << 20});
    connect_both(100);
    for (int i = 0; i < 2000; i++) { /* nobody takes anything: all piles up */
        fill(&hog);
        fill(&lamb);
        step();
        share_bill(&near, 0);
        assert_true(near.shares[1].blocks_held <= (4 << 20) / BLOCK_BYTES);
    }
    assert_true(near.shares[1].blocks_held > (3 << 20) / BLOCK_BYTES / 10 * 9);
    assert_true(near.shares[2].blocks_held > near.shares[1].blocks_held);
    uint64_t before = sink.bytes_received;
    run(STEPS);
    assert_true(sink.bytes_received - before > (4 << 20)); /* and it goes on */
}

/* So what applications are told they may send is not waited for for ever. */
static void the_longest_message_fits_into_its_quota(void **state) {
    (void)state;
    for (uint64_t bytes = 64 << 10; bytes <= MEMORY_BYTES; bytes += 100 << 10) {
        set_share(1, (struct te_share){.weight = 1, .memory_bytes = bytes});
        share_bill(&near, 1);
        assert_true(share_has_memory(&near, share_message_bytes_max(&near.shares[1])));
    }
}

/* It says nothing of peers of others that take their time (see flow_end_untaken). */
static void a_quota_that_is_used_up_is_no_lack_of_memory(void **state) {
    (void)state;
    set_share(1, (struct te_share){.weight = 1, .memory_bytes = 4 << 20});
    connect_both(100);
    for (int i = 0; i < 2000; i++) {
        fill(&hog);
        step();
    }
    share_bill(&near, 0);
    assert_true(near.shares[1].blocks_held > (3 << 20) / BLOCK_BYTES / 10 * 9);
    assert_int_equal(near.store.refused_ns, 0);
    set_share(1, (struct te_share){.weight = 1, .memory_bytes = 0});
    for (int i = 0; i < 20000 && near.store.refused_ns == 0; i++) {
        fill(&hog);
        step();
    }
    assert_int_not_equal(near.store.refused_ns, 0);
}

/* Then nobody lacks what waits for peers that take their time (see flow_end_untaken). */
static void memory_that_goes_round_is_noted(void **state) {
    (void)state;
    connect_both(4);
    for (int i = 0; i < 10 * STEPS && near.store.renewed_ns == 0; i += 100) {
        run(100);
    }
    uint64_t first_ns = near.store.renewed_ns;
    assert_int_not_equal(first_ns, 0);
    uint64_t before = near.stats.message_bytes_sent;
    for (int i = 0; i < 10 * STEPS && near.store.renewed_ns == first_ns; i++) {
        run(1);
    }
    uint64_t capacity = near.store.blocks.capacity;
    uint64_t blocks = send_queue_blocks(hog.message_bytes + TE_CALL_HEADER_BYTES);
    uint64_t sent = (near.stats.message_bytes_sent - before) / hog.message_bytes * blocks;
    assert_in_range(sent, capacity / 100 * 95, capacity / 100 * 105);
}

static void all_memory_comes_back_to_who_paid(void **state) {
    (void)state;
    set_share(1, (struct te_share){.weight = 1, .memory_bytes = 4 << 20});
    connect_both(50);
    run(100);
    command(&near, (struct te_command){.op = TE_DETACH, .channel = hog.index});
    command(&near, (struct te_command){.op = TE_DETACH, .channel = lamb.index});
    for (int i = 0; i < 100000; i++) {
        step();
        drain(&sink);
    }
    share_bill(&near, 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(near.shares[i].blocks_held, 0);
        assert_int_equal(near.shares[i].flow_count, 0);
    }
    te_channel_close(hog.channel);
    te_channel_close(lamb.channel);
    open_app(&hog, &near, 1);
    open_app(&lamb, &near, 2);
}

/* Each channel's message finds room, all together do not: were they taken as their records come,
 * each would wait for the others' memory. */
static void messages_begun_at_once_are_all_finished(void **state) {
    enum { CHANNELS = 7, RECORD = TE_RECORD_PAYLOAD_MAX, RECORDS = (8 << 20) / RECORD };
    static uint8_t packed[sizeof(struct te_record) + RECORD];
    uint32_t sent[CHANNELS] = {0};
    (void)state;
    for (beside_count = 0; beside_count < CHANNELS; beside_count++) {
        open_app(&beside[beside_count], &near, 0);
        connect_flows(&beside[beside_count], PORT_FIRST, 1);
    }
    uint32_t quarter = near.store.blocks.capacity / 4;
    for (int i = 0; sink.messages_received < CHANNELS; i++) {
        assert_true(i < 50000);
        for (int j = 0; j < CHANNELS; j++) {
            uint32_t flags = (sent[j] == 0 ? TE_FIRST : 0) | (sent[j] == RECORDS - 1 ? TE_LAST : 0);
            struct te_record record = {.kind = TE_REQUEST, .flow = beside[j].flows[0],
                                       .flags = (uint8_t)flags, .size_bytes = RECORD,
                                       .offset_bytes = sent[j] * RECORD,
                                       .total_bytes = RECORD * RECORDS};
            memcpy(packed, &record, sizeof record);
            if (sent[j] < RECORDS &&
                te_channel_send(beside[j].channel, packed, sizeof packed) > 0) {
                sent[j]++;
            }
        }
        step();
        drain(&sink);
        assert_true(near.store.blocks.free_count >= quarter);
    }
}

static void flows_are_a_quota(void **state) {
    (void)state;
    set_share(1, (struct te_share){.weight = 1, .flows_max = 3});
    connect_both(3);
    struct te_command more = {.op = TE_CONNECT, .channel = hog.index,
                              .endpoint = near.netif->local};
    more.endpoint.port = PORT_FIRST;
    assert_int_equal(command(&near, more).error, TE_E_QUOTA);
    assert_int_equal(near.stats.quota_refusals, 1);
    more.channel = lamb.index;
    assert_int_equal(command(&near, more).error, TE_OK);
}

static void incoming_flows_are_counted(void **state) {
    (void)state;
    struct te_command request = {.op = TE_LISTEN, .channel = hog.index,
                                 .endpoint = {.port = 9000}};
    set_share(1, (struct te_share){.weight = 1, .flows_max = 2});
    assert_int_equal(command(&near, request).error, TE_OK);
    connect_flows(&sink, 9000, 2);
    request = (struct te_command){.op = TE_CONNECT, .channel = sink.index, .token = 1,
                                  .endpoint = near.netif->local};
    request.endpoint.port = 9000;
    command(&far, request);
    for (int i = 0; sink.refused == 0; i++) {
        assert_true(i < 10000);
        step();
        drain(&sink);
    }
    assert_int_equal(sink.flow_count, 2);
}

/* Records for flows that are not the tenant's go nowhere, whatever they name. */
static void forged_flows_send_nothing(void **state) {
    (void)state;
    connect_both(4);
    hog.flow_count = 0;
    uint64_t datagrams_of_hog = wire.bytes_to[0];
    run(100);
    assert_true(wire.bytes_to[0] - datagrams_of_hog < 2000); /* the last words of handshakes */
    datagrams_of_hog = wire.bytes_to[0];
    uint32_t own[4];
    memcpy(own, hog.flows, sizeof own);
    for (uint32_t i = 0; i < FORGERIES; i++) {
        uint32_t flow = (uint32_t)random_u64(NULL) >> (i % 32);
        struct te_record record = {.flow = i % 7 == 0 ? lamb.flows[0] ^ (i << 16) : flow,
                                   .kind = i % 5 == 0 ? TE_FLOW_CLOSE : TE_REQUEST,
                                   .flags = TE_FIRST | TE_LAST};
        bool is_own = false;
        for (int j = 0; j < 4; j++) {
            is_own |= record.flow == own[j];
        }
        while (!is_own &&
               te_channel_send(hog.channel, (uint8_t *)&record, sizeof record) == 0) {
            step();
        }
    }
    for (int i = 0; i < 10; i++) {
        step();
    }
    assert_int_equal(wire.bytes_to[0], datagrams_of_hog);
    assert_int_equal(near.stats.channels_quarantined, 0);
    uint64_t before = lamb.messages_sent;
    run(100);
    assert_true(lamb.messages_sent > before);
    assert_int_equal(near.stats.flows_open, 5);
}

static void terms_have_bounds(void **state) {
    (void)state;
    const struct te_share bad[] = {{.weight = 0}, {.weight = TE_WEIGHT_MAX + 1},
                                   {.weight = 1, .bytes_per_second = 999}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct te_command request = {.op = TE_SHARE, .share = 1, .terms = bad[i]};
        assert_int_equal(command(&near, request).error, TE_E_INVALID);
    }
    struct te_command request = {.op = TE_SHARE, .share = TE_SHARES_MAX, .terms = plain};
    assert_int_equal(command(&near, request).error, TE_E_INVALID);
    request = (struct te_command){.op = TE_ATTACH, .ring_bytes = 1 << 18, .share = TE_SHARES_MAX};
    assert_int_equal(command(&near, request).error, TE_E_INVALID);
}

/* Not when a timer comes: the engine may have ended by then. */
static void who_drains_tells_peers_at_once(void **state) {
    (void)state;
    connect_flows(&hog, PORT_FIRST, 1);
    for (int i = 0; i < STEPS && engine_is_busy(&near); i++) {
        step();
    }
    assert_false(engine_is_busy(&near));
    assert_int_equal(command(&near, (struct te_command){.op = TE_DRAIN}).error, TE_OK);
    assert_true(engine_is_busy(&near));
}

#define WITH_HOSTS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_HOSTS(many_flows_weigh_no_more_than_one),
        WITH_HOSTS(weights_are_honoured),
        WITH_HOSTS(weights_are_honoured_the_other_way),
        WITH_HOSTS(small_packets_are_counted_too),
        WITH_HOSTS(channels_of_one_tenant_share_its_part),
        WITH_HOSTS(rate_of_bytes_holds),
        WITH_HOSTS(rate_of_messages_holds),
        WITH_HOSTS(who_waits_for_longer_does_not_hold_up_others),
        WITH_HOSTS(memory_is_a_quota),
        WITH_HOSTS(the_longest_message_fits_into_its_quota),
        WITH_HOSTS(a_quota_that_is_used_up_is_no_lack_of_memory),
        WITH_HOSTS(memory_that_goes_round_is_noted),
        WITH_HOSTS(all_memory_comes_back_to_who_paid),
        WITH_HOSTS(messages_begun_at_once_are_all_finished),
        WITH_HOSTS(flows_are_a_quota),
        WITH_HOSTS(incoming_flows_are_counted),
        WITH_HOSTS(forged_flows_send_nothing),
        WITH_HOSTS(terms_have_bounds),
        WITH_HOSTS(who_drains_tells_peers_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
