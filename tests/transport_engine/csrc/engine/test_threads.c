/* An engine that runs in its own thread, and applications in theirs, which attach, listen, connect,
 * exchange messages asleep or hot, and detach with messages under way. For the thread sanitizer.
 *
 * It knows memory by its address, and two mappings of one channel would be two memories to it. So
 * here the two ends share one: mapping.c is left out, and what stands below takes its place. */
#define _GNU_SOURCE
#include "test.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "shm/mapping.h"
#include "transport_engine.h"

enum {
    APPLICATIONS = 3,
    ROUNDS = 12,
    MESSAGES = 150,
    SIZE_MAX_BYTES = 3000,
    HEADS = 16,
    PORT = 8000,
    PATIENCE_MS = 20000,
    MAPPINGS_MAX = 16
};

/* ---- one mapping for both ends ---- */

struct shared_mapping {
    struct mapping mapping;
    ino_t inode;
    int users; /* 0: free */
};

static struct shared_mapping mappings[MAPPINGS_MAX];
static pthread_mutex_t mappings_lock = PTHREAD_MUTEX_INITIALIZER;

bool mapping_ring_bytes_valid(uint64_t ring_bytes) {
    return ring_bytes == TE_RING_BYTES_MIN;
}

uint64_t mapping_total_bytes(uint64_t ring_bytes) {
    return CHANNEL_HEADER_BYTES + 2 * ring_bytes;
}

static uint8_t *map(int fd, uint8_t *at, uint64_t offset_bytes, uint64_t bytes) {
    const int place = at != NULL ? MAP_FIXED : 0;
    void *mapped = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | place, fd,
                        (off_t)offset_bytes);
    return mapped == MAP_FAILED ? NULL : mapped;
}

static uint8_t *map_ring(int fd, uint64_t offset_bytes, uint64_t bytes) {
    uint8_t *at = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const bool is_mapped = map(fd, at, offset_bytes, bytes) != NULL
                           && map(fd, at + bytes, offset_bytes, bytes) != NULL;
    return is_mapped ? at : NULL;
}

static struct shared_mapping *find_mapping(ino_t inode) {
    struct shared_mapping *free_place = NULL;
    for (int i = 0; i < MAPPINGS_MAX; i++) {
        if (mappings[i].users > 0 && mappings[i].inode == inode) {
            return &mappings[i];
        }
        free_place = mappings[i].users == 0 ? &mappings[i] : free_place;
    }
    return free_place;
}

int mapping_open(struct mapping *mapping, int memory_fd, uint64_t ring_bytes,
                 enum mapping_side side, char *why) {
    struct stat status;
    (void)side, (void)why;
    if (fstat(memory_fd, &status) != 0) {
        return TE_E_SYSTEM;
    }
    pthread_mutex_lock(&mappings_lock);
    struct shared_mapping *place = find_mapping(status.st_ino);
    if (place->users++ == 0) {
        place->inode = status.st_ino;
        place->mapping = (struct mapping){
            .header = (void *)map(memory_fd, NULL, 0, CHANNEL_HEADER_BYTES),
            .tx = map_ring(memory_fd, CHANNEL_HEADER_BYTES, ring_bytes),
            .rx = map_ring(memory_fd, CHANNEL_HEADER_BYTES + ring_bytes, ring_bytes),
            .ring_bytes = ring_bytes,
        };
    }
    *mapping = place->mapping;
    pthread_mutex_unlock(&mappings_lock);
    return TE_OK;
}

void mapping_close(struct mapping *mapping) {
    pthread_mutex_lock(&mappings_lock);
    for (int i = 0; i < MAPPINGS_MAX; i++) {
        if (mappings[i].users > 0 && mappings[i].mapping.header == mapping->header
            && --mappings[i].users == 0) {
            munmap(mapping->header, CHANNEL_HEADER_BYTES);
            munmap(mapping->tx, 2 * mapping->ring_bytes);
            munmap(mapping->rx, 2 * mapping->ring_bytes);
        }
    }
    pthread_mutex_unlock(&mappings_lock);
    *mapping = (struct mapping){0};
}

/* ---- the control plane: one command at a time, from whichever thread ---- */

static struct te_engine *engine;
static pthread_mutex_t control_lock = PTHREAD_MUTEX_INITIALIZER;

static struct te_completion ask(struct te_command request) {
    struct te_completion completion;
    pthread_mutex_lock(&control_lock);
    assert_int_equal(te_engine_command(engine, &request), TE_OK);
    while (te_engine_completion(engine, &completion) == TE_E_AGAIN) {
        struct pollfd wait = {.fd = te_engine_completion_fd(engine), .events = POLLIN};
        assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
    }
    pthread_mutex_unlock(&control_lock);
    assert_int_equal(completion.op, request.op);
    return completion;
}

/* ---- applications ---- */

/* Long enough for the engine to fall asleep. */
static void rest(void) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

struct application {
    pthread_t thread;
    int number;
    struct te_channel *channel;
    uint32_t index;
    uint32_t opened; /* 0: not yet; handles are never 0 */
    uint32_t received;
    bool is_hot;
    struct te_record heads[HEADS];
    uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    uint8_t packed[sizeof(struct te_record) + SIZE_MAX_BYTES + TE_RECORD_ALIGN];
};

static uint32_t size_of(uint32_t number) {
    return (uint32_t)((number * 2654435761ULL) % SIZE_MAX_BYTES);
}

static void take(struct application *application, const struct te_record *head,
                 const uint8_t *payload) {
    if (head->kind == TE_FLOW_OPENED) {
        application->opened = head->flow;
    } else if (head->kind == TE_REQUEST) {
        assert_int_equal(head->size_bytes, size_of((uint32_t)head->call_id));
        for (uint32_t i = 0; i < head->size_bytes; i++) {
            assert_int_equal(payload[i], (uint8_t)(head->call_id + i));
        }
        application->received++;
    }
}

