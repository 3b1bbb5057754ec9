/* An engine's life when memory and descriptors run out: each request for some fails in turn, and
 * then what was asked for is refused with a reason, and nothing is left behind.
 *
 * The linker has the core ask the functions below (meson.build names them); leaks of what malloc
 * gave are the address sanitizer's to find.
 */
#define _GNU_SOURCE
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "own_address.h"
#include "transport_engine.h"

enum { PATIENCE_S = 60, FDS_MAX = 256, PORT = 31711 };

static int requests_left;   /* that are granted; -1: all are */
static size_t mapped_bytes; /* by the core, and not given back */

/* Whether this request is the one that fails. */
static bool is_refused(int reason) {
    if (requests_left < 0) {
        return false;
    }
    errno = reason;
    return requests_left-- == 0;
}

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes) {
    return is_refused(ENOMEM) ? NULL : __real_malloc(bytes);
}

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes) {
    return is_refused(ENOMEM) ? NULL : __real_calloc(count, bytes);
}

void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    return is_refused(ENOMEM) ? NULL : __real_aligned_alloc(alignment, bytes);
}

void *__real_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    void *mapped = is_refused(ENOMEM) ? MAP_FAILED
                                      : __real_mmap64(at, bytes, protection, flags, fd, offset);
    bool is_new = mapped != MAP_FAILED && (flags & MAP_FIXED) == 0;
    mapped_bytes += is_new ? bytes : 0;
    return mapped;
}

int __real_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes) {
    mapped_bytes -= bytes;
    return __real_munmap(at, bytes);
}

int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_create1(int flags) {
    return is_refused(EMFILE) ? -1 : __real_epoll_create1(flags);
}

int __real_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event) {
    return is_refused(ENOSPC) ? -1 : __real_epoll_ctl(epoll_fd, operation, fd, event);
}

int __real_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags) {
    return is_refused(EMFILE) ? -1 : __real_eventfd(count, flags);
}

int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags) {
    return is_refused(EMFILE) ? -1 : __real_memfd_create(name, flags);
}

int __real_fallocate64(int fd, int mode, off_t offset, off_t bytes);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t bytes);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t bytes) {
    return is_refused(ENOSPC) ? -1 : __real_fallocate64(fd, mode, offset, bytes);
}

int __real_socketpair(int domain, int type, int protocol, int fds[2]);
int __wrap_socketpair(int domain, int type, int protocol, int fds[2]);
int __wrap_socketpair(int domain, int type, int protocol, int fds[2]) {
    return is_refused(EMFILE) ? -1 : __real_socketpair(domain, type, protocol, fds);
}

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol) {
    return is_refused(EMFILE) ? -1 : __real_socket(domain, type, protocol);
}

static int open_descriptors(void) {
    int count = 0;
    for (int fd = 0; fd < FDS_MAX; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static struct te_completion ask(struct te_engine *engine, struct te_command command) {
    struct te_completion done;
    assert_int_equal(te_engine_command(engine, &command), TE_OK);
    do {
        te_engine_poll(engine);
    } while (te_engine_completion(engine, &done) == TE_E_AGAIN);
    return done;
}

/* An application comes, listens, and calls itself as far as it is let. */
static void use(struct te_engine *engine) {
    char why[TE_WHY_BYTES] = "";
    struct te_channel *channel = NULL;
    struct te_endpoint own;
    const struct te_completion done =
        ask(engine, (struct te_command){.op = TE_ATTACH, .ring_bytes = TE_RING_BYTES_MIN});
    if (done.error != TE_OK) {
        assert_int_equal(done.memory_fd, -1);
        assert_int_equal(done.doorbell_fd, -1);
        return;
    }
    if (te_channel_open(done.memory_fd, done.doorbell_fd, &channel, why) != TE_OK) {
        assert_string_not_equal(why, "");
        ask(engine, (struct te_command){.op = TE_DETACH, .channel = done.value});
        return;
    }
    te_engine_local(engine, &own);
    own.port = PORT;
    ask(engine, (struct te_command){.op = TE_LISTEN, .channel = done.value,
                                    .endpoint.port = PORT});
    ask(engine, (struct te_command){.op = TE_CONNECT, .channel = done.value, .endpoint = own});
    for (int i = 0; i < 20; i++) {
        te_engine_poll(engine);
        te_engine_arm(engine);
    }
    ask(engine, (struct te_command){.op = TE_DETACH, .channel = done.value});
    te_channel_close(channel);
}

static void live(struct te_engine_config *config, bool has_team) {
    char why[TE_WHY_BYTES] = "";
    struct te_engine *engine = NULL;
    config->team = NULL;
    if (has_team && te_team_open(2, &config->team, why) != TE_OK) {
        assert_string_not_equal(why, "");
        return;
    }
    if (te_engine_open(config, &engine, why) == TE_OK) {
        use(engine);
        te_engine_close(engine);
    } else {
        assert_string_not_equal(why, "");
    }
    if (config->team != NULL) {
        te_team_close(config->team);
    }
}

static void run_out(const char *driver, bool has_team) {
    struct te_engine_config config;
    const int open_before = open_descriptors();
    te_engine_config_init(&config);
    config.driver = driver;
    config.pool_bytes = 64 << 20;
    config.queues = has_team ? 2 : 0;
    own_address(config.local.address);
    alarm(PATIENCE_S); /* one that waits for what was refused would wait for ever */
    bool was_short = true;
    for (int granted = 0; was_short; granted++) {
        requests_left = granted;
        live(&config, has_team);
        was_short = requests_left < 0;
        requests_left = -1;
        assert_int_equal(open_descriptors(), open_before);
        assert_int_equal(mapped_bytes, 0);
    }
    alarm(0);
}

static void an_engine_in_memory(void **state) {
    (void)state;
    run_out("loopback", false);
}

static void an_engine_over_the_kernel(void **state) {
    (void)state;
    run_out("udp", false);
}

static void an_engine_of_a_team(void **state) {
    (void)state;
    run_out("udp", true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_engine_in_memory),
        cmocka_unit_test(an_engine_over_the_kernel),
        cmocka_unit_test(an_engine_of_a_team),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
