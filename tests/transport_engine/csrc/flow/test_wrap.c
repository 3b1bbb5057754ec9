/* Whatever counts in a flow goes on over the end of its field.
 *
 * Packet numbers begin below 2^62 and message ids at 0; neither reaches the end of 64 bits, nor do
 * nanoseconds. What wraps on the wire are the sequence of a lane, the count of ECN marks and the
 * length of a range; in memory, the lives of a slot. Timers, tokens and handles are the engine's.
 */
#include "flow/pair.h"

/* As if billions of packets had passed, more than a length or a distance on the wire can say. */
static void a_flow_outlives_its_numbers(void **state) {
    (void)state;
    const uint64_t skipped = (1 << 30) - SACK_SPAN_MAX - 100;
    struct pair *pair = pair_open(1);
    pair_establish(pair);
    for (int i = 0; i < 6; i++) {
        exchange(pair, 100, 3000, 0);
        while (pair->flows[CLIENT].ledger.count + pair->flows[SERVER].ledger.count > 0) {
            assert_true(pair_step(pair));
        }
        pair->link_count = 0;
        for (int side = 0; side < 2; side++) {
            pair->flows[side].ledger.next_number += skipped;
            pair->flows[side].ledger.largest_acked += skipped;
            pair->flows[1 - side].sack.ranges[0].last += skipped;
        }
    }
    assert_int_equal(pair->counters.packets_lost, 0);
    pair_close(pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flow_outlives_its_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
