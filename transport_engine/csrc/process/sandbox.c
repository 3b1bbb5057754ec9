/* Gives up what a process that runs an engine does not need any more: te_process_harden.
 *
 * Called once, when every device and socket is open. Capabilities go from the calling thread, and
 * so from every thread that it starts; the filter of system calls holds for all threads at once.
 * Does not know engines.
 * Source: capabilities(7), seccomp(2), libseccomp's seccomp_rule_add(3)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "transport_engine.h"

static int fail(char *why, const char *what, int reason) {
    snprintf(why, TE_WHY_BYTES,
             "the process cannot be confined (%s: %s); on a system without this, "
             "sandbox = \"none\" accepts to run with all its rights",
             what, strerror(reason));
    return TE_E_SYSTEM;
}

/* The bounding set can only be emptied by whoever may; without the right there is nothing in it
 * that this process could still get, once no_new_privs is set. */
static int drop_capabilities(char *why) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++) {
        prctl(PR_CAPBSET_DROP, capability);
    }
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &header, none) != 0) {
        return fail(why, "capset", errno);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return fail(why, "no_new_privs", errno);
    }
    return TE_OK;
}

#ifdef TE_HAVE_SECCOMP

#include <seccomp.h>

/* What an event loop in Python, and an engine over UDP, do once they run. */
static const char *const ALLOWED[] = {
    /* memory */
    "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "memfd_create", "ftruncate",
    "fallocate", "membarrier", "mlock", "munlock",
    /* descriptors */
    "read", "readv", "pread64", "write", "writev", "pwrite64", "close", "close_range", "fcntl",
    "dup", "dup2", "dup3", "lseek", "flock", "pipe2", "eventfd2", "epoll_create1", "epoll_ctl",
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6",
    "timerfd_create", "timerfd_settime",
    /* files: modules that Python loads late, and the socket's own folder */
    "open", "openat", "stat", "lstat", "fstat", "newfstatat", "statx", "access", "faccessat",
    "faccessat2", "getdents64", "readlink", "readlinkat", "getcwd", "unlink", "unlinkat",
    /* sockets that are open, and those of listeners */
    "accept", "accept4", "bind", "listen", "connect", "shutdown", "socketpair", "getsockname",
    "getpeername", "getsockopt", "setsockopt", "sendto", "sendmsg", "sendmmsg", "recvfrom",
    "recvmsg", "recvmmsg",
    /* time and randomness */
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
    "getrandom",
    /* threads and signals */
    "futex", "futex_waitv", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity",
    "sched_setaffinity", "getcpu", "prctl", "arch_prctl", "exit", "exit_group", "tgkill",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sigaltstack",
    "restart_syscall", "pause",
    /* who and where it is */
    "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getgroups", "capget",
    "uname", "sysinfo", "getrlimit", "prlimit64", "getrusage", "times",
};

/* What a DPDK driver may do while it runs, and at its end. */
static const char *const ALLOWED_TO_DRIVERS[] = {
    "ioctl", "bpf", "mlock2", "munlockall", "mbind", "get_mempolicy", "set_mempolicy",
    "sched_setscheduler", "sched_getscheduler", "inotify_add_watch", "inotify_rm_watch",
    "epoll_create", /* EAL's thread for interrupts makes one anew whenever their list changes */
};

/* None of ours calls these, whatever goes wrong: whoever does has taken the process over. */
static const char *const FATAL[] = {
    "execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "mount", "umount2",
    "pivot_root", "chroot", "setns", "unshare", "init_module", "finit_module", "delete_module",
    "kexec_load", "kexec_file_load", "reboot", "keyctl", "add_key", "request_key",
    "perf_event_open", "open_by_handle_at", "io_uring_setup", "userfaultfd", "setuid", "setgid",
    "setresuid", "setresgid", "setgroups", "capset", "swapon", "swapoff", "acct",
};

enum { NAMES_ALLOWED = sizeof ALLOWED / sizeof ALLOWED[0],
       NAMES_FATAL = sizeof FATAL / sizeof FATAL[0],
       NAMES_TO_DRIVERS = sizeof ALLOWED_TO_DRIVERS / sizeof ALLOWED_TO_DRIVERS[0] };

/* A name that this machine's kernel never had (`open` on arm64) needs no rule. */
static int add_names(scmp_filter_ctx filter, uint32_t action, const char *const *names,
                     size_t count) {
    for (size_t i = 0; i < count; i++) {
        const int number = seccomp_syscall_resolve_name(names[i]);
        const int error = number < 0 ? 0 : seccomp_rule_add(filter, action, number, 0);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

/* Those of which only some uses are allowed: threads but no processes, plain sockets, terminals
 * asked for what they are. */
static int add_conditions(scmp_filter_ctx filter, int drives_devices) {
    const int domains[] = {AF_UNIX, AF_INET, AF_INET6};
    const unsigned long requests[] = {TCGETS, FIONBIO, FIOCLEX, FIONCLEX};
    int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                 SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    if (error == 0) { /* its flags lie in memory; the C library then falls back to clone */
        error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    }
    for (size_t i = 0; i < sizeof domains / sizeof domains[0] && error == 0; i++) {
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)domains[i], 0));
    }
    if (error == 0 && drives_devices) { /* opens af_packet anew; only DPDK's thread may */
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                 SCMP_A0(SCMP_CMP_EQ, AF_PACKET, 0));
    }
    for (size_t i = 0; i < sizeof requests / sizeof requests[0] && error == 0 && !drives_devices;
         i++) {
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                                 SCMP_A1(SCMP_CMP_EQ, requests[i], 0));
    }
    return error;
}

static int filter_calls(int drives_devices, char *why) {
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL) {
        return fail(why, "seccomp", ENOMEM);
    }
    int error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (error == 0) {
        error = add_names(filter, SCMP_ACT_ALLOW, ALLOWED, NAMES_ALLOWED);
    }
    if (error == 0 && drives_devices) {
        error = add_names(filter, SCMP_ACT_ALLOW, ALLOWED_TO_DRIVERS, NAMES_TO_DRIVERS);
    }
    if (error == 0) {
        error = add_names(filter, SCMP_ACT_KILL_PROCESS, FATAL, NAMES_FATAL);
    }
    if (error == 0) {
        error = add_conditions(filter, drives_devices);
    }
    if (error == 0) {
        error = seccomp_load(filter);
    }
    seccomp_release(filter);
    return error == 0 ? TE_OK : fail(why, "seccomp", -error);
}

#else

static int filter_calls(int drives_devices, char *why) {
    (void)drives_devices;
    return fail(why, "this build is without libseccomp", ENOSYS);
}

#endif

int te_process_harden(int drives_devices, char *why) {
    const int error = drop_capabilities(why);
    return error != TE_OK ? error : filter_calls(drives_devices, why);
}