/* Takes what came; where nothing did, sleeps for it or, hot, looks again. */
static void receive(struct application *application, int wakes) {
    struct te_channel *channel = application->channel;
    const int count = te_channel_receive(channel, application->heads, HEADS, application->payload,
                                         sizeof application->payload);
    const uint8_t *at = application->payload;
    assert_true(count >= 0);
    for (int i = 0; i < count; at += application->heads[i++].size_bytes) {
        take(application, &application->heads[i], at);
    }
    te_channel_ring(channel);
    if (count == 0 && !application->is_hot && te_channel_arm(channel, wakes) == 0) {
        struct pollfd wait = {.fd = te_channel_fd(channel), .events = POLLIN};
        assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
        assert_int_equal(te_channel_awake(channel), TE_OK);
    }
}

static bool send_number(struct application *application, uint32_t number) {
    const uint32_t size_bytes = size_of(number);
    const struct te_record record = {.kind = TE_REQUEST,
                                     .call_id = number,
                                     .flow = application->opened,
                                     .flags = TE_FIRST | TE_LAST,
                                     .size_bytes = size_bytes,
                                     .total_bytes = size_bytes};
    memcpy(application->packed, &record, sizeof record);
    for (uint32_t i = 0; i < size_bytes; i++) {
        application->packed[sizeof record + i] = (uint8_t)(number + i);
    }
    const uint64_t stride = (sizeof record + size_bytes + 7) / 8 * 8;
    const int64_t taken = te_channel_send(application->channel, application->packed, stride);
    assert_true(taken >= 0);
    te_channel_ring(application->channel);
    return taken > 0;
}

static void attach(struct application *application) {
    char why[TE_WHY_BYTES];
    const uint16_t port = (uint16_t)(PORT + application->number);
    struct te_completion done =
        ask((struct te_command){.op = TE_ATTACH, .ring_bytes = TE_RING_BYTES_MIN});
    assert_int_equal(done.error, TE_OK);
    application->index = done.value;
    application->opened = application->received = 0;
    assert_int_equal(
        te_channel_open(done.memory_fd, done.doorbell_fd, &application->channel, why), TE_OK);
    done = ask((struct te_command){.op = TE_LISTEN, .channel = application->index,
                                   .endpoint = {.port = port}});
    assert_int_equal(done.error, TE_OK);
    struct te_command connect = {.op = TE_CONNECT, .channel = application->index, .token = 1};
    te_engine_local(engine, &connect.endpoint);
    connect.endpoint.port = port;
    assert_int_equal(ask(connect).error, TE_OK);
    while (application->opened == 0) {
        receive(application, TE_WAKE_READABLE);
    }
}

/* Every third round detaches with messages under way. */
static void *live(void *argument) {
    struct application *application = argument;
    for (int round = 0; round < ROUNDS; round++) {
        struct te_stats stats;
        uint32_t sent = 0;
        application->is_hot = round % 2 == 1;
        rest();
        attach(application);
        const uint32_t enough = round % 3 == 2 ? MESSAGES / 2 : MESSAGES;
        while (application->received < enough) {
            bool is_full = false;
            while (sent < MESSAGES && !is_full) {
                is_full = !send_number(application, sent);
                sent += !is_full;
            }
            receive(application, TE_WAKE_READABLE | (is_full ? TE_WAKE_WRITABLE : 0));
        }
        assert_int_equal(ask((struct te_command){.op = TE_STATS, .stats = &stats}).error, TE_OK);
        te_channel_close(application->channel);
        const struct te_command detach = {.op = TE_DETACH, .channel = application->index};
        assert_int_equal(ask(detach).error, TE_OK);
    }
    return NULL;
}

static void *run_engine(void *argument) {
    (void)argument;
    te_engine_run(engine);
    return NULL;
}

static void test_engine_and_applications_share_nothing_unordered(void **state) {
    static struct application applications[APPLICATIONS];
    struct te_engine_config config;
    struct te_stats stats;
    char why[TE_WHY_BYTES];
    pthread_t engine_thread;
    (void)state;
    te_engine_config_init(&config);
    config.driver = "loopback";
    config.pool_bytes = 16 << 20;
    config.message_bytes_max = 4 << 20;
    config.flows_max = 64;
    config.spin_ns = 20000; /* so that the engine sleeps, too */
    assert_int_equal(te_engine_open(&config, &engine, why), TE_OK);
    assert_int_equal(pthread_create(&engine_thread, NULL, run_engine, NULL), 0);
    for (int i = 0; i < APPLICATIONS; i++) {
        applications[i].number = i;
        assert_int_equal(pthread_create(&applications[i].thread, NULL, live, &applications[i]), 0);
    }
    for (int i = 0; i < APPLICATIONS; i++) {
        pthread_join(applications[i].thread, NULL);
    }
    assert_int_equal(ask((struct te_command){.op = TE_STATS, .stats = &stats}).error, TE_OK);
    assert_int_equal(stats.channels_open, 0);
    assert_int_equal(stats.channels_quarantined, 0);
    for (int i = 0; i < PATIENCE_MS && stats.sleeps == 0; i++) { /* on a busy machine it yields */
        rest();
        assert_int_equal(ask((struct te_command){.op = TE_STATS, .stats = &stats}).error, TE_OK);
    }
    assert_true(stats.sleeps > 0);
    te_engine_stop(engine);
    pthread_join(engine_thread, NULL);
    te_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_and_applications_share_nothing_unordered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
