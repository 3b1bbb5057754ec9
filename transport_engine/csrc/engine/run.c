/* The public engine: polling, sleeping, and the door for commands.
 *
 * An engine is polled by its own thread (te_engine_run) or by an application's loop
 * (te_engine_poll, te_engine_arm).
 * Source: timer slack and wake-up order after docs/channel.md.
 */
#define _GNU_SOURCE /* ppoll */

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/contention.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "engine/command.h"
#include "engine/config.h"
#include "engine/courtesy.h"
#include "engine/engine.h"
#include "engine/surroundings.h"
#include "engine/team.h"
#include "engine/tenants.h"
#include "shm/command_ring.h"
#include "shm/flag.h"

enum run_constant {
    COMMANDS_MAX = 256,
    EVENTS_MAX = 64,
    SLEEP_MAX_NS = 1000000000,
    NAP_MIN_NS = 50000, /* between looks at a netif that wakes nobody ... */
    NAP_MAX_NS = 1000000,
    NAP_GROWTH_SHIFT = 5, /* ... growing to a 32nd of the time without traffic */
    TIMER_SLACK_NS = 1000
};

/* What an epoll event stands for; other values are tenants. */
enum event_source { SOURCE_COMMANDS = TE_CHANNELS_MAX, SOURCE_NETIF, SOURCE_TEAM };

struct te_engine {
    struct engine engine;
    struct spsc *commands;
    struct spsc *completions;
    struct flag stop;
    int epoll_fd;
    int command_fd;    /* commands wait, or stop was asked for */
    int completion_fd; /* completions wait */
    bool is_armed;
    uint64_t spin_ns;
    uint64_t active_ns; /* when something last moved */
    uint64_t quarantines_reported;
    struct surroundings around;
};

void te_check_failed(const char *claim, const char *file, int line) {
    fprintf(stderr, "transport engine: broken promise \"%s\" at %s:%d\n", claim, file, line);
    abort();
}

static uint64_t now(const struct te_engine *engine) {
    return surroundings_now_ns(&engine->around);
}

