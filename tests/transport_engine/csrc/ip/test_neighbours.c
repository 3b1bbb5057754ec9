/* The neighbour cache: questions, silence, ageing, and a crowd of strangers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <string.h>

#include "ip/neighbours.h"

enum { STRANGERS = 100000, FRESH_S = 30 };

static const uint64_t second_ns = 1000000000;
static const uint8_t friend_address[16] = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 2};
static const uint8_t friend_mac[MAC_BYTES] = {2, 0, 0, 0, 0, 2};

static int setup(void **state) {
    static struct neighbours neighbours;
    neighbours_init(&neighbours);
    *state = &neighbours;
    return 0;
}

static void test_unknown_is_asked_again_until_it_is_given_up(void **state) {
    struct neighbours *neighbours = *state;
    bool gone;
    uint64_t now_ns = 5;
    assert_null(neighbours_ask(neighbours, now_ns));
    assert_null(neighbours_want(neighbours, friend_address, now_ns));
    for (int i = 0; i < NEIGHBOURS_ASKS_MAX; i++) {
        assert_true(neighbours->due_ns <= now_ns);
        const struct neighbour *asked = neighbours_ask(neighbours, now_ns);
        assert_non_null(asked);
        assert_memory_equal(asked->address, friend_address, ADDRESS_BYTES);
        assert_null(neighbours_ask(neighbours, now_ns));
        assert_int_equal(neighbours->due_ns, now_ns + NEIGHBOURS_ASK_NS);
        assert_null(neighbours_look(neighbours, friend_address, &gone));
        assert_false(gone);
        now_ns += NEIGHBOURS_ASK_NS;
    }
    assert_null(neighbours_ask(neighbours, now_ns));
    assert_null(neighbours_look(neighbours, friend_address, &gone));
    assert_true(gone);
    assert_int_equal(neighbours->due_ns, UINT64_MAX);
}

/* Whatever their places in the table are. */
static void test_who_was_asked_first_is_asked_again_first(void **state) {
    struct neighbours *neighbours = *state;
    uint8_t other_address[16];
    memcpy(other_address, friend_address, sizeof other_address);
    other_address[15]++;
    const uint8_t *const addresses[] = {friend_address, other_address};
    for (int first = 0; first < 2; first++) {
        neighbours_init(neighbours);
        assert_null(neighbours_want(neighbours, addresses[first], 0));
        assert_non_null(neighbours_ask(neighbours, 0));
        assert_null(neighbours_want(neighbours, addresses[1 - first], 1));
        assert_non_null(neighbours_ask(neighbours, 1));
        assert_null(neighbours_ask(neighbours, 1));
        assert_int_equal(neighbours->due_ns, NEIGHBOURS_ASK_NS);
    }
}

static void test_answer_ends_the_questions(void **state) {
    struct neighbours *neighbours = *state;
    assert_null(neighbours_want(neighbours, friend_address, 0));
    assert_non_null(neighbours_ask(neighbours, 0));
    neighbours_learn(neighbours, friend_address, friend_mac, 1);
    assert_memory_equal(neighbours_want(neighbours, friend_address, 2), friend_mac, MAC_BYTES);
    assert_null(neighbours_ask(neighbours, NEIGHBOURS_ASK_NS));
}

static void test_old_knowledge_is_used_while_it_is_asked_anew(void **state) {
    struct neighbours *neighbours = *state;
    neighbours_learn(neighbours, friend_address, friend_mac, 0);
    assert_null(neighbours_ask(neighbours, FRESH_S * second_ns));
    uint64_t now_ns = FRESH_S * second_ns;
    assert_non_null(neighbours_want(neighbours, friend_address, now_ns));
    for (int i = 0; i < NEIGHBOURS_ASKS_MAX; i++) {
        assert_non_null(neighbours_ask(neighbours, now_ns));
        assert_non_null(neighbours_want(neighbours, friend_address, now_ns));
        now_ns += NEIGHBOURS_ASK_NS;
    }
    assert_null(neighbours_ask(neighbours, now_ns));
    assert_null(neighbours_want(neighbours, friend_address, now_ns));
}

