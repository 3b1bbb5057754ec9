/* The public C interface to what became of requests, for a side of a channel that is left alone.
 *
 * Like transport_engine.h this header is the one definition of its layouts.
 */
#ifndef TRANSPORT_FATES_H
#define TRANSPORT_FATES_H

#include "transport_engine.h"

/* cffi: begin */

enum te_status { TE_DEADLINE_EXCEEDED = 4 }; /* the only code that engines give by themselves */

/* The headers of requests that wait in the ring for the other side, the oldest first; only those
 * of which it has taken nothing. Returns how many; TE_E_CORRUPT as of te_channel_receive. */
int te_channel_untaken(struct te_channel *channel, struct te_record *heads, int heads_max);

/* cffi: end */

#endif
