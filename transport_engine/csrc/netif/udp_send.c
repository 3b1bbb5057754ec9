#define _GNU_SOURCE
#include "netif/udp_send.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#include "netif/sockaddr.h"

enum { SEGMENTS_MAX = 64 /* UDP_MAX_SEGMENTS of kernels before 6.9 */ };

void udp_outbox_init(struct udp_outbox *outbox, int family, bool wildcard) {
    memset(outbox, 0, sizeof *outbox);
    outbox->family = family;
    outbox->wildcard = wildcard;
}

void udp_outbox_probe(struct udp_outbox *outbox, int fd) {
    int none = 0;
    outbox->has_segments = setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof none) == 0;
}

static bool goes_with(const struct netif_datagram *datagram, const struct netif_datagram *first) {
    return datagram->remote.port == first->remote.port && datagram->ecn == first->ecn &&
           memcmp(datagram->remote.address, first->remote.address, TE_ADDRESS_BYTES) == 0 &&
           memcmp(datagram->local.address, first->local.address, TE_ADDRESS_BYTES) == 0;
}

/* How many of the first datagrams could go as one message. */
static int find_run(const struct netif_datagram *datagrams, int count) {
    uint32_t each_bytes = datagrams[0].size_bytes;
    uint32_t total_bytes = each_bytes;
    int run = 1;
    if (each_bytes == 0 || each_bytes > NETIF_DATAGRAM_BYTES_MAX) {
        return run;
    }
    bool is_open = true; /* a shorter one ends the run */
    while (is_open && run < count && run < SEGMENTS_MAX) {
        const struct netif_datagram *next = &datagrams[run];
        if (next->size_bytes == 0 || next->size_bytes > each_bytes ||
            next->size_bytes > UDP_SEGMENTED_BYTES_MAX - total_bytes ||
            !goes_with(next, &datagrams[0])) {
            break;
        }
        is_open = next->size_bytes == each_bytes;
        total_bytes += next->size_bytes;
        run++;
    }
    return run;
}

/* One message of `run` datagrams in `slot`; its vectors begin at `vector`. Returns false if this
 * socket's family cannot express the destination. */
static bool prepare(struct udp_outbox *outbox, int slot, int vector,
                    const struct netif_datagram *datagrams, int run) {
    socklen_t name_bytes =
        sockaddr_write(&datagrams[0].remote, outbox->family, &outbox->names[slot]);
    struct msghdr *header = &outbox->messages[slot].msg_hdr;
    for (int i = 0; i < run; i++) {
        outbox->vectors[vector + i] =
            (struct iovec){datagrams[i].bytes, datagrams[i].size_bytes};
    }
    *header = (struct msghdr){
        .msg_name = &outbox->names[slot],
        .msg_namelen = name_bytes,
        .msg_iov = &outbox->vectors[vector],
        .msg_iovlen = (size_t)run,
        .msg_control = outbox->control[slot],
    };
    udp_control_write(header, outbox->family, outbox->wildcard, &datagrams[0]);
    if (run > 1) {
        udp_control_write_segment(header, (uint16_t)datagrams[0].size_bytes);
    }
    if (header->msg_controllen == 0) {
        header->msg_control = NULL;
    }
    outbox->datagrams[slot] = run;
    return name_bytes != 0;
}

/* Makes messages of the first datagrams, up to one that the socket cannot send. Returns them. */
static int prepare_all(struct udp_outbox *outbox, const struct netif_datagram *datagrams,
                       int count) {
    int messages = 0;
    int at = 0;
    while (at < count) {
        int run = outbox->has_segments ? find_run(datagrams + at, count - at) : 1;
        if (run > 1 &&
            !udp_path_may_carry(udp_paths_find(&outbox->paths, &datagrams[at].remote))) {
            run = 1;
        }
        if (!prepare(outbox, messages, at, datagrams + at, run)) {
            break;
        }
        messages++;
        at += run;
    }
    return messages;
}

/* How far the sending of some messages came. */
struct progress {
    int taken;   /* datagrams */
    int refused; /* datagrams of the message behind them, which is to be sent again, uncut */
    bool is_blocked;
};

/* What the kernel has to say of a datagram that was sent earlier ends the next call, whatever that
 * would send. So a message fails if it does so twice; and a call that was cut short may have been
 * told something that the next one is not. */
static struct progress send_messages(struct udp_outbox *outbox, int fd, int messages) {
    struct progress progress = {0};
    bool has_failed = false; /* the message at `done` */
    int done = 0;
    while (done < messages) {
        int sent = sendmmsg(fd, outbox->messages + done, (unsigned)(messages - done),
                            MSG_DONTWAIT);
        outbox->calls++;
        for (int i = 0; i < sent; i++) {
            progress.taken += outbox->datagrams[done++];
        }
        if (sent > 0) {
            outbox->has_failed |= done < messages;
            has_failed = false;
            continue;
        }
        progress.is_blocked = errno == EAGAIN || errno == ENOBUFS;
        if (progress.is_blocked) {
            break;
        }
        outbox->has_failed = true;
        has_failed = !has_failed;
        if (has_failed) {
            continue;
        }
        if (outbox->datagrams[done] > 1) {
            progress.refused = outbox->datagrams[done];
            break;
        }
        progress.taken++;
        done++;
    }
    return progress;
}

/* Sends datagrams one by one, so that each is judged for itself. */
static struct progress send_uncut(struct udp_outbox *outbox, int fd,
                                  const struct netif_datagram *datagrams, int count) {
    for (int i = 0; i < count; i++) {
        prepare(outbox, i, i, datagrams + i, 1);
    }
    return send_messages(outbox, fd, count);
}

int udp_outbox_send(struct udp_outbox *outbox, int fd, const struct netif_datagram *datagrams,
                    int count) {
    struct progress progress = {0};
    int taken = 0;
    while (taken < count && !progress.is_blocked) {
        if (progress.refused > 0) {
            udp_path_failed(udp_paths_find(&outbox->paths, &datagrams[taken].remote));
            progress = send_uncut(outbox, fd, datagrams + taken, progress.refused);
            taken += progress.taken;
            continue;
        }
        int messages = prepare_all(outbox, datagrams + taken, count - taken);
        progress = send_messages(outbox, fd, messages);
        taken += messages > 0 ? progress.taken : 1; /* lost: its family has no route from here */
    }
    return taken;
}
