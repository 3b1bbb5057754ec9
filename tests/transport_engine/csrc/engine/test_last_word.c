/* What is said for a server that was killed: its answers that were in the ring, then which requests
 * it had started, then that the flow is over. Two engines on virtual time. */
#include "hosts.h"

#include "base/bytes.h"
#include "engine/shares.h"
#include "transport_fates.h"

enum {
    SHARE = 1,
    REPLIES = 700, /* more than a poll takes */
    REPLY_BYTES = 200,
    NEWEST = 40,
    STEPS_MAX = 2000,
    STEPS_AT_ONCE = 50 /* no timer of a flow is as short */
};

static struct app server, client;
static uint32_t server_flows[2]; /* the newest first, as they stand in the table */

/* What came to the client, of its first flow unless it says otherwise. */
static struct {
    uint32_t replies;
    uint32_t words, words_of_others;
    uint32_t closed;
    uint8_t reason;
    bool is_in_order; /* nothing after the word, but that it closed */
    uint32_t reply_bytes;
    struct te_starts word;
} came;

static void read_word(const uint8_t *bytes, uint32_t size_bytes) {
    assert_int_equal(size_bytes, 8 + 8 * TE_STARTS_WORDS);
    came.word.newest = load_u64(bytes);
    for (int i = 0; i < TE_STARTS_WORDS; i++) {
        came.word.words[i] = load_u64(bytes + 8 + 8 * i);
    }
}

static void take_one(const struct te_record *head, const uint8_t *bytes) {
    const bool is_first = head->flow == client.flows[0];
    switch (head->kind) {
    case TE_REPLY:
        came.is_in_order &= came.words == 0;
        came.replies += (head->flags & TE_LAST) != 0;
        came.reply_bytes += head->size_bytes;
        break;
    case TE_LAST_WORD:
        came.words += is_first;
        came.words_of_others += !is_first;
        if (is_first) {
            read_word(bytes, head->size_bytes);
        }
        break;
    case TE_FLOW_CLOSED:
        came.closed++;
        came.reason = (uint8_t)head->status;
        break;
    default:
        fail();
    }
}

static void take(void) {
    struct te_record heads[HEADS];
    int count;
    do {
        const uint8_t *bytes = payload;
        count = te_channel_receive(client.channel, heads, HEADS, payload, sizeof payload);
        for (int i = 0; i < count; bytes += heads[i++].size_bytes) {
            take_one(&heads[i], bytes);
        }
    } while (count > 0);
    assert_int_equal(count, 0);
}

/* Until all flows have closed. */
static void await_end(uint32_t flows, int steps_max) {
    for (int i = 0; came.closed < flows; i++) {
        assert_true(i < steps_max);
        step();
        take();
    }
}

static void note_accepted(void) {
    struct te_record heads[HEADS];
    int count = te_channel_receive(server.channel, heads, HEADS, payload, sizeof payload);
    for (int i = 0; i < count; i++) {
        assert_int_equal(heads[i].kind, TE_FLOW_ACCEPTED);
        server_flows[i] = heads[i].flow;
    }
}

static void open_all(uint32_t flows) {
    open_hosts(1000);
    open_app(&server, &far, SHARE);
    open_app(&client, &near, 0);
    memset(&came, 0, sizeof came);
    came.is_in_order = true;
    const struct te_command listen = {.op = TE_LISTEN, .channel = server.index,
                                      .endpoint = {.port = PORT_FIRST}};
    assert_int_equal(command(&far, listen).error, TE_OK);
    connect_flows(&client, PORT_FIRST, flows);
    for (int i = 0; i < STEPS_AT_ONCE; i++) {
        step();
    }
    note_accepted();
}

static void close_all(void) {
    te_channel_close(client.channel);
    close_hosts();
}

static void start_some(uint32_t flow) {
    te_channel_begin_starts(server.channel, flow, 1);
    te_channel_note(server.channel, flow, 1, TE_STARTED);
    te_channel_note(server.channel, flow, 33, TE_TAKEN);
    te_channel_note(server.channel, flow, NEWEST, TE_STARTED);
}

