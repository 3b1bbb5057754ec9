/* Shares: what each tenant of the policy gets of an engine, over all its channels.
 *
 * Memory and flows have a maximum, records a rate, and packets a weight: ready flows wait in the
 * list of their share, and shares take turns of bytes and packets, so that many flows weigh no more
 * than one. What decides who gets which share is the control plane's policy.
 * Source: deficit round robin, M. Shreedhar, G. Varghese, SIGCOMM 1995; here with two deficits.
 */
#ifndef ENGINE_SHARES_H
#define ENGINE_SHARES_H

#include "engine/engine.h"

/* Share 0, which has no limits. */
void shares_init(struct engine *engine);
/* Sets the terms of a share; those who have it keep it. TE_E_INVALID: beyond a limit. */
int share_set(struct engine *engine, uint32_t index, const struct te_share *terms);

/* From here on the memory that flows take and give back is this share's. */
static inline void share_bill(struct engine *engine, uint32_t index) {
    struct pool *blocks = &engine->store.blocks;
    engine->shares[engine->billed].blocks_held += engine->billed_free - blocks->free_count;
    engine->billed = index;
    engine->billed_free = blocks->free_count;
    const struct share *share = &engine->shares[index];
    uint32_t held = share->blocks_held;
    uint32_t left = share->blocks_max > held ? share->blocks_max - held : 0;
    blocks->floor = blocks->free_count > left ? blocks->free_count - left : 0;
}

/* Whether the share, which is billed, may take memory for a message of so many bytes that it sends:
 * a quarter, which is room for the longest, stays with what arrives. Two engines full of what they
 * want to send could not take each other's acknowledged bytes otherwise; the same holds for two
 * tenants. Notes when it is the engine that has none, and not the share alone. */
bool share_has_memory(struct engine *engine, uint32_t total_bytes);
/* A message of so many bytes has begun, which an application sends. */
void share_note_given(struct engine *engine, uint32_t total_bytes);
/* The longest message for which that leaves room. */
uint32_t share_message_bytes_max(const struct share *share);

/* Whether the share's rates let it send a record now; else remembers when to look again. */
bool share_may_send(struct engine *engine, struct share *share);

/* The share whose turn it is, or NULL: no flow is ready. */
struct share *share_next(struct engine *engine);
/* Takes the first ready flow of the share. NULL: there is none. */
struct engine_flow *share_pop(struct engine *engine, struct share *share);
/* Ends the share's turn if it has nothing left to send, or nothing left to send it with. */
void share_settle(struct engine *engine, struct share *share);

#endif
