/* Starting DPDK's EAL: defaults, hugepages, and its log turned into one sentence. */
#include "netif/dpdk_eal.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_log.h>

#include "netif/arguments.h"
#include "netif/dpdk_sockets.h"
#include "transport_engine.h"

enum eal_limit { PATH_BYTES_MAX = 320, LAST_WORDS_BYTES = 128 };

static const char hugepages_folder[] = "/sys/kernel/mm/hugepages";

/* What DPDK logs while it starts. */
struct kept_log {
    FILE *stream; /* NULL: nothing is kept now */
    char *text;   /* whole when the stream is closed */
    size_t bytes;
};

static bool started; /* in this process, ever */
static struct kept_log starting;
static char last_words[LAST_WORDS_BYTES];
static pthread_key_t key; /* of threads that DPDK knows; it forgets them when they end */
static bool has_key;

static bool have_any(const struct arguments *arguments, const char *const *options) {
    for (; *options != NULL; options++) {
        if (arguments_have(arguments, *options)) {
            return true;
        }
    }
    return false;
}

/* One lcore on the processor where we are; memory that leaves no file behind and that other DPDK
 * processes do not run into, in one descriptor a segment, as virtio_user needs it; no PCI devices
 * taken unless they are named. */
static bool add_defaults(struct arguments *all, const struct arguments *given) {
    static const char *const lcores[] = {"-l", "-c", "--lcores", "-s", NULL};
    static const char *const memory[] = {"--in-memory",   "--file-prefix", "--no-shconf",
                                         "--huge-unlink", "--legacy-mem",  NULL};
    static const char *const devices[] = {"-a", "--allow", "-b", "--block", NULL};
    char lcore[32];
    int processor = sched_getcpu();
    snprintf(lcore, sizeof lcore, "--lcores=0@%d", processor < 0 ? 0 : processor);
    bool fits = arguments_add(all, "mrpc") && arguments_add(all, "--no-telemetry") &&
                arguments_add(all, "--log-level=warning");
    if (!have_any(given, lcores)) {
        fits = fits && arguments_add(all, lcore);
    }
    if (!have_any(given, memory)) {
        bool huge = !arguments_have(given, "--no-huge"); /* which does not go with --in-memory */
        fits = fits && arguments_add(all, huge ? "--in-memory" : "--no-shconf");
    }
    if (!arguments_have(given, "--no-huge") && !arguments_have(given, "--legacy-mem") &&
        !arguments_have(given, "--single-file-segments")) {
        fits = fits && arguments_add(all, "--single-file-segments");
    }
    if (arguments_have(given, "--vdev") && !have_any(given, devices) &&
        !arguments_have(given, "--no-pci")) {
        fits = fits && arguments_add(all, "--no-pci");
    }
    return fits;
}

static int build_arguments(const char *line, struct arguments *given, struct arguments *all,
                           char *why) {
    arguments_init(given);
    arguments_init(all);
    const char *wrong = arguments_split(given, line == NULL ? "" : line);
    if (wrong != NULL) {
        snprintf(why, TE_WHY_BYTES, "the arguments for dpdk have %s", wrong);
        return TE_E_INVALID;
    }
    bool fits = add_defaults(all, given);
    for (int i = 0; i < given->count; i++) {
        fits = fits && arguments_add(all, given->words[i]);
    }
    if (!fits) {
        snprintf(why, TE_WHY_BYTES, "too many arguments for dpdk");
        return TE_E_INVALID;
    }
    return TE_OK;
}

static unsigned long read_number(const char *path) {
    unsigned long number = 0;
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%lu", &number) != 1) {
            number = 0;
        }
        fclose(file);
    }
    return number;
}

/* Looked up before the EAL tries, because some of its failures cannot be tried again. */
static bool hugepages_are_free(void) {
    DIR *folder = opendir(hugepages_folder);
    unsigned long pages = 0;
    if (folder == NULL) {
        return false;
    }
    for (struct dirent *size; (size = readdir(folder)) != NULL;) {
        char path[PATH_BYTES_MAX];
        snprintf(path, sizeof path, "%s/%s/free_hugepages", hugepages_folder, size->d_name);
        pages += size->d_name[0] == '.' ? 0 : read_number(path);
    }
    closedir(folder);
    return pages > 0;
}