static void stranger(uint32_t number, uint8_t address[16]) {
    memcpy(address, friend_address, ADDRESS_BYTES);
    address[12] = 11;
    memcpy(address + 13, &number, 3);
}

static void test_strangers_do_not_push_out_a_friend(void **state) {
    struct neighbours *neighbours = *state;
    uint8_t address[16];
    neighbours_learn(neighbours, friend_address, friend_mac, 0);
    for (uint32_t i = 0; i < STRANGERS; i++) {
        stranger(i, address);
        neighbours_learn(neighbours, address, friend_mac, i);
    }
    assert_non_null(neighbours_want(neighbours, friend_address, second_ns));
}

static void test_who_is_wanted_finds_a_place_among_strangers(void **state) {
    struct neighbours *neighbours = *state;
    uint8_t address[16];
    for (uint32_t i = 0; i < STRANGERS; i++) {
        stranger(i, address);
        neighbours_learn(neighbours, address, friend_mac, i);
    }
    assert_null(neighbours_want(neighbours, friend_address, second_ns));
    assert_non_null(neighbours_ask(neighbours, second_ns));
    neighbours_learn(neighbours, friend_address, friend_mac, second_ns);
    assert_non_null(neighbours_want(neighbours, friend_address, second_ns));
}

static void test_whose_time_is_over_first_makes_room(void **state) {
    struct neighbours *neighbours = *state;
    uint8_t address[16];
    bool gone = false;
    uint32_t number = 0;
    while (!gone) {
        stranger(++number, address);
        neighbours_learn(neighbours, address, friend_mac, number * 40503 % 65536);
        neighbours_look(neighbours, address, &gone); /* it found no place */
    }
    const struct neighbours before = *neighbours;
    neighbours_want(neighbours, address, second_ns);
    for (int i = 0; i < NEIGHBOURS_SETS * NEIGHBOURS_WAYS; i++) {
        const struct neighbour *set = before.sets[i / NEIGHBOURS_WAYS];
        const struct neighbour *each = &neighbours->sets[i / NEIGHBOURS_WAYS][i % NEIGHBOURS_WAYS];
        if (address_equal(each->address, address)) {
            for (int way = 0; way < NEIGHBOURS_WAYS; way++) {
                assert_true(set[i % NEIGHBOURS_WAYS].due_ns <= set[way].due_ns);
            }
            return;
        }
    }
    fail();
}

static void test_what_is_said_to_everybody_changes_who_is_known_and_adds_nobody(void **state) {
    struct neighbours *neighbours = *state;
    static const uint8_t other_mac[MAC_BYTES] = {2, 0, 0, 0, 0, 3};
    bool gone;
    neighbours_update(neighbours, friend_address, friend_mac, 0);
    assert_null(neighbours_look(neighbours, friend_address, &gone));
    assert_true(gone);
    neighbours_learn(neighbours, friend_address, friend_mac, 0);
    neighbours_update(neighbours, friend_address, other_mac, 1);
    assert_memory_equal(neighbours_want(neighbours, friend_address, 2), other_mac, MAC_BYTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_unknown_is_asked_again_until_it_is_given_up, setup),
        cmocka_unit_test_setup(test_who_was_asked_first_is_asked_again_first, setup),
        cmocka_unit_test_setup(test_answer_ends_the_questions, setup),
        cmocka_unit_test_setup(test_old_knowledge_is_used_while_it_is_asked_anew, setup),
        cmocka_unit_test_setup(test_strangers_do_not_push_out_a_friend, setup),
        cmocka_unit_test_setup(test_who_is_wanted_finds_a_place_among_strangers, setup),
        cmocka_unit_test_setup(test_whose_time_is_over_first_makes_room, setup),
        cmocka_unit_test_setup(
            test_what_is_said_to_everybody_changes_who_is_known_and_adds_nobody, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
