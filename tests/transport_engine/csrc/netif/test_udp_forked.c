/* The udp driver where a forked child has its sockets, too: what is closed here then is not closed
 * for the kernel. */
#define _GNU_SOURCE
#include "netif_fixture.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_readable(const struct netif *netif) {
    struct pollfd pollfd = {.fd = netif->fd, .events = POLLIN};
    return poll(&pollfd, 1, 0) == 1;
}

static struct netif *open_one(void) {
    const struct te_engine_config config = config_for("udp", ipv4_endpoint(1, 0));
    return open_or_fail(&config);
}

static uint16_t find_free_port(void) {
    struct netif *netif = open_one();
    const uint16_t port = netif->local.port;
    netif->ops->close(netif);
    return port;
}

static void test_a_port_that_was_given_up_wakes_nobody(void **state) {
    (void)state;
    const uint16_t port = find_free_port();
    struct netif *netif = open_one();
    struct netif *client = open_one();
    assert_int_equal(netif->ops->listen(netif, port), TE_OK);
    const pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    assert_true(child > 0);
    netif->ops->unlisten(netif, port);
    const int sent = send_one(client, client->local.port, ipv4_endpoint(1, port), "late");
    const bool is_awake = is_readable(netif);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(sent, 1);
    assert_false(is_awake);
    client->ops->close(client);
    netif->ops->close(netif);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_port_that_was_given_up_wakes_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
