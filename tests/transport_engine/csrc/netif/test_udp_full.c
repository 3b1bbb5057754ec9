/* A kernel that has no room for what the udp driver sends, now and then: it stays with the engine,
 * which is told to try again rather than to sleep, and arrives once. */
#define _GNU_SOURCE
#include "netif_fixture.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WAIT_MS = 2000, SENT_FIRST = 3 };

static int refusal; /* errno of the next calls; 0: none is refused */
static int messages_first; /* that are taken before that */

/* In place of the C library's. */
int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
    if (refusal != 0 && messages_first == 0) {
        errno = refusal;
        return -1;
    }
    if (refusal != 0 && count > (unsigned)messages_first) {
        count = (unsigned)messages_first;
        messages_first = 0;
    }
    return (int)syscall(SYS_sendmmsg, fd, messages, count, flags);
}

static struct netif *open_here(const char *arguments) {
    struct te_engine_config config = config_for("udp", ipv4_endpoint(1, 0));
    config.netif = arguments;
    return open_or_fail(&config);
}

static void expect(struct netif *to, int count) {
    struct netif_datagram datagrams[TE_BURST_MAX];
    struct pollfd pollfd = {.fd = to->fd, .events = POLLIN};
    for (int seen = 0; seen < count;) {
        assert_int_equal(poll(&pollfd, 1, WAIT_MS), 1);
        int received = to->ops->rx_burst(to, 0, datagrams, TE_BURST_MAX);
        for (int i = 0; i < received; i++, seen++) {
            assert_int_equal(datagrams[i].size_bytes, 1);
            assert_int_equal(datagrams[i].bytes[0], seen);
        }
    }
    assert_int_equal(poll(&pollfd, 1, 0), 0);
}

static void what_has_no_room_waits(int reason, const char *arguments, int first) {
    struct netif *from = open_here(arguments);
    struct netif *to = open_here("");
    struct netif_datagram sent[TE_BURST_MAX];
    uint8_t bytes[TE_BURST_MAX];
    for (int i = 0; i < TE_BURST_MAX; i++) {
        bytes[i] = (uint8_t)i;
        sent[i] = (struct netif_datagram){.local = from->local, .remote = to->local,
                                          .bytes = &bytes[i], .size_bytes = 1};
    }
    refusal = reason;
    messages_first = first;
    assert_false(from->ops->arm(from));
    assert_int_equal(from->ops->tx_burst(from, 0, sent, TE_BURST_MAX), first);
    assert_true(from->ops->arm(from));
    assert_int_equal(from->ops->tx_burst(from, 0, sent + first, TE_BURST_MAX - first), 0);
    assert_true(from->ops->arm(from));
    refusal = 0;
    const int left = TE_BURST_MAX - first;
    assert_int_equal(from->ops->tx_burst(from, 0, sent + first, left), left);
    assert_false(from->ops->arm(from));
    expect(to, TE_BURST_MAX);
    from->ops->close(from);
    to->ops->close(to);
}

static void test_a_full_socket(void **state) {
    (void)state;
    what_has_no_room_waits(EAGAIN, "no-segments", SENT_FIRST);
    what_has_no_room_waits(EAGAIN, "", 0);
}

static void test_a_full_card(void **state) {
    (void)state;
    what_has_no_room_waits(ENOBUFS, "no-segments", SENT_FIRST);
    what_has_no_room_waits(ENOBUFS, "", 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_socket),
        cmocka_unit_test(test_a_full_card),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
