/* Whoever notes is stopped after each of its instructions, as kill -9 may stop it: what can be read
 * then is true, or says nothing. */
#define _GNU_SOURCE
#include "channel_fixture.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "shm/starts_file.h"

enum { TURNS = 3, CALLS = 2, STEPS_MAX = 1 << 22 };

/* What the notes are about: the last of it that is over. */
enum moment { BEGUN = 1, FIRST_TAKEN, FIRST_STARTED, SECOND_TAKEN, SECOND_STARTED, MOMENTS = 8 };

struct stage {
    volatile uint64_t over; /* turn * MOMENTS + moment */
    struct te_starts_place *place;
};

/* The second call has the words of the first, or one of its own. */
static uint64_t call_of(uint64_t turn, int call) {
    return 5 + turn + (uint64_t)call * (turn % 2 == 0 ? 32 * TE_STARTS_WORDS : 40);
}

static uint32_t flow_of(uint64_t turn) {
    return (uint32_t)(turn * TE_STARTS_FLOWS);
}

static uint64_t number_of(uint64_t turn) {
    return 1000 + turn;
}

/* One flow after the other takes the place, and starts two calls. */
static void act(struct stage *stage, struct te_channel *channel) {
    for (uint64_t turn = 0; turn < TURNS; turn++) {
        const uint32_t flow = flow_of(turn);
        te_channel_begin_starts(channel, flow, number_of(turn));
        stage->over = turn * MOMENTS + BEGUN;
        for (int call = 0; call < CALLS; call++) {
            te_channel_note(channel, flow, call_of(turn, call), TE_TAKEN);
            stage->over++;
            te_channel_note(channel, flow, call_of(turn, call), TE_STARTED);
            stage->over++;
        }
    }
}

/* -1: nothing is known. */
static int state_of(const struct te_starts *starts, uint64_t call_id) {
    if (call_id > starts->newest) {
        return TE_UNSTARTED;
    }
    if (call_id / 32 + TE_STARTS_WORDS <= starts->newest / 32) {
        return -1;
    }
    return (int)(starts->words[call_id / 32 % TE_STARTS_WORDS] >> call_id % 32 * 2 & 3);
}

static bool is_true(const struct stage *stage, int call) {
    const uint64_t turn = stage->over / MOMENTS;
    const uint64_t moment = stage->over % MOMENTS;
    const uint64_t taken = (uint64_t)FIRST_TAKEN + 2 * (uint64_t)call;
    switch (state_of(&stage->place->starts, call_of(turn, call))) {
    case TE_UNSTARTED:
        return moment < taken;
    case TE_TAKEN:
        return moment + 1 >= taken;
    case TE_STARTED:
        return moment >= taken;
    default:
        return true;
    }
}

/* Returns whether anything can be read. */
static bool look(const struct stage *stage) {
    const struct te_starts_place *place = stage->place;
    uint64_t turn = stage->over / MOMENTS;
    if (place->flow == 0 || place->starts.newest == UINT64_MAX) {
        return false;
    }
    if (stage->over % MOMENTS == SECOND_STARTED && place->number == number_of(turn + 1)) {
        turn++; /* it has begun, and nothing is noted */
        assert_int_equal(place->starts.newest, 0);
    } else {
        assert_true(is_true(stage, 0));
        assert_true(is_true(stage, 1));
    }
    assert_int_equal(place->flow, (uint64_t)flow_of(turn) + 1);
    assert_int_equal(place->number, number_of(turn));
    return true;
}

static void test_every_moment_leaves_the_truth_or_nothing(void **state) {
    struct both *both = *state;
    int fd = memfd_create("starts", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, sizeof(struct te_starts_file)), 0);
    assert_int_equal(te_channel_keep_starts(both->application, fd, 0, both->why), TE_OK);
    struct te_starts_file *file = mmap(NULL, sizeof *file, PROT_READ, MAP_SHARED, fd, 0);
    struct stage *stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(file != MAP_FAILED && stage != MAP_FAILED);
    stage->place = &file->places[0];
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 && raise(SIGSTOP) == 0) {
            act(stage, both->application);
        }
        _exit(0);
    }
    int status = 0;
    int steps = 0;
    int readable = 0;
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status) && steps < STEPS_MAX) {
        readable += look(stage);
        steps++;
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
    }
    assert_true(WIFEXITED(status));
    munmap(file, sizeof *file);
    close(fd);
    const bool is_traced = steps > 0;
    const uint64_t over = stage->over;
    munmap(stage, sizeof *stage);
    if (!is_traced) {
        skip(); /* this sandbox lets nobody be stepped */
    }
    assert_int_equal(over, (TURNS - 1) * MOMENTS + SECOND_STARTED);
    assert_true(readable > 0 && readable < steps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CHANNEL_TEST(test_every_moment_leaves_the_truth_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
