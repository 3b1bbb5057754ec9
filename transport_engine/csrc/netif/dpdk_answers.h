/* What neighbours answer, or announce, comes to one queue of a port: a copy for each other one.
 *
 * Between threads of this process; a full ring loses an answer, as a wire might, and it is asked
 * for again. Does not know what an answer says.
 */
#ifndef NETIF_DPDK_ANSWERS_H
#define NETIF_DPDK_ANSWERS_H

#include <stdint.h>

struct rte_mbuf;
struct rte_ring;

/* One queue's share of it. */
struct dpdk_answers {
    struct rte_ring *ring; /* NULL: the port has one queue. Owner: this */
    int bell;              /* becomes readable when an answer is put there; -1 */
};

/* Errors: TE_E_NO_MEMORY. */
int dpdk_answers_open(struct dpdk_answers *answers, unsigned number);
/* Frees what waits. */
void dpdk_answers_drain(const struct dpdk_answers *answers);
void dpdk_answers_close(struct dpdk_answers *answers);
/* Has the epoll descriptor become readable whenever an answer is put there. */
void dpdk_answers_watch(const struct dpdk_answers *answers, int epoll_fd);

/* Puts a copy there if the frame is a neighbour's answer or announcement. Thread: any. */
void dpdk_answers_put(struct dpdk_answers *answers, const struct rte_mbuf *mbuf);
/* Takes up to `count` frames. Owner: the caller's. Thread: the queue's. */
int dpdk_answers_take(struct dpdk_answers *answers, struct rte_mbuf **mbufs, int count);
/* Whether some wait. */
int dpdk_answers_wait(const struct dpdk_answers *answers);

#endif
