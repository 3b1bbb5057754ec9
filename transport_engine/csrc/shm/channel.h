/* The engine's end of a channel: one application's memory, seen by a side that trusts none of it.
 *
 * Knows rings, records and the doorbell. Does not know flows, tenants' rights or what a message
 * means. docs/channel.md gives the layout and the reasons.
 *
 * Thread: the engine's. No function here blocks.
 */
#ifndef SHM_CHANNEL_H
#define SHM_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "transport_engine.h"
#include "transport_fates.h"

struct channel;

/* Makes the memory (two rings of `ring_bytes` each) and the doorbell of a new channel.
 * Owner: `memory_fd` and `doorbell_fd` are the application's ends; the caller passes them on and
 * closes its copies.
 * Errors: TE_E_INVALID (ring_bytes is no power of two within its limits), TE_E_NO_MEMORY,
 * TE_E_SYSTEM; `why` (TE_WHY_BYTES) says what to do. */
int channel_create(uint64_t ring_bytes, struct channel **channel, int *memory_fd, int *doorbell_fd,
                   char *why);
void channel_destroy(struct channel *channel);

/* Takes from the application the power to change the memory's pages under the engine. It happens
 * by itself before the first record is read or written, when an honest application has mapped the
 * memory already; calling it again does nothing.
 * Errors: TE_E_CORRUPT when the application has removed pages before; TE_E_SYSTEM. */
int channel_seal(struct channel *channel);

/* Reads the next record that the application sent. 1: `*record` is a checked copy of its header,
 * and `*payload` points to its bytes in the ring, which the application may still change: copy
 * them once. 0: there is none. TE_E_CORRUPT: quarantine the application.
 * Peeking again before channel_pop gives the same copy, and reads nothing again. */
int channel_peek(struct channel *channel, struct te_record *record, const uint8_t **payload);
/* The flow that the record after the one peeked names, before anything of it is checked: what to
 * have fetched. False: it is not known to have come. */
bool channel_ahead(struct channel *channel, uint32_t *flow);
/* Gives up the record peeked; the application gets its room back with the next channel_flush. */
void channel_pop(struct channel *channel);

/* Finds room for one record to the application. Returns the record, to be written in place with its
 * payload behind it, or NULL: with `*error` TE_OK the ring is full (channel_arm then waits for
 * room), else TE_E_CORRUPT or TE_E_SYSTEM. A second reservation replaces one that was not
 * committed. */
struct te_record *channel_reserve(struct channel *channel, uint32_t size_bytes, int *error);
/* Adds the reserved record, whose payload may have shrunk; seen after the next channel_flush. */
void channel_commit(struct channel *channel, uint32_t size_bytes);

/* Publishes what was popped and committed, and wakes the application if it sleeps for that. */
void channel_flush(struct channel *channel);

/* Prepares to sleep on channel_fd. 1: there is something to do already, and nothing is armed;
 * 0: the application will ring once there is a new record, or room if a reservation failed.
 * A record peeked and not popped counts as known: an engine that cannot take it now may sleep. */
int channel_arm(struct channel *channel);
/* Nobody rings any more; the caller looks at the rings after that. */
void channel_disarm(struct channel *channel);
/* Empties the doorbell. TE_E_CLOSED: the application is gone. */
int channel_awake(struct channel *channel);

/* What the application has noted of a flow's requests; the last word once it is gone. False:
 * nothing is known. */
bool channel_starts(const struct channel *channel, uint32_t flow, struct te_starts *starts);

/* Lets the application know that all requests of a flow with lower call ids are whole at the peer.
 * Only of flows of which it has sent something. */
void channel_tell_acked(const struct channel *channel, uint32_t flow, uint64_t call_id);

/* How much each of its rings holds. */
uint64_t channel_ring_bytes(const struct channel *channel);

/* What the last TE_E_CORRUPT of this channel was about: enum te_violation. */
uint8_t channel_violation(const struct channel *channel);

int channel_fd(const struct channel *channel);

#endif