static int watch(const struct te_engine *engine, int fd, uint32_t source) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};
    return epoll_ctl(engine->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int open_doors(struct te_engine *engine, char *why) {
    engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    engine->command_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    engine->completion_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (engine->epoll_fd < 0 || engine->command_fd < 0 || engine->completion_fd < 0 ||
        watch(engine, engine->command_fd, SOURCE_COMMANDS) != 0) {
        snprintf(why, TE_WHY_BYTES, "no descriptors for an engine: %s; raise `ulimit -n`",
                 strerror(errno));
        return TE_E_SYSTEM;
    }
    if (spsc_open(&engine->commands, sizeof(struct te_command), COMMANDS_MAX) != TE_OK ||
        spsc_open(&engine->completions, sizeof(struct te_completion), COMMANDS_MAX) != TE_OK) {
        snprintf(why, TE_WHY_BYTES, "no memory for command rings");
        return TE_E_NO_MEMORY;
    }
    return TE_OK;
}

static void close_doors(struct te_engine *engine) {
    const int fds[] = {engine->epoll_fd, engine->command_fd, engine->completion_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    if (engine->commands != NULL) {
        spsc_close(engine->commands);
    }
    if (engine->completions != NULL) {
        spsc_close(engine->completions);
    }
    free(engine);
}

static int open_netif(struct te_engine *engine, const struct te_engine_config *config, char *why) {
    struct netif *netif = NULL;
    const struct engine_world world = surroundings_world(&engine->around);
    int error = netif_open(config, &netif, why);
    if (error == TE_OK) {
        error = engine_init(&engine->engine, config, &world, netif, now(engine), why);
    }
    return error;
}

int te_engine_open(const struct te_engine_config *config, struct te_engine **opened, char *why) {
    why[0] = '\0';
    int error = config_check(config, why);
    if (error != TE_OK) {
        return error;
    }
    if (sodium_init() < 0) {
        snprintf(why, TE_WHY_BYTES, "libsodium could not start: no source of randomness");
        return TE_E_SYSTEM;
    }
    crc32c_select();
    struct te_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) {
        snprintf(why, TE_WHY_BYTES, "no memory for an engine");
        return TE_E_NO_MEMORY;
    }
    engine->epoll_fd = engine->command_fd = engine->completion_fd = -1;
    engine->spin_ns = config->spin_ns;
    surroundings_init(&engine->around, config);
    engine->active_ns = now(engine);
    error = open_doors(engine, why);
    if (error == TE_OK) {
        error = open_netif(engine, config, why);
    }
    if (error != TE_OK) {
        close_doors(engine);
        return error;
    }
    watch(engine, engine->engine.netif->fd, SOURCE_NETIF); /* neither, where there is none: -1 */
    watch(engine, team_fd(&engine->engine), SOURCE_TEAM);
    *opened = engine;
    return TE_OK;
}

void te_engine_close(struct te_engine *engine) {
    engine_fini(&engine->engine, now(engine));
    close_doors(engine);
}

/* ---- commands ---- */

static void signal_fd(int fd) {
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    (void)written; /* a counter that is full is readable already */
}

static void clear_fd(int fd) {
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got;
}

int te_engine_command(struct te_engine *engine, const struct te_command *command) {
    if (!spsc_push(engine->commands, command)) {
        return TE_E_AGAIN;
    }
    signal_fd(engine->command_fd);
    return TE_OK;
}

int te_engine_completion(struct te_engine *engine, struct te_completion *completion) {
    if (spsc_pop(engine->completions, completion)) {
        return TE_OK;
    }
    clear_fd(engine->completion_fd);
    /* One may have come between the look and the clearing. */
    return spsc_pop(engine->completions, completion) ? TE_OK : TE_E_AGAIN;
}

int te_engine_completion_fd(const struct te_engine *engine) {
    return engine->completion_fd;
}

static void watch_tenant(struct te_engine *engine, const struct te_completion *completion) {
    if (completion->op == TE_ATTACH && completion->error == TE_OK) {
        watch(engine, channel_fd(engine->engine.tenants[completion->value].channel),
              completion->value);
    }
}

/* As many commands wait for completion as fit: a control plane that does not look at completions
 * gets no further commands carried out. */
static int execute_commands(struct te_engine *engine) {
    struct te_command command;
    struct te_completion completion;
    int count = 0;
    bool is_empty = false;
    while (count < COMMANDS_MAX && spsc_has_room(engine->completions)) {
        if ((is_empty = !spsc_pop(engine->commands, &command))) {
            break;
        }
        if (count++ == 0) {
            clear_fd(engine->command_fd); /* who comes after this look signals anew */
        }
        command_execute(&engine->engine, &command, &completion);
        watch_tenant(engine, &completion);
        spsc_push(engine->completions, &completion);
    }
    if (count > 0) {
        signal_fd(engine->completion_fd);
    }
    if (count > 0 && !is_empty) { /* for those that are left */
        signal_fd(engine->command_fd);
    }
    return count;
}

static void count_violation(struct te_stats *stats, uint32_t violation) {
    switch (violation) {
    case TE_V_POSITION:
        stats->quarantined_position++;
        break;
    case TE_V_MEMORY:
        stats->quarantined_memory++;
        break;
    default: /* also a record that only a flow's rules forbid */
        stats->quarantined_record++;
        break;
    }
}

/* Tells the control plane, which knows whose channel it is. Without room it is tried again. */
static void report_quarantines(struct te_engine *engine) {
    struct te_stats *stats = &engine->engine.stats;
    if (engine->quarantines_reported == stats->channels_quarantined) {
        return;
    }
    for (uint32_t i = 0; i < engine->engine.tenant_count; i++) {
        struct tenant *tenant = &engine->engine.tenants[i];
        if (!tenant_exists(&engine->engine, i) || tenant->reason != TE_R_QUARANTINED ||
            tenant->is_reported) {
            continue;
        }
        if (!spsc_has_room(engine->completions)) {
            return;
        }
        uint32_t violation = channel_violation(tenant->channel);
        violation = violation == TE_V_NONE ? TE_V_RECORD : violation;
        const struct te_completion report = {.op = TE_QUARANTINED, .value = i, .memory_fd = -1,
                                             .doorbell_fd = -1, .violation = violation};
        tenant->is_reported = true;
        count_violation(stats, violation);
        spsc_push(engine->completions, &report);
        signal_fd(engine->completion_fd);
    }
    engine->quarantines_reported = stats->channels_quarantined;
}

/* ---- polling and sleeping ---- */

/* Empties what rang while the engine slept. */
static void answer_bells(struct te_engine *engine) {
    struct epoll_event events[EVENTS_MAX];
    for (uint32_t i = 0; i < engine->engine.tenant_count; i++) {
        if (tenant_exists(&engine->engine, i)) {
            channel_disarm(engine->engine.tenants[i].channel); /* else it rings in vain, later */
        }
    }
    int count = epoll_wait(engine->epoll_fd, events, EVENTS_MAX, 0);
    team_awake(&engine->engine);
    for (int i = 0; i < count; i++) {
        uint32_t source = events[i].data.u32;
        if (source == SOURCE_COMMANDS) {
            clear_fd(engine->command_fd);
        } else if (source < TE_CHANNELS_MAX && tenant_exists(&engine->engine, source)) {
            const struct tenant *tenant = &engine->engine.tenants[source];
            if (channel_awake(tenant->channel) == TE_E_CLOSED) {
                epoll_ctl(engine->epoll_fd, EPOLL_CTL_DEL, channel_fd(tenant->channel), NULL);
                tenant_stop(&engine->engine, source, TE_R_CLOSED);
            }
        }
    }
}

int te_engine_poll(struct te_engine *engine) {
    if (engine->is_armed) {
        engine->is_armed = false;
        answer_bells(engine);
    }
    uint64_t now_ns = now(engine);
    engine->engine.now_ns = now_ns;
    int moved = execute_commands(engine);
    moved += engine_poll(&engine->engine, now_ns);
    report_quarantines(engine);
    if (moved > 0) {
        engine->active_ns = now_ns;
    }
    return moved;
}

static bool arm_channels(struct te_engine *engine) {
    bool has_work = false;
    for (uint32_t i = 0; i < engine->engine.tenant_count; i++) {
        const struct tenant *tenant = &engine->engine.tenants[i];
        if (tenant->channel != NULL && tenant->reason == TE_R_NONE) {
            has_work |= channel_arm(tenant->channel) != 0;
        }
    }
    return has_work;
}

int64_t te_engine_arm(struct te_engine *engine) {
    struct netif *netif = engine->engine.netif;
    engine->is_armed = true;
    if (engine_is_busy(&engine->engine) || arm_channels(engine)) {
        return 0;
    }
    if (netif->ops->arm(netif) || team_arm(&engine->engine)) {
        return 0;
    }
    uint64_t now_ns = now(engine);
    uint64_t next_ns =
        min_u64(timers_next_ns(&engine->engine.timers), engine->engine.resume_ns);
    next_ns = min_u64(next_ns, netif->ops->next_ns(netif));
    if (next_ns <= now_ns) {
        return 0;
    }
    uint64_t wait_ns = min_u64(next_ns - now_ns, SLEEP_MAX_NS);
    if (!(netif->caps & NETIF_WAKES)) {
        uint64_t nap_ns = (now_ns - engine->active_ns) >> NAP_GROWTH_SHIFT;
        wait_ns = min_u64(wait_ns, within_u64(nap_ns, NAP_MIN_NS, NAP_MAX_NS));
    }
    return (int64_t)wait_ns;
}

int te_engine_fd(const struct te_engine *engine) {
    return engine->epoll_fd;
}

int te_engine_wakes(const struct te_engine *engine) {
    return (engine->engine.netif->caps & NETIF_WAKES) != 0;
}

static void sleep_until_bell(struct te_engine *engine) {
    int64_t wait_ns = te_engine_arm(engine);
    if (wait_ns == 0) {
        return;
    }
    struct pollfd bell = {.fd = engine->epoll_fd, .events = POLLIN};
    struct timespec wait = {wait_ns / 1000000000, wait_ns % 1000000000};
    engine->engine.stats.sleeps++;
    ppoll(&bell, 1, &wait, NULL);
}

void te_engine_run(struct te_engine *engine) {
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
    struct courtesy courtesy = {.patience_ns = COURTESY_NS};
    struct contention contention = {0};
    uint64_t polled_ns = 0; /* the last time, without a sleep since; 0: not */
    while (!flag_get(&engine->stop)) {
        int moved = te_engine_poll(engine);
        uint64_t now_ns = engine->engine.now_ns;
        courtesy_learn(&courtesy, &engine->engine.stats);
        if (polled_ns != 0 && contention_has_lost(polled_ns, now_ns)) {
            contention_learn(&contention, now_ns - polled_ns, surroundings_used_ns(), now_ns);
        }
        polled_ns = now_ns;
        if (moved > 0) {
            continue;
        }
        bool is_contended = contention_is_on(&contention, now_ns);
        if (!is_contended && now_ns - engine->active_ns < engine->spin_ns) {
            courtesy_offer(&courtesy, &engine->engine.stats, now_ns, engine->active_ns);
        } else if (is_contended || courtesy_last(&courtesy, engine->active_ns)) {
            sleep_until_bell(engine);
            polled_ns = 0;
        }
    }
    flag_clear(&engine->stop);
}

void te_engine_stop(struct te_engine *engine) {
    flag_set(&engine->stop);
    signal_fd(engine->command_fd);
}

void te_engine_local(const struct te_engine *engine, struct te_endpoint *local) {
    *local = engine->engine.netif->local;
}
