/* Whatever the kernel says of UDP datagrams, and of those that came back, gives datagrams that lie
 * within what it wrote, in the order in which it came, and nothing twice.
 *
 * The kernel's calls are replaced: the input says what each gives, as a kernel can say it. A
 * message's bytes are its number, so that what is handed on tells which message it is of.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h> /* struct timespec, which the next one wants */

#include <linux/errqueue.h>

#include "input.h"
#include "ip/address.h"
#include "netif/udp_receive.h"
#include "netif/udp_returned.h"

enum { ROUNDS_MAX = 16, CONTROLS_MAX = 6, CONTROL_BYTES_MAX = 32, DEALT_MAX = TE_BURST_MAX };

static struct input *kernel;
static uint8_t message_number;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

/* ---- what the kernel says ---- */

static void add_control(struct msghdr *header, size_t *used, int level, int type,
                        size_t size_bytes) {
    uint8_t value[CONTROL_BYTES_MAX] = {0};
    if (*used + CMSG_SPACE(size_bytes) > header->msg_controllen) {
        header->msg_flags |= MSG_CTRUNC;
        return;
    }
    input_copy(kernel, value, size_bytes);
    struct cmsghdr *control = (struct cmsghdr *)(void *)((uint8_t *)header->msg_control + *used);
    *control = (struct cmsghdr){CMSG_LEN(size_bytes), level, type};
    memcpy(CMSG_DATA(control), value, size_bytes);
    *used += CMSG_SPACE(size_bytes);
}

/* Values are any, sizes are the kernel's. */
static void fill_control(struct msghdr *header) {
    static const struct {
        int level, type;
        size_t size_bytes;
    } kinds[] = {
        {SOL_SOCKET, SCM_TIMESTAMPNS, sizeof(struct timespec)},
        {IPPROTO_IP, IP_PKTINFO, sizeof(struct in_pktinfo)},
        {IPPROTO_IPV6, IPV6_PKTINFO, sizeof(struct in6_pktinfo)},
        {IPPROTO_IP, IP_TOS, 1},
        {IPPROTO_IPV6, IPV6_TCLASS, sizeof(int)},
        {IPPROTO_UDP, UDP_GRO, sizeof(int)},
        {IPPROTO_IP, IP_RECVERR, sizeof(struct sock_extended_err)},
        {IPPROTO_IPV6, IPV6_RECVERR, sizeof(struct sock_extended_err)},
    };
    size_t used = 0;
    for (int left = input_u8(kernel) % (CONTROLS_MAX + 1); left > 0; left--) {
        const size_t kind = input_u8(kernel) % (sizeof kinds / sizeof kinds[0]);
        add_control(header, &used, kinds[kind].level, kinds[kind].type, kinds[kind].size_bytes);
    }
    header->msg_controllen = used;
}

/* Returns the bytes of the message. */
static uint32_t fill_message(struct msghdr *header) {
    static const sa_family_t families[] = {AF_INET, AF_INET6, AF_UNSPEC};
    struct sockaddr_storage *name = header->msg_name;
    const struct iovec *vector = header->msg_iov;
    const uint8_t how = input_u8(kernel);
    header->msg_flags = 0;
    input_copy(kernel, (uint8_t *)name, sizeof(struct sockaddr_in6));
    name->ss_family = families[how % 3];
    header->msg_namelen = (how & 0x20) != 0 ? 0 : sizeof(struct sockaddr_in6);
    fill_control(header);
    const uint32_t any_bytes = input_u16(kernel);
    const uint32_t size_bytes = any_bytes >> (how & 0x40 ? 0 : 8);
    const bool is_cut = size_bytes > vector->iov_len;
    header->msg_flags |= is_cut ? MSG_TRUNC : 0;
    const uint32_t written = is_cut ? (uint32_t)vector->iov_len : size_bytes;
    memset(vector->iov_base, message_number++, written);
    return written;
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
             struct timespec *timeout) {
    (void)fd, (void)flags, (void)timeout;
    const unsigned wanted = input_u8(kernel) % 8;
    if (wanted == 0 || !input_has_more(kernel)) {
        errno = wanted == 0 ? EAGAIN : ECONNREFUSED;
        return -1;
    }
    const unsigned given = wanted < count ? wanted : count;
    for (unsigned i = 0; i < given; i++) {
        messages[i].msg_len = fill_message(&messages[i].msg_hdr);
    }
    return (int)given;
}