static int64_t put(struct te_record record) {
    static uint8_t packed[sizeof record + TE_RECORD_PAYLOAD_MAX];
    const uint64_t bytes = sizeof record + (record.size_bytes + 7u) / 8 * 8;
    memcpy(packed, &record, sizeof record);
    return te_channel_send(server.channel, packed, bytes);
}

static void reply(uint64_t call_id) {
    const struct te_record record = {.kind = TE_REPLY, .flags = TE_FIRST | TE_LAST,
                                     .flow = server_flows[0], .call_id = call_id,
                                     .size_bytes = REPLY_BYTES, .total_bytes = REPLY_BYTES};
    assert_true(put(record) > 0);
}

static void detach(void) {
    assert_int_equal(command(&far, (struct te_command){.op = TE_DETACH,
                                                       .channel = server.index}).error, TE_OK);
}

/* As its end by SIGKILL looks to its engine. */
static void die(void) {
    te_channel_close(server.channel);
    assert_int_equal(command(&far, (struct te_command){.op = TE_HAS_LEFT,
                                                       .channel = server.index}).value, 1);
    detach();
}

static void assert_word(void) {
    assert_int_equal(came.words, 1);
    assert_int_equal(came.word.newest, NEWEST);
    assert_int_equal(came.word.words[0], (uint64_t)TE_STARTED << 2);
    assert_int_equal(came.word.words[1],
                     (uint64_t)TE_TAKEN << 2 | (uint64_t)TE_STARTED << (NEWEST - 32) * 2);
    for (int i = 2; i < TE_STARTS_WORDS; i++) {
        assert_int_equal(came.word.words[i], 0);
    }
    assert_true(came.is_in_order);
}

static void answers_go_out_before_the_word(void **state) {
    (void)state;
    open_all(1);
    start_some(server_flows[0]);
    for (uint64_t call = 1; call <= REPLIES; call++) {
        reply(call);
    }
    die();
    await_end(1, STEPS_MAX);
    assert_int_equal(came.replies, REPLIES);
    assert_word();
    assert_int_equal(came.reason, TE_R_PEER_CLOSED);
    assert_int_equal(far.stats.flows_open, 0);
    close_all();
}

/* Its engine has seen it before the control plane comes. */
static void who_is_detached_later_is_not_cut_short(void **state) {
    (void)state;
    open_all(1);
    start_some(server_flows[0]);
    for (uint64_t call = 1; call <= REPLIES; call++) {
        reply(call);
    }
    te_channel_close(server.channel);
    tenant_stop(&far, server.index, TE_R_CLOSED);
    detach();
    await_end(1, STEPS_MAX);
    assert_int_equal(came.replies, REPLIES);
    assert_word();
    close_all();
}

/* It may start more: no word is its last. */
static void who_has_not_left_has_no_word(void **state) {
    (void)state;
    open_all(1);
    start_some(server_flows[0]);
    detach();
    await_end(1, STEPS_AT_ONCE);
    assert_int_equal(came.words, 0);
    te_channel_close(server.channel);
    close_all();
}

static void the_word_is_in_its_tenants_share(void **state) {
    (void)state;
    open_all(1);
    start_some(server_flows[0]);
    share_bill(&far, 0);
    const uint32_t others = far.shares[0].blocks_held;
    die();
    share_bill(&far, 0);
    assert_int_equal(far.shares[0].blocks_held, others);
    assert_int_not_equal(far.shares[SHARE].blocks_held, 0);
    await_end(1, STEPS_MAX);
    assert_word();
    close_all();
}

static void who_noted_nothing_has_no_word(void **state) {
    (void)state;
    open_all(1);
    reply(1);
    die();
    await_end(1, STEPS_AT_ONCE);
    assert_int_equal(came.words, 0);
    assert_int_equal(came.reason, TE_R_PEER_CLOSED);
    close_all();
}

static void each_flow_has_its_own_word(void **state) {
    (void)state;
    open_all(2);
    start_some(server_flows[0]);
    die();
    await_end(2, STEPS_MAX);
    assert_int_equal(came.words + came.words_of_others, 1); /* of the other nothing was noted */
    close_all();
}

