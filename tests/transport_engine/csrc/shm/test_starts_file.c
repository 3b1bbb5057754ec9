/* A file that outlives the process: what is noted there, and which files are refused. */
#define _GNU_SOURCE
#include "channel_fixture.h"

#include "shm/starts_file.h"

enum { FLOW = 65536 + 9, NUMBER = 4711 };

static int file_of(size_t bytes) {
    int fd = memfd_create("starts", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    return fd;
}

static void test_what_is_noted_stands_in_the_file_alone(void **state) {
    struct both *both = *state;
    struct te_starts_file read;
    struct te_starts starts;
    int fd = file_of(sizeof read);
    te_channel_begin_starts(both->application, FLOW, NUMBER);
    assert_int_equal(te_channel_keep_starts(both->application, fd, 0, both->why), TE_OK);
    assert_int_equal(te_channel_starts(both->application, FLOW, 1, &starts), 0);
    te_channel_begin_starts(both->application, FLOW + 1, NUMBER);
    te_channel_note(both->application, FLOW + 1, 33, TE_STARTED);
    assert_int_equal(te_channel_starts(both->application, FLOW + 1, 1, &starts), 1);
    assert_false(channel_starts(both->engine, FLOW + 1, &starts));

    te_channel_close(both->application);
    both->application = NULL;
    assert_int_equal(pread(fd, &read, sizeof read, 0), (ssize_t)sizeof read);
    close(fd);
    assert_int_equal(read.magic, TE_STARTS_MAGIC);
    assert_int_equal(read.version, TE_STARTS_VERSION);
    assert_int_equal(read.flows, TE_STARTS_FLOWS);
    assert_int_equal(read.place_bytes, sizeof read.places[0]);
    const struct te_starts_place *place = &read.places[(FLOW + 1) % TE_STARTS_FLOWS];
    assert_int_equal(place->flow, FLOW + 2);
    assert_int_equal(place->number, NUMBER);
    assert_int_equal(place->starts.newest, 33);
    assert_int_equal(place->starts.words[1], TE_STARTED << 2);
    for (int i = 0; i < TE_STARTS_FLOWS; i++) {
        assert_true(&read.places[i] == place || read.places[i].flow == 0);
    }
}

static void test_what_stood_there_before_is_gone(void **state) {
    struct both *both = *state;
    struct te_starts_file read;
    int fd = file_of(sizeof read);
    memset(&read, 0xff, sizeof read);
    assert_int_equal(pwrite(fd, &read, sizeof read, 0), (ssize_t)sizeof read);
    assert_int_equal(te_channel_keep_starts(both->application, fd, 0, both->why), TE_OK);
    assert_int_equal(pread(fd, &read, sizeof read, 0), (ssize_t)sizeof read);
    close(fd);
    for (int i = 0; i < TE_STARTS_FLOWS; i++) {
        assert_int_equal(read.places[i].flow, 0);
    }
}

static void test_a_file_beside_the_channel_has_the_same(void **state) {
    struct both *both = *state;
    struct te_starts_file read;
    struct te_starts starts;
    int fd = file_of(sizeof read);
    te_channel_begin_starts(both->application, FLOW, NUMBER);
    te_channel_note(both->application, FLOW, 1, TE_STARTED);
    assert_int_equal(te_channel_keep_starts(both->application, fd, 1, both->why), TE_OK);
    te_channel_note(both->application, FLOW, 2, TE_STARTED); /* the file does not have it */
    te_channel_begin_starts(both->application, FLOW + 1, NUMBER);
    te_channel_note(both->application, FLOW + 1, 1023, TE_TAKEN);
    te_channel_note(both->application, FLOW + 1, 1023, TE_STARTED);
    assert_int_equal(pread(fd, &read, sizeof read, 0), (ssize_t)sizeof read);
    close(fd);
    assert_true(channel_starts(both->engine, FLOW, &starts));
    assert_int_equal(starts.newest, 2);
    assert_int_equal(read.places[FLOW % TE_STARTS_FLOWS].flow, 0);
    assert_true(channel_starts(both->engine, FLOW + 1, &starts));
    const struct te_starts_place *place = &read.places[(FLOW + 1) % TE_STARTS_FLOWS];
    assert_int_equal(place->number, NUMBER);
    assert_memory_equal(&place->starts, &starts, sizeof starts);
}

static void assert_refused(struct both *both, int fd, const char *reason) {
    assert_int_equal(te_channel_keep_starts(both->application, fd, 0, both->why), TE_E_INVALID);
    assert_non_null(strstr(both->why, reason));
}

static void test_other_files_are_refused_and_change_nothing(void **state) {
    struct both *both = *state;
    struct te_starts starts;
    int small = file_of(sizeof(struct te_starts_file) - 1);
    int large = file_of(sizeof(struct te_starts_file) + 1);
    int no_memory = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    te_channel_begin_starts(both->application, FLOW, NUMBER);
    assert_refused(both, small, "its size is another");
    assert_refused(both, large, "its size is another");
    assert_refused(both, no_memory, "it is not in memory");
    assert_int_equal(te_channel_keep_starts(both->application, -1, 0, both->why), TE_E_SYSTEM);
    te_channel_note(both->application, FLOW, 5, TE_STARTED);
    assert_true(channel_starts(both->engine, FLOW, &starts));
    assert_int_equal(starts.newest, 5);
    close(small);
    close(large);
    close(no_memory);
}

static void test_a_channel_has_one_file(void **state) {
    struct both *both = *state;
    int fd = file_of(sizeof(struct te_starts_file));
    assert_int_equal(te_channel_keep_starts(both->application, fd, 0, both->why), TE_OK);
    assert_refused(both, fd, "has a file already");
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CHANNEL_TEST(test_what_is_noted_stands_in_the_file_alone),
        CHANNEL_TEST(test_a_file_beside_the_channel_has_the_same),
        CHANNEL_TEST(test_what_stood_there_before_is_gone),
        CHANNEL_TEST(test_other_files_are_refused_and_change_nothing),
        CHANNEL_TEST(test_a_channel_has_one_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
