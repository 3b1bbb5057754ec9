/* What a hostile application does to its own channel, one blow at a time. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "siege.h"

enum word { TX_TAIL, TX_HEAD, RX_TAIL, RX_HEAD, APPLICATION_ARMED, ENGINE_ARMED };

enum value { BACK, AHEAD, ODD, OVER, MAXIMUM, RANDOM };

enum { WORDS_SHIFT = 4, FLOOD_BYTES = 4096, CHAT_BYTES = 16384, FDS_MAX = 64 };

/* Both in one argument. */
#define POKE(word, value) ((unsigned)(word) << WORDS_SHIFT | (unsigned)(value))

enum pattern { NOISE, ZEROS, ONES, NOISE_RX, NOISE_TX, NOISE_HEADER };

enum game { TRUNCATE, GROW, PUNCH, ZERO_RANGE, REMOVE_PAGES, SEAL_FIRST, MAP_AGAIN };

enum bell { FLOOD, SHUT, CLOSED, NEVER_READ };

enum plea { DESCRIPTORS, NONSENSE, LEAVE_AND_WRITE, LISTEN_ALL };

uint64_t siege_random(struct siege *siege) {
    uint64_t z = (siege->prng += UINT64_C(0x9E3779B97F4A7C15)); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* ---- the words that both sides look at ---- */

static uint64_t value_of(struct siege *siege, unsigned value, uint64_t now) {
    const uint64_t random = siege_random(siege);
    switch (value) {
    case BACK:
        return now - 8 * (1 + random % 4096);
    case AHEAD:
        return now + 8 * (random % (SIEGE_RING_BYTES / 8));
    case ODD:
        return (now & ~UINT64_C(7)) + 1 + random % 7; /* also after a stroke before it */
    case OVER:
        return now + SIEGE_RING_BYTES + 8;
    case MAXIMUM:
        return UINT64_MAX - random % 16;
    default:
        return random;
    }
}

/* Keeps records on their way to this application, so that the engine looks at what is poked. */
static void chat(struct siege *siege) {
    static uint8_t packed[sizeof(struct te_record) + CHAT_BYTES];
    const struct te_record record = {.kind = TE_REQUEST, .flags = TE_FIRST | TE_LAST,
                                     .flow = siege->loop.near, .size_bytes = CHAT_BYTES,
                                     .total_bytes = CHAT_BYTES};
    memcpy(packed, &record, sizeof record);
    if (siege->channel != NULL) {
        te_channel_send(siege->channel, packed, sizeof packed);
    }
}

static void poke(struct siege *siege, unsigned argument) {
    struct channel_header *header = siege->header;
    _Atomic uint64_t *words[] = {&header->tx_tail, &header->tx_head, &header->rx_tail,
                                 &header->rx_head};
    const unsigned word = argument >> WORDS_SHIFT;
    const unsigned value = argument & ((1u << WORDS_SHIFT) - 1);
    if (word != TX_TAIL) {
        chat(siege);
    }
    if (word == APPLICATION_ARMED) {
        atomic_store(&header->application_armed, (uint32_t)value_of(siege, value, 0));
    } else if (word == ENGINE_ARMED) {
        atomic_store(&header->engine_armed, (uint32_t)value_of(siege, value, 0));
    } else {
        atomic_store(words[word], value_of(siege, value, atomic_load(words[word])));
    }
}

/* ---- all of the memory ---- */

static void scribble(struct siege *siege, unsigned pattern) {
    uint8_t *base = (uint8_t *)siege->header;
    uint64_t begin = 0;
    uint64_t end = CHANNEL_HEADER_BYTES + 2 * (uint64_t)SIEGE_RING_BYTES;
    if (pattern == NOISE_TX || pattern == NOISE_RX) {
        begin = CHANNEL_HEADER_BYTES + (pattern == NOISE_RX ? SIEGE_RING_BYTES : 0);
        end = begin + SIEGE_RING_BYTES;
    } else if (pattern == NOISE_HEADER) {
        end = 1024;
    }
    if (pattern == ZEROS || pattern == ONES) {
        memset(base, pattern == ZEROS ? 0 : 0xFF, end);
        return;
    }
    for (uint64_t at = begin; at < end; at += 8) {
        const uint64_t word = siege_random(siege);
        memcpy(base + at, &word, 8);
    }
}

static void play(struct siege *siege, unsigned game) {
    const uint64_t bytes = CHANNEL_HEADER_BYTES + 2 * (uint64_t)SIEGE_RING_BYTES;
    const int fd = siege->memory_fd;
    const off_t at = (off_t)(siege_random(siege) % bytes & ~UINT64_C(4095));
    const int keep = FALLOC_FL_KEEP_SIZE;
    switch (game) {
    case TRUNCATE:
        (void)!ftruncate(fd, at);
        break;
    case GROW:
        (void)!ftruncate(fd, (off_t)bytes * 4);
        (void)!fallocate(fd, 0, (off_t)bytes, 1 << 20);
        break;
    case PUNCH:
        (void)!fallocate(fd, FALLOC_FL_PUNCH_HOLE | keep, at, 8192);
        break;
    case ZERO_RANGE:
        (void)!fallocate(fd, FALLOC_FL_ZERO_RANGE | keep, at, 8192);
        break;
    case REMOVE_PAGES:
        madvise((uint8_t *)siege->header + at, 4096, MADV_REMOVE);
        break;
    case SEAL_FIRST:
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL);
        break;
    default: {
        void *again = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (again != MAP_FAILED) {
            memset(again, 0x5A, bytes);
            munmap(again, bytes);
        }
    }
    }
    forge(siege, HONEST); /* gives the engine a reason to look */
    /* Where the header went, too, after which the ring may be too full to forge anything. */
    atomic_store(&siege->header->tx_tail, siege->tail);
}

