/* Sees every load that this process makes from memory that it watches, with its address and size.
 *
 * Watched memory is taken away (PROT_NONE). An instruction that touches it faults; it is decoded,
 * noted, and carried out alone, with the memory back for that one step (trap flag). memcpy is
 * replaced: it notes what it reads and goes through another mapping of the same memory.
 * x86-64 Linux only. Included once.
 */
#ifndef FETCHES_TRACE_H
#define FETCHES_TRACE_H

#include <capstone/capstone.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum {
    WATCHED_MAX = 4,
    WATCHED_BYTES_MAX = 1 << 18,
    TRAP_FLAG = 0x100,
    PAGE_FAULT_WRITE = 2,
    INSTRUCTION_BYTES_MAX = 15
};

/* A mapping, and where else its bytes are: at `alias`, every `period` bytes again. */
struct watched {
    uint8_t *at;
    size_t bytes, period;
    uint8_t *alias;
    uint8_t loads[WATCHED_BYTES_MAX]; /* of each byte of a period, since trace_forget */
};

static struct watched watched[WATCHED_MAX];
static size_t watched_count;
static bool trace_is_on;
static uint64_t loads_seen, bytes_seen;
static csh decoder;
static cs_insn *instruction;

static inline void protect(int protection) {
    for (size_t i = 0; i < watched_count; i++) {
        if (mprotect(watched[i].at, watched[i].bytes, protection) != 0) {
            abort();
        }
    }
}

static inline struct watched *watched_at(const void *at) {
    for (size_t i = 0; i < watched_count; i++) {
        if ((uintptr_t)at - (uintptr_t)watched[i].at < watched[i].bytes) {
            return &watched[i];
        }
    }
    return NULL;
}

static inline size_t offset_in(const struct watched *in, const void *at) {
    return ((uintptr_t)at - (uintptr_t)in->at) % in->period;
}

static inline void note_load(const void *at, size_t bytes) {
    struct watched *in = watched_at(at);
    loads_seen++;
    bytes_seen += bytes;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t *count = &in->loads[(offset_in(in, at) + i) % in->period];
        *count = (uint8_t)(*count < UINT8_MAX ? *count + 1 : *count);
    }
}

/* Bytes that the instruction loads from memory; 0: it only stores. The fault says whether it
 * writes; of what writes, all but moves read as well. */
static inline size_t loaded_bytes(uint64_t address, bool writes) {
    const uint8_t *code = (const uint8_t *)(uintptr_t)address;
    size_t left = INSTRUCTION_BYTES_MAX;
    if (!cs_disasm_iter(decoder, &code, &left, &address, instruction)) {
        fprintf(stderr, "cannot decode the instruction before %llx\n", (unsigned long long)address);
        abort();
    }
    const cs_x86 *x86 = &instruction->detail->x86;
    const bool moves = strncmp(instruction->mnemonic, "mov", 3) == 0
                       || strncmp(instruction->mnemonic, "vmov", 4) == 0;
    for (uint8_t i = 0; i < x86->op_count && !(writes && moves); i++) {
        if (x86->operands[i].type == X86_OP_MEM) {
            return x86->operands[i].size;
        }
    }
    return 0;
}

static inline void on_fault(int number, siginfo_t *info, void *context) {
    ucontext_t *user = context;
    greg_t *registers = user->uc_mcontext.gregs;
    if (!trace_is_on || watched_at(info->si_addr) == NULL) {
        signal(number, SIG_DFL); /* it happens again, and ends the process */
        return;
    }
    const bool writes = (registers[REG_ERR] & PAGE_FAULT_WRITE) != 0;
    const size_t bytes = loaded_bytes((uint64_t)registers[REG_RIP], writes);
    if (bytes > 0) {
        note_load(info->si_addr, bytes);
    }
    protect(PROT_READ | PROT_WRITE);
    registers[REG_EFL] |= TRAP_FLAG;
}

static inline void on_step(int number, siginfo_t *info, void *context) {
    ucontext_t *user = context;
    (void)number, (void)info;
    protect(PROT_NONE);
    user->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

/* The mapping at `at` repeats each `period` bytes, and shows what lies at `alias`. */
static inline void trace_watch(uint8_t *at, size_t bytes, size_t period, uint8_t *alias) {
    if (watched_count == WATCHED_MAX || period > WATCHED_BYTES_MAX) {
        abort();
    }
    struct watched *in = &watched[watched_count++];
    in->at = at;
    in->bytes = bytes;
    in->period = period;
    in->alias = alias;
}

static inline void trace_open(void) {
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct sigaction step = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &fault, NULL);
    sigaction(SIGTRAP, &step, NULL);
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &decoder) != CS_ERR_OK) {
        abort();
    }
    cs_option(decoder, CS_OPT_DETAIL, CS_OPT_ON);
    instruction = cs_malloc(decoder);
}

static inline void trace_start(void) {
    trace_is_on = true;
    protect(PROT_NONE);
}

static inline void trace_stop(void) {
    protect(PROT_READ | PROT_WRITE);
    trace_is_on = false;
}

static inline void trace_forget(struct watched *in) {
    for (size_t i = 0; i < in->period; i++) {
        in->loads[i] = 0;
    }
}

/* The first byte that was loaded more than once, or -1. */
static inline long trace_loaded_twice(const struct watched *in) {
    for (size_t i = 0; i < in->period; i++) {
        if (in->loads[i] > 1) {
            return (long)i;
        }
    }
    return -1;
}

/* In the place of libc's, whose vectors overlap; so do those that gcc would write out for a copy of
 * unknown length, and so the code under test is compiled to call this for them. */
void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
    struct watched *to_watched = trace_is_on ? watched_at(to) : NULL;
    struct watched *from_watched = trace_is_on ? watched_at(from) : NULL;
    if (from_watched != NULL) {
        note_load(from, bytes);
    }
    for (size_t i = 0; i < bytes; i++) {
        const uint8_t *source = (const uint8_t *)from + i;
        uint8_t *target = (uint8_t *)to + i;
        if (from_watched != NULL) {
            source = from_watched->alias + offset_in(from_watched, source);
        }
        if (to_watched != NULL) {
            target = to_watched->alias + offset_in(to_watched, target);
        }
        *(volatile uint8_t *)target = *source;
    }
    return to;
}

#endif