/* The last line that says something, without the name of the library in front. */
static void keep_last_words(char *log) {
    const char *last = "it does not say why";
    for (char *line = strtok(log, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        const char *text = strncmp(line, "EAL: ", 5) == 0 ? line + 5 : line;
        last = *text == 0 ? last : text;
    }
    snprintf(last_words, sizeof last_words, "%s", last);
}

static void end_log(void) {
    if (starting.stream != NULL) {
        fclose(starting.stream);
    }
    keep_last_words(starting.text == NULL ? (char[]){""} : starting.text);
    free(starting.text);
    starting = (struct kept_log){0};
}

static void explain(char *why) {
    snprintf(why, TE_WHY_BYTES,
             "DPDK did not start (%s): its arguments are wrong, or it lacks something, such as "
             "hugepages, which `mrpc doctor` names", last_words);
}

/* DPDK from 25.11 on ends the process itself where it does not know an argument. */
static void say_why_it_ends(void) {
    char why[TE_WHY_BYTES];
    if (starting.stream != NULL) {
        rte_openlog_stream(stderr);
        end_log();
        explain(why);
        fprintf(stderr, "%s\n", why);
    }
}

/* Runs rte_eal_init with its log kept from the terminal. */
static int init(struct arguments *arguments, char *why) {
    static bool is_watched;
    cpu_set_t affinity;
    is_watched = is_watched || atexit(say_why_it_ends) == 0;
    pthread_getaffinity_np(pthread_self(), sizeof affinity, &affinity);
    starting.stream = open_memstream(&starting.text, &starting.bytes);
    if (starting.stream != NULL) {
        rte_openlog_stream(starting.stream);
    }
    int result = rte_eal_init(arguments->count, arguments->words);
    pthread_setaffinity_np(pthread_self(), sizeof affinity, &affinity);
    rte_openlog_stream(stderr);
    end_log();
    if (result < 0) {
        explain(why);
    }
    return result < 0 ? TE_E_SYSTEM : TE_OK;
}

int dpdk_eal_start(const char *line, char *why) {
    struct arguments given;
    static struct arguments all; /* the EAL keeps pointers into it */
    if (started) {
        snprintf(why, TE_WHY_BYTES,
                 "DPDK was started before in this process, and it can be only once: run each "
                 "engine over dpdk in a process of its own (mrpc engine)");
        return TE_E_IN_USE;
    }
    int error = build_arguments(line, &given, &all, why);
    if (error != TE_OK) {
        return error;
    }
    if (!arguments_have(&given, "--no-huge") && !hugepages_are_free()) {
        snprintf(why, TE_WHY_BYTES,
                 "DPDK needs hugepages and none is free: sysctl -w vm.nr_hugepages=512 (as root), "
                 "or add --no-huge to the driver's arguments");
        return TE_E_NO_MEMORY;
    }
    dpdk_sockets_clear(&given);
    error = init(&all, why);
    started = error == TE_OK;
    return error;
}

static void leave(void *ignored) {
    (void)ignored;
    rte_thread_unregister();
}

static void create_key(void) {
    has_key = pthread_key_create(&key, leave) == 0;
}

void dpdk_eal_enter(void) {
    static _Thread_local bool has_tried;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (has_tried) {
        return;
    }
    has_tried = true;
    pthread_once(&once, create_key);
    if (has_key && rte_thread_register() == 0) {
        pthread_setspecific(key, &key); /* anything but NULL: what a thread leaves behind */
    }
}

const char *dpdk_eal_last_words(void) {
    return last_words;
}

/* Its folder stays otherwise, one for each --file-prefix that ever was. With files in it, it is
 * somebody's; without, it is made again by whoever wants one. Not by rmdir, which the sandbox does
 * not know. */
void dpdk_eal_stop(void) {
    char folder[PATH_BYTES_MAX];
    snprintf(folder, sizeof folder, "%s", rte_eal_get_runtime_dir());
    rte_eal_cleanup();
    unlinkat(AT_FDCWD, folder, AT_REMOVEDIR);
}
