/* Sockets where virtual devices are to listen: those of the dead go, and nothing else does. */
#define _GNU_SOURCE /* mkdtemp */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "netif/dpdk_sockets.h"

enum { LINE_BYTES = 512 };

static char folder[] = "/tmp/te-sockets-XXXXXX";
static char path[sizeof folder + 8];

static int set_up(void **state) {
    (void)state;
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* A descriptor of a socket there. */
static int bind_there(int type) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    strcpy(name.sun_path, path);
    int fd = socket(AF_UNIX, type, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    return fd;
}

/* Whether the path is there after clearing for a line in which %s stands for it. */
static bool stays(const char *line) {
    static struct arguments arguments;
    char text[LINE_BYTES];
    const char *place = strstr(line, "%s");
    assert_non_null(place);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(place - line), line, path, place + 2);
    arguments_init(&arguments);
    assert_null(arguments_split(&arguments, text));
    dpdk_sockets_clear(&arguments);
    return access(path, F_OK) == 0;
}

static void test_sockets_of_the_dead_go_where_a_device_listens(void **state) {
    (void)state;
    static const char *const lines[] = {
        "--vdev=net_memif0,role=server,socket=%s,socket-abstract=no",
        "--in-memory --vdev net_memif0,socket=%s,role=server --no-pci",
        "--vdev=net_vhost0,iface=%s",
        "--vdev=net_vhost0,iface=%s,client=0,queues=2",
        "--vdev=net_null0 --vdev=net_virtio_user0,server=1,path=%s",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        close(bind_there(i == 0 ? SOCK_SEQPACKET : SOCK_STREAM));
        assert_false(stays(lines[i]));
    }
}

static void test_sockets_of_who_connects_stay(void **state) {
    (void)state;
    close(bind_there(SOCK_STREAM));
    assert_true(stays("--vdev=net_memif0,role=client,socket=%s"));
    assert_true(stays("--vdev=net_memif0,socket=%s"));
    assert_true(stays("--vdev=net_vhost0,iface=%s,client=1"));
    assert_true(stays("--vdev=net_virtio_user0,path=%s"));
    assert_true(stays("--vdev=net_null0,socket=%s,role=server,iface=%s"));
    assert_true(stays("--log=net_vhost0,iface=%s"));
    assert_true(stays("iface=%s --vdev"));
}

/* Neither the link, nor what it names. */
static void test_a_link_to_a_socket_of_the_dead_stays(void **state) {
    (void)state;
    char dead[sizeof path + 8];
    snprintf(dead, sizeof dead, "%s-dead", path);
    close(bind_there(SOCK_STREAM));
    assert_int_equal(rename(path, dead), 0);
    assert_int_equal(symlink(dead, path), 0);
    assert_true(stays("--vdev=net_vhost0,iface=%s"));
    assert_int_equal(unlink(dead), 0);
}

static void test_sockets_of_other_users_stay(void **state) {
    (void)state;
    close(bind_there(SOCK_STREAM));
    if (chown(path, geteuid() + 1, (gid_t)-1) != 0) {
        skip(); /* only root can make one */
    }
    assert_true(stays("--vdev=net_vhost0,iface=%s"));
}

static void test_sockets_of_the_living_stay_and_hear_nothing(void **state) {
    (void)state;
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        int fd = bind_there((is_stream ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_NONBLOCK);
        assert_int_equal(listen(fd, 1), 0);
        assert_true(stays("--vdev=net_memif0,role=server,socket=%s"));
        assert_int_equal(accept(fd, NULL, NULL), -1);
        close(fd);
        unlink(path);
    }
}

static void test_a_listener_is_found_and_hears_nothing(void **state) {
    (void)state;
    char other[DPDK_SOCKET_PATH_BYTES] = "";
    strcpy(other, path);
    assert_false(dpdk_sockets_has_listener(other));
    int fd = bind_there(SOCK_STREAM | SOCK_NONBLOCK);
    int next = dup(fd);
    close(next);
    assert_int_equal(listen(fd, 1), 0);
    assert_true(dpdk_sockets_has_listener(other));
    assert_int_equal(accept(fd, NULL, NULL), -1);
    assert_int_equal(dup(fd), next); /* no descriptor is left open */
    close(next);
    close(fd);
    assert_false(dpdk_sockets_has_listener(other));
}

static void test_the_other_side_is_where_virtio_user_connects(void **state) {
    (void)state;
    char other[DPDK_SOCKET_PATH_BYTES];
    memset(other, 'x', sizeof other);
    assert_true(dpdk_sockets_other_side("path=/run/a,queues=2", other));
    assert_string_equal(other, "/run/a");
    assert_true(dpdk_sockets_other_side("queues=2,path=/run/b", other));
    assert_string_equal(other, "/run/b");
    assert_false(dpdk_sockets_other_side("path=/run/a,server=1", other));
    assert_false(dpdk_sockets_other_side("queues=2", other));
    assert_false(dpdk_sockets_other_side("path=,queues=2", other));
}

static void test_what_is_no_socket_stays(void **state) {
    (void)state;
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_true(stays("--vdev=net_vhost0,iface=%s"));
}

static void test_a_path_too_long_for_a_socket_is_let_be(void **state) {
    (void)state;
    char line[LINE_BYTES / 2];
    memset(line, 'x', sizeof line);
    memcpy(line, "--vdev=net_vhost0,iface=%s/", 27);
    line[sizeof line - 1] = '\0';
    close(bind_there(SOCK_STREAM));
    assert_true(stays(line));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sockets_of_the_dead_go_where_a_device_listens,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sockets_of_who_connects_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_link_to_a_socket_of_the_dead_stays, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_sockets_of_other_users_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sockets_of_the_living_stay_and_hear_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_listener_is_found_and_hears_nothing, set_up,
                                        tear_down),
        cmocka_unit_test(test_the_other_side_is_where_virtio_user_connects),
        cmocka_unit_test_setup_teardown(test_what_is_no_socket_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_path_too_long_for_a_socket_is_let_be, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
