/* Both ends of one channel in this process, and a hostile application's view of its memory.
 *
 * For the tests of this folder; each includes it once, after defining _GNU_SOURCE.
 */
#ifndef SHM_CHANNEL_FIXTURE_H
#define SHM_CHANNEL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "shm/channel.h"
#include "shm/layout.h"

enum { RING_BYTES = TE_RING_BYTES_MIN, PIECE = TE_RECORD_PAYLOAD_MAX, HEADS = 64 };

struct both {
    struct channel *engine;
    struct te_channel *application;
    uint8_t *shared; /* a hostile application's own view of everything */
    int hostile_fd;
    char why[TE_WHY_BYTES];
};

void te_check_failed(const char *claim, const char *file, int line) {
    mock_assert(0, claim, file, line);
    abort();
}

static inline int setup(void **state) {
    static struct both both;
    int memory_fd = -1;
    int doorbell_fd = -1;
    both = (struct both){0};
    assert_int_equal(
        channel_create(RING_BYTES, &both.engine, &memory_fd, &doorbell_fd, both.why), TE_OK);
    both.hostile_fd = fcntl(memory_fd, F_DUPFD_CLOEXEC, 0);
    both.shared = mmap(NULL, CHANNEL_HEADER_BYTES + 2 * RING_BYTES, PROT_READ | PROT_WRITE,
                       MAP_SHARED, memory_fd, 0);
    assert_true(both.shared != MAP_FAILED);
    assert_int_equal(te_channel_open(memory_fd, doorbell_fd, &both.application, both.why), TE_OK);
    *state = &both;
    return 0;
}

static inline int teardown(void **state) {
    struct both *both = *state;
    te_channel_close(both->application);
    channel_destroy(both->engine);
    munmap(both->shared, CHANNEL_HEADER_BYTES + 2 * RING_BYTES);
    close(both->hostile_fd);
    return 0;
}

static inline struct channel_header *header_of(struct both *both) {
    return (struct channel_header *)(void *)both->shared;
}

static inline struct te_record record_of(uint8_t kind, uint32_t size_bytes) {
    return (struct te_record){
        .call_id = size_bytes,
        .kind = kind,
        .flags = TE_FIRST | TE_LAST,
        .size_bytes = size_bytes,
        .total_bytes = size_bytes,
    };
}

static inline uint64_t stride(uint32_t size_bytes) {
    return (sizeof(struct te_record) + size_bytes + 7) / 8 * 8;
}

static inline int64_t send_sized(struct te_channel *channel, uint32_t size_bytes, uint8_t fill) {
    static uint8_t packed[sizeof(struct te_record) + PIECE + 8];
    const struct te_record record = record_of(TE_REQUEST, size_bytes);
    memcpy(packed, &record, sizeof record);
    memset(packed + sizeof record, fill, size_bytes);
    return te_channel_send(channel, packed, stride(size_bytes));
}

static inline bool readable(int fd) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, 0) == 1;
}

/* Sends one record through the engine's end; false when the ring is full. */
static inline bool engine_send(struct channel *channel, uint32_t size_bytes, uint8_t fill) {
    int error = TE_E_INVALID;
    struct te_record *record = channel_reserve(channel, size_bytes, &error);
    assert_int_equal(error, TE_OK);
    if (record == NULL) {
        return false;
    }
    *record = record_of(TE_REPLY, size_bytes);
    memset(record + 1, fill, size_bytes);
    channel_commit(channel, size_bytes);
    return true;
}

#define CHANNEL_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
