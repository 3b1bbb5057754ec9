/* DPDK's process-wide environment: started once, with arguments that suit one engine thread. */
#ifndef NETIF_DPDK_EAL_H
#define NETIF_DPDK_EAL_H

/* Starts the EAL with `line` behind the defaults that it does not contradict.
 * Thread: keeps the caller's processor affinity, which the EAL alone would change.
 * Errors: TE_E_INVALID, TE_E_NO_MEMORY (hugepages), TE_E_IN_USE (started before), TE_E_SYSTEM. */
int dpdk_eal_start(const char *line, char *why);

/* Makes the calling thread known to DPDK until it ends: only such threads have memory for packets
 * at hand, and do not share a list of it with all others. Without a place for it nothing
 * changes. */
void dpdk_eal_enter(void);

/* The last thing that it logged while it started: why a device is missing, if one is. */
const char *dpdk_eal_last_words(void);

/* Ends it, and removes what it made. It cannot be started again in this process. */
void dpdk_eal_stop(void);

#endif
