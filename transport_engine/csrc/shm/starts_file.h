/* A file in memory in which is noted what was started, where no channel outlives the process.
 *
 * Does not know whose it is, where it stands or who reads it: only that stores there cost what
 * stores to memory cost, and cannot fail.
 * Source: docs/channel.md §8
 */
#ifndef SHM_STARTS_FILE_H
#define SHM_STARTS_FILE_H

#include "shm/layout.h"

/* Maps the file, and begins it anew: nothing is known of any flow.
 * Owner: the descriptor stays the caller's.
 * Errors: TE_E_INVALID (another size, or not on a tmpfs), TE_E_SYSTEM; `why` says which. */
int starts_file_open(int fd, struct te_starts_file **file, char *why);
/* NULL does nothing. */
void starts_file_close(struct te_starts_file *file);

/* Its places, TE_STARTS_FLOWS of them. */
struct starts *starts_file_places(struct te_starts_file *file);

#endif
