#define _GNU_SOURCE
#include "netif/udp_receive.h"

#include <errno.h>
#include <stdlib.h>

#include "netif/sockaddr.h"

static void prepare(struct udp_inbox *inbox, int slot) {
    inbox->messages[slot].msg_hdr = (struct msghdr){
        .msg_name = &inbox->names[slot],
        .msg_namelen = sizeof inbox->names[slot],
        .msg_iov = &inbox->vectors[slot],
        .msg_iovlen = 1,
        .msg_control = inbox->control[slot],
        .msg_controllen = UDP_CONTROL_BYTES,
    };
}

int udp_inbox_init(struct udp_inbox *inbox) {
    *inbox = (struct udp_inbox){0};
    /* calloc, so that pages which no message reaches stay untouched */
    inbox->memory = calloc(TE_BURST_MAX, sizeof *inbox->memory);
    if (inbox->memory == NULL) {
        return TE_E_NO_MEMORY;
    }
    for (int slot = 0; slot < TE_BURST_MAX; slot++) {
        inbox->vectors[slot] = (struct iovec){inbox->memory[slot], UDP_MESSAGE_BYTES_MAX};
        prepare(inbox, slot);
    }
    return TE_OK;
}

void udp_inbox_fini(struct udp_inbox *inbox) {
    free(inbox->memory);
    inbox->memory = NULL;
}

bool udp_inbox_is_empty(const struct udp_inbox *inbox) {
    return inbox->next == inbox->filled;
}

void udp_inbox_begin(struct udp_inbox *inbox) {
    for (int slot = 0; slot < inbox->filled; slot++) {
        prepare(inbox, slot);
    }
    inbox->filled = inbox->next = 0;
    inbox->offset_bytes = 0;
}

void udp_inbox_receive(struct udp_inbox *inbox, int fd, uint16_t port, int count) {
    int room = TE_BURST_MAX - inbox->filled;
    int wanted = count < room ? count : room;
    if (wanted <= 0) {
        return;
    }
    int received = recvmmsg(fd, &inbox->messages[inbox->filled], (unsigned)wanted, MSG_DONTWAIT,
                            NULL);
    inbox->calls++;
    if (received <= 0) {
        inbox->has_failed |= received < 0 && errno != EAGAIN && errno != EINTR;
        return;
    }
    for (int i = 0; i < received; i++) {
        inbox->ports[inbox->filled++] = port;
    }
}

/* Hands on what is left of one message. Returns the datagrams. */
static int deal_message(struct udp_inbox *inbox, const struct te_endpoint *local,
                        uint64_t burst_ns, struct netif_datagram *datagrams, int count) {
    int slot = inbox->next;
    struct msghdr *header = &inbox->messages[slot].msg_hdr;
    uint32_t total_bytes = inbox->messages[slot].msg_len;
    struct netif_datagram common = {.local = *local};
    common.local.port = inbox->ports[slot];
    sockaddr_read(header->msg_name, &common.remote);
    uint32_t each_bytes = udp_control_read(header, burst_ns, &common);
    each_bytes = each_bytes == 0 || each_bytes > total_bytes ? total_bytes : each_bytes;
    bool is_unfit =
        (header->msg_flags & MSG_TRUNC) != 0 || each_bytes > NETIF_DATAGRAM_BYTES_MAX;
    int dealt = 0;
    do { /* at least once: a datagram may be empty */
        uint32_t left_bytes = total_bytes - inbox->offset_bytes;
        uint32_t size_bytes = left_bytes < each_bytes ? left_bytes : each_bytes;
        if (is_unfit) {
            inbox->unfit++;
        } else {
            datagrams[dealt] = common;
            datagrams[dealt].bytes = inbox->memory[slot] + inbox->offset_bytes;
            datagrams[dealt++].size_bytes = size_bytes;
        }
        inbox->offset_bytes += size_bytes;
    } while (inbox->offset_bytes < total_bytes && dealt < count);
    if (inbox->offset_bytes == total_bytes) {
        inbox->next++;
        inbox->offset_bytes = 0;
    }
    return dealt;
}

int udp_inbox_deal(struct udp_inbox *inbox, const struct te_endpoint *local,
                   struct netif_datagram *datagrams, int count) {
    int dealt = 0;
    if (udp_inbox_is_empty(inbox)) {
        return 0;
    }
    uint64_t burst_ns = udp_control_now_ns(); /* what an earlier burst left has waited on */
    while (dealt < count && !udp_inbox_is_empty(inbox)) {
        dealt += deal_message(inbox, local, burst_ns, datagrams + dealt, count - dealt);
    }
    return dealt;
}