/* ---- sockets ---- */

static void toll(struct siege *siege, unsigned bell) {
    static const uint8_t flood[FLOOD_BYTES];
    const int fd = siege->doorbell_fd;
    if (bell == FLOOD) {
        (void)!send(fd, flood, sizeof flood, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else if (bell == SHUT) {
        shutdown(fd, SHUT_RDWR);
    } else if (bell == CLOSED && siege->channel != NULL) {
        close(siege->doorbell_fd);
        te_channel_close(siege->channel);
        siege->channel = NULL;
        siege->doorbell_fd = -1;
    } else {
        atomic_store(&siege->header->application_armed, UINT32_MAX);
    }
    forge(siege, HONEST);
}

static void send_descriptors(struct siege *siege) {
    union {
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    char word[] = "\x81\xa2op\xa5stats";
    struct iovec vector = {word, sizeof word - 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int fds[FDS_MAX];
    for (int i = 0; i < FDS_MAX; i++) {
        fds[i] = siege->memory_fd;
    }
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(header), fds, sizeof fds);
    sendmsg(siege->guest.control_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void plead(struct siege *siege, unsigned plea) {
    uint64_t noise[16];
    for (size_t i = 0; i < 16; i++) {
        noise[i] = siege_random(siege);
    }
    switch (plea) {
    case DESCRIPTORS:
        send_descriptors(siege);
        break;
    case NONSENSE:
        send(siege->guest.control_fd, noise, siege_random(siege) % sizeof noise,
             MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case LISTEN_ALL:
        guest_listen(&siege->guest);
        break;
    default:
        close(siege->guest.control_fd);
        siege->guest.control_fd = -1;
    }
    forge(siege, HONEST);
}

static void everything(struct siege *siege, unsigned argument) {
    const struct strategy *chosen =
        &STRATEGIES[siege_random(siege) % (STRATEGY_COUNT - 1 - argument)];
    chosen->stroke(siege, chosen->argument);
}

const struct strategy STRATEGIES[] = {
    {"tail back", poke, POKE(TX_TAIL, BACK), NEEDS_FLOW, "position"},
    {"tail ahead over old bytes", poke, POKE(TX_TAIL, AHEAD), NEEDS_FLOW, "any"},
    {"tail unaligned", poke, POKE(TX_TAIL, ODD), NEEDS_FLOW, "position"},
    {"tail beyond the ring", poke, POKE(TX_TAIL, OVER), NEEDS_FLOW, "position"},
    {"tail at the end of numbers", poke, POKE(TX_TAIL, MAXIMUM), NEEDS_FLOW, "position"},
    {"tail random", poke, POKE(TX_TAIL, RANDOM), NEEDS_NOTHING, "any"},
    {"engine's head random", poke, POKE(TX_HEAD, RANDOM), NEEDS_FLOW, "none"},
    {"engine's tail random", poke, POKE(RX_TAIL, RANDOM), NEEDS_FLOW, "none"},
    {"head back", poke, POKE(RX_HEAD, BACK), NEEDS_FLOW, "position"},
    {"head ahead", poke, POKE(RX_HEAD, AHEAD), NEEDS_FLOW, "position"},
    {"head unaligned", poke, POKE(RX_HEAD, ODD), NEEDS_FLOW, "position"},
    {"head at the end of numbers", poke, POKE(RX_HEAD, MAXIMUM), NEEDS_FLOW, "position"},
    {"own armed word random", poke, POKE(APPLICATION_ARMED, RANDOM), NEEDS_FLOW, "none"},
    {"engine's armed word random", poke, POKE(ENGINE_ARMED, RANDOM), NEEDS_FLOW, "none"},
    {"size huge", forge, SIZE_HUGE, NEEDS_FLOW, "record"},
    {"size beyond what is published", forge, SIZE_BEYOND, NEEDS_NOTHING, "record"},
    {"offset unaligned", forge, OFFSET_ODD, NEEDS_FLOW, "record"},
    {"offset beyond the message", forge, OFFSET_BEYOND, NEEDS_FLOW, "record"},
    {"total huge", forge, TOTAL_HUGE, NEEDS_FLOW, "record"},
    {"kind unknown", forge, KIND_UNKNOWN, NEEDS_FLOW, "record"},
    {"kind of the engine", forge, KIND_OF_ENGINE, NEEDS_FLOW, "record"},
    {"flags unknown", forge, FLAGS_UNKNOWN, NEEDS_FLOW, "record"},
    {"no first piece", forge, NO_FIRST, NEEDS_FLOW, "record"},
    {"no last piece", forge, NO_LAST, NEEDS_FLOW, "record"},
    {"priority out of range", forge, PRIORITY, NEEDS_FLOW, "record"},
    {"zero is not zero", forge, ZERO, NEEDS_FLOW, "record"},
    {"flows of others", forge, FLOW_FOREIGN, NEEDS_FLOW, "none"},
    {"closes flows of others", forge, CLOSE_FOREIGN, NEEDS_FLOW, "none"},
    {"close with payload", forge, CLOSE_WITH_PAYLOAD, NEEDS_FLOW, "record"},
    {"pieces of two messages", forge, PIECE_INTERLEAVED, NEEDS_FLOW, "record"},
    {"pieces that do not agree", forge, PIECE_CHANGED, NEEDS_FLOW, "record"},
    {"lanes of every number", forge, LANE, NEEDS_FLOW, "record"},
    {"torn records", forge, TORN, NEEDS_FLOW, "record"},
    {"headers of noise", forge, ALL_RANDOM, NEEDS_FLOW, "record"},
    {"headers that change under the engine", forge, FLIPPED, NEEDS_FLOW, "any"},
    {"noise over everything", scribble, NOISE, NEEDS_FLOW, "any"},
    {"noise before the seal", scribble, NOISE, NEEDS_NOTHING, "any"},
    {"zeros over everything", scribble, ZEROS, NEEDS_FLOW, "any"},
    {"ones over everything", scribble, ONES, NEEDS_FLOW, "any"},
    {"noise in the ring from the engine", scribble, NOISE_RX, NEEDS_FLOW, "none"},
    {"noise in the ring to the engine", scribble, NOISE_TX, NEEDS_FLOW, "any"},
    {"noise in the header", scribble, NOISE_HEADER, NEEDS_FLOW, "position"},
    {"truncates", play, TRUNCATE, NEEDS_NOTHING, "none"},
    {"grows", play, GROW, NEEDS_NOTHING, "none"},
    {"punches holes before the seal", play, PUNCH, NEEDS_NOTHING, "memory"},
    {"punches holes after the seal", play, PUNCH, NEEDS_FLOW, "none"},
    {"zeroes pages", play, ZERO_RANGE, NEEDS_NOTHING, "none"},
    {"removes pages", play, REMOVE_PAGES, NEEDS_NOTHING, "memory"},
    {"seals the seals", play, SEAL_FIRST, NEEDS_NOTHING, "memory"},
    {"maps again", play, MAP_AGAIN, NEEDS_FLOW, "none"},
    {"floods the doorbell", toll, FLOOD, NEEDS_FLOW, "none"},
    {"shuts the doorbell", toll, SHUT, NEEDS_FLOW, "none"},
    {"closes the doorbell", toll, CLOSED, NEEDS_FLOW, "none"},
    {"never reads the doorbell", toll, NEVER_READ, NEEDS_FLOW, "none"},
    {"passes descriptors", plead, DESCRIPTORS, NEEDS_FLOW, "none"},
    {"speaks nonsense", plead, NONSENSE, NEEDS_FLOW, "none"},
    {"leaves and goes on writing", plead, LEAVE_AND_WRITE, NEEDS_FLOW, "none"},
    {"listens on everything", plead, LISTEN_ALL, NEEDS_FLOW, "none"},
    {"all of these", everything, 0, NEEDS_FLOW, "any"},
};

const unsigned STRATEGY_COUNT = sizeof STRATEGIES / sizeof STRATEGIES[0];