/* A message of which the rest will never come is not waited for. */
static void a_message_that_was_cut_short_keeps_nobody_waiting(void **state) {
    (void)state;
    open_all(1);
    start_some(server_flows[0]);
    const struct te_record begun = {.kind = TE_REPLY, .flags = TE_FIRST, .flow = server_flows[0],
                                    .call_id = 1, .size_bytes = TE_RECORD_PAYLOAD_MAX,
                                    .total_bytes = TE_RECORD_PAYLOAD_MAX + REPLY_BYTES};
    assert_true(put(begun) > 0);
    die();
    await_end(1, STEPS_AT_ONCE);
    assert_int_equal(came.replies, 0);
    assert_int_equal(far.stats.flows_open, 0);
    close_all();
}

/* But it is of one flow: those beside it say what there is to say. */
static void a_message_that_was_cut_short_is_of_one_flow(void **state) {
    (void)state;
    open_all(2);
    start_some(server_flows[0]);
    start_some(server_flows[1]);
    reply(1);
    const struct te_record begun = {.kind = TE_REPLY, .flags = TE_FIRST, .flow = server_flows[1],
                                    .call_id = 1, .size_bytes = TE_RECORD_PAYLOAD_MAX,
                                    .total_bytes = TE_RECORD_PAYLOAD_MAX + REPLY_BYTES};
    assert_true(put(begun) > 0);
    die();
    await_end(2, STEPS_MAX);
    assert_int_equal(came.replies, 1);
    assert_int_equal(came.words + came.words_of_others, 1);
    close_all();
}

/* One that the engine forgot, as the peer would not take it, leaves its flow whole. */
static void a_message_that_was_discarded_was_not_cut_short(void **state) {
    (void)state;
    open_all(1);
    start_some(server_flows[0]);
    const struct te_record begun = {.kind = TE_REPLY, .flags = TE_FIRST, .flow = server_flows[0],
                                    .call_id = 1, .size_bytes = TE_RECORD_PAYLOAD_MAX,
                                    .total_bytes = TE_MESSAGE_BYTES_MAX};
    assert_true(put(begun) > 0);
    die();
    await_end(1, STEPS_MAX);
    assert_word();
    close_all();
}

/* What it left breaks the rules: it has no word, since what it noted may be as wrong. */
static void who_broke_the_rules_has_no_word(void **state) {
    (void)state;
    open_all(1);
    start_some(server_flows[0]);
    reply(1);
    const struct te_record wrong = {.kind = TE_REPLY, .flags = TE_FIRST | TE_LAST,
                                    .flow = server_flows[0], .lane = UINT8_MAX};
    assert_true(put(wrong) > 0);
    die();
    await_end(1, STEPS_AT_ONCE);
    assert_int_equal(came.words, 0);
    close_all();
}

/* What a tenant may hold is full of its answers: they are sent, and the flow ends all the same. */
static void a_quota_that_is_used_up_leaves_no_room_for_the_word(void **state) {
    (void)state;
    open_all(1);
    start_some(server_flows[0]);
    const struct te_command quota = {.op = TE_SHARE, .share = SHARE,
                                     .terms = {.memory_bytes = 1 << 20, .weight = 1}};
    assert_int_equal(command(&far, quota).error, TE_OK);
    for (uint64_t call = 1; call <= REPLIES; call++) {
        reply(call);
    }
    die();
    await_end(1, STEPS_MAX);
    assert_true(came.replies > 0);
    assert_true(came.replies < REPLIES);
    assert_int_equal(came.words, 0);
    assert_int_equal(far.stats.flows_open, 0);
    assert_int_equal(far.store.blocks.free_count, far.store.blocks.capacity);
    close_all();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_go_out_before_the_word),
        cmocka_unit_test(who_is_detached_later_is_not_cut_short),
        cmocka_unit_test(who_has_not_left_has_no_word),
        cmocka_unit_test(the_word_is_in_its_tenants_share),
        cmocka_unit_test(who_noted_nothing_has_no_word),
        cmocka_unit_test(each_flow_has_its_own_word),
        cmocka_unit_test(a_message_that_was_cut_short_keeps_nobody_waiting),
        cmocka_unit_test(a_message_that_was_cut_short_is_of_one_flow),
        cmocka_unit_test(a_message_that_was_discarded_was_not_cut_short),
        cmocka_unit_test(who_broke_the_rules_has_no_word),
        cmocka_unit_test(a_quota_that_is_used_up_leaves_no_room_for_the_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