ssize_t recvmsg(int fd, struct msghdr *header, int flags) {
    (void)fd;
    must((flags & MSG_ERRQUEUE) != 0);
    if (input_u8(kernel) % 8 == 0 || !input_has_more(kernel)) {
        errno = EAGAIN;
        return -1;
    }
    return (ssize_t)fill_message(header);
}

/* ---- what is handed on ---- */

static void read_through(const struct netif_datagram *datagram, uint32_t size_max) {
    must(datagram->size_bytes <= size_max);
    for (uint32_t i = 1; i < datagram->size_bytes; i++) {
        must(datagram->bytes[i] == datagram->bytes[0]);
    }
}

static void check_received(const struct udp_inbox *inbox, const struct netif_datagram *datagram,
                           uint8_t *before) {
    read_through(datagram, NETIF_DATAGRAM_BYTES_MAX);
    const uint8_t *memory = (const uint8_t *)inbox->memory;
    must(datagram->bytes >= memory);
    must(datagram->bytes + datagram->size_bytes <= memory + TE_BURST_MAX * sizeof *inbox->memory);
    must(datagram->ecn <= 3 && !datagram->is_returned);
    if (datagram->size_bytes > 0) { /* of this message or a later one */
        must((int8_t)(datagram->bytes[0] - *before) >= 0);
        *before = datagram->bytes[0];
    }
}

/* Whatever the clocks say, it did not wait for longer than anybody would. */
static void check_waited(const struct netif_datagram *datagram) {
    must(datagram->waited_ns < UINT64_C(60000000000));
}

static void receive(struct input *input, struct udp_inbox *inbox) {
    static struct netif_datagram dealt[DEALT_MAX];
    const struct te_endpoint local = {{[15] = 1}, 7, 0};
    uint64_t total = 0;
    uint8_t before = message_number;
    udp_inbox_begin(inbox);
    for (int sockets = input_u8(input) % 3; sockets >= 0; sockets--) {
        udp_inbox_receive(inbox, -1, (uint16_t)sockets, 1 + input_u8(input) % TE_BURST_MAX);
    }
    while (!udp_inbox_is_empty(inbox)) {
        const int room = 1 + input_u8(input) % DEALT_MAX;
        const int count = udp_inbox_deal(inbox, &local, dealt, room);
        must(count >= 0 && count <= room && (count > 0 || udp_inbox_is_empty(inbox)));
        for (int i = 0; i < count; i++) {
            check_received(inbox, &dealt[i], &before);
            check_waited(&dealt[i]);
            total += dealt[i].size_bytes;
        }
    }
    must(total <= (uint64_t)inbox->filled * UDP_MESSAGE_BYTES_MAX);
}

static void take_back(struct input *input, struct udp_returned *returned) {
    struct netif_datagram dealt[UDP_RETURNED_MAX];
    const struct te_endpoint local = {{[15] = 1}, 7, 0};
    for (int sockets = input_u8(input) % 3; sockets >= 0; sockets--) {
        udp_returned_take(returned, -1, &local);
        must(returned->count >= 0 && returned->count <= UDP_RETURNED_MAX);
    }
    const int room = input_u8(input) % (UDP_RETURNED_MAX + 1);
    const int held = returned->count;
    const int count = udp_returned_deal(returned, dealt, room);
    must(count == (held < room ? held : room) && returned->count == 0);
    for (int i = 0; i < count; i++) {
        read_through(&dealt[i], UDP_RETURNED_BYTES_MAX);
        must(dealt[i].is_returned && dealt[i].local.port == local.port);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    static struct udp_inbox inbox;
    static struct udp_returned returned;
    struct input input = {bytes, size_bytes, 0};
    kernel = &input;
    message_number = 0;
    if (inbox.memory == NULL) {
        must(udp_inbox_init(&inbox) == TE_OK);
    }
    for (int round = 0; input_has_more(&input) && round < ROUNDS_MAX; round++) {
        if (input_u8(&input) % 2 == 0) {
            receive(&input, &inbox);
        } else {
            take_back(&input, &returned);
        }
    }
    return 0;
}
