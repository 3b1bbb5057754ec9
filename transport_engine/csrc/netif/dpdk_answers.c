#include "netif/dpdk_answers.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "transport_engine.h"

enum answers_constant {
    ANSWERS_MAX = 64,
    TYPE_OFFSET = 12, /* of an Ethernet frame; IP and ARP begin behind it */
    TYPE_ARP = 0x0806,
    TYPE_IPV6 = 0x86dd,
    ARP_OPERATION_OFFSET = 14 + 7, /* its lower byte */
    ARP_REPLY = 2,
    ARP_SENDER_OFFSET = 14 + 14, /* IPv4 addresses */
    ARP_TARGET_OFFSET = 14 + 24,
    ARP_END = ARP_TARGET_OFFSET + 4,
    IPV6_NEXT_OFFSET = 14 + 6,
    IPV6_NEXT_ICMP = 58,
    ICMPV6_TYPE_OFFSET = 14 + 40,
    ICMPV6_ADVERTISEMENT = 136
};

int dpdk_answers_open(struct dpdk_answers *answers, unsigned number) {
    char name[RTE_RING_NAMESIZE];
    snprintf(name, sizeof name, "answers_%u", number);
    answers->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    answers->ring = rte_ring_create(name, ANSWERS_MAX, SOCKET_ID_ANY, RING_F_SC_DEQ);
    if (answers->ring == NULL || answers->bell < 0) {
        dpdk_answers_close(answers);
        return TE_E_NO_MEMORY;
    }
    return TE_OK;
}

void dpdk_answers_drain(const struct dpdk_answers *answers) {
    struct rte_mbuf *mbuf;
    while (answers->ring != NULL && rte_ring_dequeue(answers->ring, (void **)&mbuf) == 0) {
        rte_pktmbuf_free(mbuf);
    }
}

void dpdk_answers_close(struct dpdk_answers *answers) {
    dpdk_answers_drain(answers);
    rte_ring_free(answers->ring);
    if (answers->bell >= 0) {
        close(answers->bell);
    }
    *answers = (struct dpdk_answers){.bell = -1};
}

void dpdk_answers_watch(const struct dpdk_answers *answers, int epoll_fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    if (answers->bell >= 0) {
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, answers->bell, &event);
    }
}

/* An announcement is an answer to everybody, and in ARP a question for the asker's own address. */
static bool is_answer(const struct rte_mbuf *mbuf) {
    const uint8_t *bytes = rte_pktmbuf_mtod(mbuf, const uint8_t *);
    if (mbuf->data_len < ARP_END) {
        return false;
    }
    int type = bytes[TYPE_OFFSET] << 8 | bytes[TYPE_OFFSET + 1];
    if (type == TYPE_ARP) {
        return bytes[ARP_OPERATION_OFFSET] == ARP_REPLY ||
               memcmp(bytes + ARP_SENDER_OFFSET, bytes + ARP_TARGET_OFFSET, 4) == 0;
    }
    return type == TYPE_IPV6 && mbuf->data_len > ICMPV6_TYPE_OFFSET &&
           bytes[IPV6_NEXT_OFFSET] == IPV6_NEXT_ICMP &&
           bytes[ICMPV6_TYPE_OFFSET] == ICMPV6_ADVERTISEMENT;
}

void dpdk_answers_put(struct dpdk_answers *answers, const struct rte_mbuf *mbuf) {
    if (!is_answer(mbuf)) {
        return;
    }
    struct rte_mbuf *copy = rte_pktmbuf_copy(mbuf, mbuf->pool, 0, UINT32_MAX);
    if (copy == NULL) {
        return;
    }
    if (rte_ring_enqueue(answers->ring, copy) != 0) {
        rte_pktmbuf_free(copy);
        return;
    }
    eventfd_write(answers->bell, 1); /* whether it sleeps or not: they are few */
}

int dpdk_answers_take(struct dpdk_answers *answers, struct rte_mbuf **mbufs, int count) {
    return answers->ring == NULL
               ? 0
               : (int)rte_ring_dequeue_burst(answers->ring, (void **)mbufs, (unsigned)count, NULL);
}

int dpdk_answers_wait(const struct dpdk_answers *answers) {
    return answers->ring != NULL && !rte_ring_empty(answers->ring);
}
