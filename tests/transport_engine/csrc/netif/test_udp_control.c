/* What a UDP socket says of a datagram beside its bytes. */
#define _GNU_SOURCE
#include "test.h"

#include <sys/socket.h>
#include <time.h>

#include "netif/udp_control.h"

static const uint64_t second_ns = 1000000000;
static const uint64_t arrived_ns = UINT64_C(1700000000) * second_ns;

/* How long a datagram waited that arrived then, for a burst that was read at `burst_ns`. */
static uint64_t waited_ns(uint64_t burst_ns) {
    const struct timespec arrived = {(time_t)(arrived_ns / second_ns), 0};
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof arrived)] = {0};
    struct msghdr header = {.msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *stamp = CMSG_FIRSTHDR(&header);
    struct netif_datagram datagram = {0};
    stamp->cmsg_level = SOL_SOCKET;
    stamp->cmsg_type = SCM_TIMESTAMPNS;
    stamp->cmsg_len = CMSG_LEN(sizeof arrived);
    memcpy(CMSG_DATA(stamp), &arrived, sizeof arrived);
    udp_control_read(&header, burst_ns, &datagram);
    return datagram.waited_ns;
}

/* Also one that was stopped for seconds knows that the path is not to blame. */
static void a_stopped_process_knows_how_long_it_stood(void **state) {
    (void)state;
    assert_int_equal(waited_ns(arrived_ns + 1000), 1000);
    assert_int_equal(waited_ns(arrived_ns + 5 * second_ns), 5 * second_ns);
}

static void a_clock_that_was_set_says_nothing(void **state) {
    (void)state;
    assert_int_equal(waited_ns(arrived_ns - 1), 0);
    assert_int_equal(waited_ns(arrived_ns + 3600 * second_ns), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stopped_process_knows_how_long_it_stood),
        cmocka_unit_test(a_clock_that_was_set_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
