/* The outgoing burst where the netif takes a part of it, and the loop back where it is full. */
#include "test.h"

#include "engine/output.h"

static struct output output;
static int room; /* datagrams that the netif takes */
static char sent[64]; /* the first byte of each */
static size_t sent_count;

static int take(struct netif *netif, uint64_t now_ns, const struct netif_datagram *datagrams,
                int count) {
    (void)netif;
    (void)now_ns;
    const int taken = count < room ? count : room;
    for (int i = 0; i < taken; i++) {
        sent[sent_count++] = (char)datagrams[i].bytes[0];
    }
    return taken;
}

static const struct netif_ops ops = {.name = "test", .tx_burst = take};
static const struct te_endpoint here = {{1}, 1, 0};
static const struct te_endpoint there = {{2}, 2, 0};

static bool write_one(char first, const struct te_endpoint *remote) {
    uint8_t *out = output_reserve(&output, 0);
    if (out != NULL) {
        out[0] = (uint8_t)first;
        output_commit(&output, &here, remote, 1);
    }
    return out != NULL;
}

static void what_was_not_taken_keeps_its_bytes(void **state) {
    (void)state;
    struct netif netif = {.ops = &ops, .local = here};
    sent_count = 0;
    assert_int_equal(output_init(&output, &netif), TE_OK);
    for (char first = 'a'; first <= 'z'; first++) {
        assert_true(write_one(first, &there));
        room = (first - 'a') % 3 == 2 ? 2 : 0; /* two of three or more */
        output_flush(&output, 0);
    }
    room = TE_BURST_MAX;
    output_flush(&output, 0);
    assert_int_equal(sent_count, 26);
    assert_memory_equal(sent, "abcdefghijklmnopqrstuvwxyz", 26);
    assert_false(output_is_waiting(&output));
    output_fini(&output);
}

static void a_full_loop_takes_no_more(void **state) {
    (void)state;
    struct netif netif = {.ops = &ops, .local = here, .caps = NETIF_NO_LOOP};
    struct netif_datagram datagram;
    assert_int_equal(output_init(&output, &netif), TE_OK);
    for (int turn = 0; turn < 2; turn++) {
        int count = 0;
        while (write_one((char)count, &here)) {
            count++;
        }
        assert_int_equal(count, OUTPUT_LOOP_MAX);
        for (int i = 0; i < count; i++) {
            assert_true(output_take_loop(&output, &datagram));
            assert_int_equal((char)datagram.bytes[0], (char)i);
        }
        assert_false(output_take_loop(&output, &datagram));
    }
    output_fini(&output);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_taken_keeps_its_bytes),
        cmocka_unit_test(a_full_loop_takes_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
