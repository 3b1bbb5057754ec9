/* The public C interface to what became of requests, for a side of a channel that is left alone.
 *
 * Like transport_engine.h this header is the one definition of its layouts.
 */
#ifndef TRANSPORT_FATES_H
#define TRANSPORT_FATES_H

#include "transport_engine.h"

/* cffi: begin */

enum te_status { TE_DEADLINE_EXCEEDED = 4 }; /* the only code that engines give by themselves */

/* What an application has noted of a request that it took (docs/channel.md §8). */
enum te_start {
    TE_UNSTARTED = 0, /* nothing: its handler has not started */
    TE_TAKEN = 1,     /* its handler may have started */
    TE_STARTED = 2    /* its handler has started */
};

enum { TE_STARTS_WORDS = 32, TE_STARTS_FLOWS = 64 };

/* The same of the latest requests of a flow: call id c has bits 2 * (c % 32) and the next of word
 * c / 32 % TE_STARTS_WORDS. Of those above `newest` nothing was noted; of those in words more than
 * TE_STARTS_WORDS before its own nothing is known. */
struct te_starts {
    uint64_t newest;
    uint64_t words[TE_STARTS_WORDS];
};

/* The same as it is kept for one flow. */
struct te_starts_place {
    uint64_t flow; /* and 1; 0: nobody's */
    struct te_starts starts;
    uint64_t number; /* of the flow, which both its ends know; 0: it has none */
    uint8_t zero[104];
};

enum { TE_STARTS_MAGIC = 0x53545254, TE_STARTS_VERSION = 1 };

/* A file that holds it for whoever comes after a process that is killed. */
struct te_starts_file {
    uint32_t magic;
    uint32_t version;
    uint32_t flows;       /* TE_STARTS_FLOWS */
    uint32_t place_bytes; /* of each place */
    uint8_t zero[112];
    struct te_starts_place places[TE_STARTS_FLOWS];
};

/* The headers of requests that wait in the ring for the other side, the oldest first; only those
 * of which it has taken nothing. Returns how many; TE_E_CORRUPT as of te_channel_receive. */
int te_channel_untaken(struct te_channel *channel, struct te_record *heads, int heads_max);

/* From now on it is noted what has started of a flow's requests, until another flow, of which the
 * handle is the same modulo TE_STARTS_FLOWS, takes the place. `number` is that of the flow. */
void te_channel_begin_starts(struct te_channel *channel, uint32_t flow, uint64_t number);
/* From now on it is noted in this file, which is begun anew: beside the channel's memory, or in its
 * place, for a side whose channel dies with it. The file says nothing of flows that were begun
 * before; where it is in that place, nobody does.
 * Owner: the descriptor stays the caller's.
 * Errors: TE_E_INVALID (a file of another size, or not on a tmpfs; it has one already),
 * TE_E_SYSTEM; `why` (TE_WHY_BYTES) says which. */
int te_channel_keep_starts(struct te_channel *channel, int fd, int is_beside, char *why);
/* Notes what is true of a request from here on (enum te_start): before its handler starts that it
 * may have. It stays true when this process is killed. */
void te_channel_note(struct te_channel *channel, uint32_t flow, uint64_t call_id, int state);
/* What this side, or the other one, has noted of a flow. 1; 0: nothing is known. Of the other side
 * it is only the last word once that has closed its end. */
int te_channel_starts(const struct te_channel *channel, uint32_t flow, int is_own,
                      struct te_starts *starts);

/* Whether the peer's engine has acknowledged all of a request of this side, as the engine here last
 * told. 0: it has not, or nothing is known; which is so of pairs, where there is no engine. */
int te_channel_has_acked(const struct te_channel *channel, uint32_t flow, uint64_t call_id);

/* cffi: end */

#endif
