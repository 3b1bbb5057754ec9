/* The thread that drives generators, and engines that have none of their own, by turns. */
#define _GNU_SOURCE /* ppoll */

#include <poll.h>
#include <sched.h>
#include <time.h>

#include "msggen/msggen.h"

enum drive_constant {
    POLLS_BEFORE_YIELD = 1,
    SLEEP_NS = 10000000 /* at most, so that the time that is given is kept */
};

/* Everybody's turn. Returns what moved, or an error. */
static int turn(const struct te_msggen_parts *parts) {
    int moved = 0;
    for (uint32_t i = 0; i < parts->msggen_count; i++) {
        int done = msggen_step(parts->msggens[i]);
        if (done < 0) {
            return done;
        }
        if (msggen_is_over(parts->msggens[i])) {
            return TE_E_CLOSED;
        }
        moved += done;
    }
    for (uint32_t i = 0; i < parts->engine_count; i++) {
        moved += te_engine_poll(parts->engines[i]);
    }
    return moved;
}

/* Sleeps until an engine rings. */
static int sleep_until_bell(const struct te_msggen_parts *parts) {
    struct pollfd bells[TE_MSGGEN_PARTS_MAX];
    struct timespec wait = {0, SLEEP_NS};
    bool is_ready = false;
    for (uint32_t i = 0; i < parts->msggen_count; i++) {
        const struct te_msggen *msggen = parts->msggens[i];
        bool wants_room =
            msggen->unsent_end > 0 || (msggen->free_count > 0 && !msggen->is_settling);
        int wake = TE_WAKE_READABLE | (wants_room ? TE_WAKE_WRITABLE : 0);
        bells[i] = (struct pollfd){.fd = te_channel_fd(msggen->config.channel), .events = POLLIN};
        is_ready |= te_channel_arm(msggen->config.channel, wake) != 0;
    }
    if (!is_ready) {
        ppoll(bells, parts->msggen_count, &wait, NULL);
    }
    for (uint32_t i = 0; i < parts->msggen_count; i++) {
        int error = te_channel_awake(parts->msggens[i]->config.channel);
        if (error != TE_OK) {
            return error;
        }
    }
    return TE_OK;
}

/* Others may have the processor after a few looks in vain: it may be theirs to move next. */
static int wait_turn(const struct te_msggen_parts *parts, uint32_t idle_count, uint64_t idle_ns) {
    bool has_engines = parts->engine_count > 0; /* nobody else polls them: no sleep */
    if (idle_count < POLLS_BEFORE_YIELD || (has_engines && !parts->is_sharing)) {
        return TE_OK;
    }
    if (has_engines || idle_ns < parts->spin_ns) {
        sched_yield();
        return TE_OK;
    }
    return sleep_until_bell(parts);
}

static bool has_settled(const struct te_msggen_parts *parts) {
    for (uint32_t i = 0; i < parts->msggen_count; i++) {
        const struct te_msggen *msggen = parts->msggens[i];
        if (msggen->is_settling && msggen->free_count < msggen->config.window) {
            return false;
        }
    }
    return true;
}

static int drive(const struct te_msggen_parts *parts, uint64_t duration_ns, bool until_settled) {
    enum { LOOKS_BETWEEN_CLOCKS = 64 };
    uint64_t begin_ns = msggen_now_ns();
    uint64_t now_ns = begin_ns;
    uint64_t active_ns = begin_ns;
    uint32_t idle_count = 0;
    int error = TE_OK;
    for (uint32_t i = 1; now_ns - begin_ns < duration_ns && error == TE_OK; i++) {
        int moved = turn(parts);
        idle_count = moved == 0 ? idle_count + 1 : 0;
        bool looks = idle_count >= POLLS_BEFORE_YIELD || i % LOOKS_BETWEEN_CLOCKS == 0;
        now_ns = looks ? msggen_now_ns() : now_ns;
        active_ns = moved > 0 ? now_ns : active_ns;
        error = moved < 0 ? moved : wait_turn(parts, idle_count, now_ns - active_ns);
        if (until_settled && has_settled(parts)) {
            break;
        }
    }
    for (uint32_t i = 0; i < parts->msggen_count; i++) {
        parts->msggens[i]->counts.elapsed_ns += msggen_now_ns() - begin_ns;
    }
    return error;
}

static bool is_valid(const struct te_msggen_parts *parts) {
    return parts->msggen_count >= 1 && parts->msggen_count <= TE_MSGGEN_PARTS_MAX &&
           parts->engine_count <= TE_MSGGEN_PARTS_MAX;
}

int te_msggen_run(const struct te_msggen_parts *parts, uint64_t duration_ns) {
    return is_valid(parts) ? drive(parts, duration_ns, false) : TE_E_INVALID;
}

int te_msggen_settle(const struct te_msggen_parts *parts, uint64_t duration_ns) {
    if (!is_valid(parts)) {
        return TE_E_INVALID;
    }
    for (uint32_t i = 0; i < parts->msggen_count; i++) {
        struct te_msggen *msggen = parts->msggens[i];
        msggen->is_settling = msggen->config.role == TE_MSGGEN_CLIENT;
    }
    int error = drive(parts, duration_ns, true);
    if (error == TE_OK && !has_settled(parts)) {
        error = TE_E_AGAIN;
    }
    for (uint32_t i = 0; i < parts->msggen_count; i++) {
        parts->msggens[i]->is_settling = false;
    }
    return error;
}
