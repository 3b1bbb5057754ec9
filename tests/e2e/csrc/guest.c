#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    MESSAGE_BYTES_MAX = 4096,
    ANSWER_MS = 10000,
    LOOP_MS = 10000,
    HEADS = 16,
    DESCRIPTORS = 2
};

/* A message under construction: msgpack, as far as requests need it. */
struct words {
    uint8_t bytes[256];
    size_t size;
};

void die(const char *sentence) {
    fprintf(stderr, "%s: %s\n", sentence, strerror(errno));
    exit(2);
}

uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void put_byte(struct words *words, uint8_t byte) {
    words->bytes[words->size++] = byte;
}

static void put_text(struct words *words, const char *text) {
    const size_t size = strlen(text); /* a fixstr: below 32 */
    put_byte(words, (uint8_t)(0xA0 | size));
    memcpy(words->bytes + words->size, text, size);
    words->size += size;
}

static void put_number(struct words *words, uint64_t number) {
    put_byte(words, 0xCF);
    for (int shift = 56; shift >= 0; shift -= 8) {
        put_byte(words, (uint8_t)(number >> shift));
    }
}

static struct words request(const char *op, uint8_t pairs) {
    struct words words = {.size = 0};
    put_byte(&words, (uint8_t)(0x80 | pairs));
    put_text(&words, "op");
    put_text(&words, op);
    put_text(&words, "id");
    put_number(&words, 1);
    return words;
}

/* Where the value of a key begins in an answer; NULL if it has none. */
static const uint8_t *find(const uint8_t *answer, size_t size, const char *key) {
    struct words words = {.size = 0};
    put_text(&words, key);
    const uint8_t *at = memmem(answer, size, words.bytes, words.size);
    return at == NULL ? NULL : at + words.size;
}

/* One answer, and with it up to two descriptors. Returns its bytes, 0 when the engine is gone. */
static size_t hear(int fd, uint8_t *answer, int *fds) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    char control[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
    struct iovec vector = {answer, MESSAGE_BYTES_MAX};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    if (poll(&wait, 1, ANSWER_MS) != 1) {
        return 0;
    }
    const ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header != NULL && header->cmsg_type == SCM_RIGHTS) {
        memcpy(fds, CMSG_DATA(header), DESCRIPTORS * sizeof(int));
    }
    return got > 0 ? (size_t)got : 0;
}

static size_t ask(struct guest *guest, const struct words *words, uint8_t *answer) {
    int fds[DESCRIPTORS] = {-1, -1};
    if (send(guest->control_fd, words->bytes, words->size, MSG_NOSIGNAL) < 0) {
        return 0;
    }
    const size_t size = hear(guest->control_fd, answer, fds);
    if (fds[0] >= 0) {
        guest->memory_fd = fds[0];
        guest->doorbell_fd = fds[1];
    }
    return find(answer, size, "result") == NULL ? 0 : size;
}

static int control_connect(const char *socket_path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    strncpy(address.sun_path, socket_path, sizeof address.sun_path - 1);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

bool guest_attach(struct guest *guest, const char *socket_path, uint64_t ring_bytes) {
    uint8_t answer[MESSAGE_BYTES_MAX];
    *guest = (struct guest){.control_fd = -1, .memory_fd = -1, .doorbell_fd = -1};
    guest->control_fd = control_connect(socket_path);
    if (guest->control_fd < 0) {
        return false;
    }
    struct words words = request("attach", 4);
    put_text(&words, "version");
    put_byte(&words, 1);
    put_text(&words, "ring_bytes");
    put_number(&words, ring_bytes);
    const size_t size = ask(guest, &words, answer);
    const uint8_t *local = find(answer, size, "local");
    if (local == NULL || guest->memory_fd < 0) {
        guest_leave(guest);
        return false;
    }
    memcpy(guest->local, local + 1, local[0] & 0x1F);
    return true;
}

void guest_leave(struct guest *guest) {
    const int fds[] = {guest->control_fd, guest->memory_fd, guest->doorbell_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    guest->control_fd = guest->memory_fd = guest->doorbell_fd = -1;
}

uint16_t guest_listen(struct guest *guest) {
    uint8_t answer[MESSAGE_BYTES_MAX];
    struct words words = request("listen", 3);
    put_text(&words, "port");
    put_byte(&words, 0);
    const size_t size = ask(guest, &words, answer);
    const uint8_t *port = find(answer, size, "port");
    /* A free port is above 32767: msgpack writes it as uint 16. */
    return port == NULL || port[0] != 0xCD ? 0 : (uint16_t)(port[1] << 8 | port[2]);
}

bool guest_connect(struct guest *guest, uint16_t port, uint64_t token) {
    uint8_t answer[MESSAGE_BYTES_MAX];
    char remote[GUEST_LOCAL_BYTES + 8];
    const char *colon = strrchr(guest->local, ':');
    snprintf(remote, sizeof remote, "%.*s:%u", (int)(colon - guest->local), guest->local, port);
    struct words words = request("connect", 4);
    put_text(&words, "remote");
    put_text(&words, remote);
    put_text(&words, "token");
    put_number(&words, token);
    return ask(guest, &words, answer) != 0;
}

struct te_channel *guest_open_channel(struct guest *guest) {
    char why[TE_WHY_BYTES];
    struct te_channel *channel = NULL;
    const int error = te_channel_open(guest->memory_fd, guest->doorbell_fd, &channel, why);
    guest->memory_fd = guest->doorbell_fd = -1;
    if (error != TE_OK) {
        fprintf(stderr, "%s\n", why);
        exit(2);
    }
    return channel;
}

bool channel_wait(struct te_channel *channel, int wakes, int milliseconds) {
    if (te_channel_arm(channel, wakes) != 0) {
        return true;
    }
    struct pollfd wait = {.fd = te_channel_fd(channel), .events = POLLIN};
    poll(&wait, 1, milliseconds);
    return te_channel_awake(channel) == TE_OK;
}

bool guest_loop(struct guest *guest, struct te_channel *channel, struct loop *loop) {
    static uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    struct te_record heads[HEADS];
    int ends = 0;
    const uint16_t port = guest_listen(guest);
    if (port == 0 || !guest_connect(guest, port, 1)) {
        return false;
    }
    const uint64_t until_ns = now_ns() + LOOP_MS * UINT64_C(1000000);
    while (ends < 2 && now_ns() < until_ns) {
        const int count = te_channel_receive(channel, heads, HEADS, payload, sizeof payload);
        for (int i = 0; i < count; i++) {
            ends += heads[i].kind == TE_FLOW_OPENED || heads[i].kind == TE_FLOW_ACCEPTED;
            if (heads[i].kind == TE_FLOW_OPENED) {
                loop->near = heads[i].flow;
            } else if (heads[i].kind == TE_FLOW_ACCEPTED) {
                loop->far = heads[i].flow;
            }
        }
        if (count < 0 || (count == 0 && !channel_wait(channel, TE_WAKE_READABLE, 100))) {
            return false;
        }
    }
    return ends == 2;
}
