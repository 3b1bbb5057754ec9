/* An application that dies at one instruction of its choice, and the tracer that kills it there.
 *
 * stepped SOCKET: reads lines "PHASE LEVEL STEPS" (attach send receive detach; empty half full),
 * forks an application that comes to the beginning of the phase, lets it take so many instructions,
 * and kills it. Answers each with a line {"steps": taken, "is_over": whether the phase ended}.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"
#include "shm/layout.h"

enum {
    STEPPED_RING_BYTES = TE_RING_BYTES_MIN,
    PAYLOAD_BYTES = 1000,
    STRIDE_BYTES = sizeof(struct te_record) + PAYLOAD_BYTES,
    QUIET_MS = 20, /* without a move of the engine: what it holds for us is full */
    FILL_MS = 5000,
    HEADS = 8
};

static_assert(PAYLOAD_BYTES % TE_RECORD_ALIGN == 0, "a record without padding");

struct stepped {
    struct guest guest;
    struct te_channel *channel;
    const struct channel_header *header;
    struct loop loop;
};

typedef void phase_function(struct stepped *stepped);

static void nap(void) {
    const struct timespec millisecond = {0, 1000000};
    nanosleep(&millisecond, NULL);
}

static int64_t send_one(struct stepped *stepped) {
    static uint8_t packed[STRIDE_BYTES];
    const struct te_record record = {.kind = TE_REQUEST, .flags = TE_FIRST | TE_LAST,
                                     .flow = stepped->loop.near, .size_bytes = PAYLOAD_BYTES,
                                     .total_bytes = PAYLOAD_BYTES};
    memcpy(packed, &record, sizeof record);
    return te_channel_send(stepped->channel, packed, sizeof packed);
}

/* ---- the phases, each from its first instruction to its last ---- */

static void attach(struct stepped *stepped, const char *socket_path) {
    if (!guest_attach(&stepped->guest, socket_path, STEPPED_RING_BYTES)) {
        die("the engine lets nobody in");
    }
    void *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, stepped->guest.memory_fd, 0);
    stepped->header = page == MAP_FAILED ? NULL : page;
    stepped->channel = guest_open_channel(&stepped->guest);
}

static void send_phase(struct stepped *stepped) {
    send_one(stepped);
    te_channel_ring(stepped->channel);
}

static void receive_phase(struct stepped *stepped) {
    static uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    struct te_record heads[HEADS];
    te_channel_receive(stepped->channel, heads, HEADS, payload, sizeof payload);
    te_channel_ring(stepped->channel);
}

static void detach_phase(struct stepped *stepped) {
    te_channel_close(stepped->channel);
    guest_leave(&stepped->guest);
}

/* ---- what stands in the rings before ---- */

/* Half: the ring from the engine holds half of what it can. Full: both rings, and all between. */
static void fill(struct stepped *stepped, const char *level) {
    const bool is_full = strcmp(level, "full") == 0;
    const uint64_t until_ns = now_ns() + FILL_MS * UINT64_C(1000000);
    uint64_t moved_ns = now_ns();
    uint64_t sent_bytes = 0;
    if (strcmp(level, "empty") == 0) {
        return;
    }
    while (now_ns() < until_ns && (is_full || sent_bytes < STEPPED_RING_BYTES / 2)) {
        if (send_one(stepped) > 0) {
            sent_bytes += STRIDE_BYTES;
            moved_ns = now_ns();
        } else if (now_ns() - moved_ns > QUIET_MS * UINT64_C(1000000)) {
            return;
        } else {
            te_channel_ring(stepped->channel);
            nap();
        }
    }
    te_channel_ring(stepped->channel);
    while (!is_full && now_ns() < until_ns && atomic_load(&stepped->header->rx_tail) < sent_bytes) {
        nap();
    }
}

/* Runs in the application; its two stops are the marks between which the tracer counts. */
static _Noreturn void live(const char *socket_path, const char *phase, const char *level) {
    static struct stepped stepped;
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
        die("this system lets nobody trace");
    }
    if (strcmp(phase, "attach") == 0) {
        raise(SIGSTOP);
        attach(&stepped, socket_path);
        raise(SIGSTOP);
        _exit(0);
    }
    attach(&stepped, socket_path);
    if (!guest_loop(&stepped.guest, stepped.channel, &stepped.loop)) {
        die("no flow");
    }
    fill(&stepped, level);
    phase_function *body = strcmp(phase, "send") == 0      ? send_phase
                           : strcmp(phase, "receive") == 0 ? receive_phase
                                                           : detach_phase;
    raise(SIGSTOP);
    body(&stepped);
    raise(SIGSTOP);
    _exit(0);
}

/* ---- the tracer ---- */

/* Waits for the application's next stop; false: it ended by itself. */
static bool await_stop(pid_t pid, int signal_number) {
    int status = 0;
    if (waitpid(pid, &status, 0) != pid) {
        die("the application is lost");
    }
    if (WIFEXITED(status)) {
        fprintf(stderr, "the application ended with %d\n", WEXITSTATUS(status));
        exit(2);
    }
    return WIFSTOPPED(status) && WSTOPSIG(status) == signal_number;
}

static void kill_at(const char *socket_path, const char *phase, const char *level, long steps) {
    const pid_t pid = fork();
    if (pid == 0) {
        live(socket_path, phase, level);
    }
    if (pid < 0 || !await_stop(pid, SIGSTOP)) {
        die("no application to trace");
    }
    ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(uintptr_t)PTRACE_O_EXITKILL);
    long taken = 0;
    bool is_over = false;
    while (taken < steps && !is_over) {
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0) {
            die("no step");
        }
        is_over = !await_stop(pid, SIGTRAP);
        taken++;
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    printf("{\"steps\": %ld, \"is_over\": %s}\n", taken, is_over ? "true" : "false");
    fflush(stdout);
}

int main(int argc, char **argv) {
    char phase[16];
    char level[16];
    long steps = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: stepped SOCKET\n");
        return 2;
    }
    while (scanf("%15s %15s %ld", phase, level, &steps) == 3) {
        kill_at(argv[1], phase, level, steps);
    }
    return 0;
}
