/* Terms, turns and limits of shares. */
#include "engine/shares.h"

#include "engine/call_header.h"

enum share_constant {
    INCOMING_SHARE = 4, /* one in four blocks */
    EXTRA_BLOCKS = 8, /* that a message takes beside its payload, at most */
    TURN_PACKETS = 4,  /* for each unit of weight */
    TURN_BYTES = 9216,
    RATE_BYTES_MIN = 1000 /* a second: what bucket.h can count */
};

static void clear(struct share *share, uint32_t blocks_max) {
    share->ready_first = share->ready_last = NO_ITEM;
    share->next_active = NO_ITEM;
    share->terms.weight = 1;
    share->flows_max = UINT32_MAX;
    share->blocks_max = blocks_max;
}

void shares_init(struct engine *engine) {
    for (uint32_t i = 0; i < TE_SHARES_MAX; i++) {
        clear(&engine->shares[i], engine->store.blocks.capacity);
    }
    engine->active_first = engine->active_last = NO_ITEM;
    engine->resume_ns = UINT64_MAX;
    engine->billed_free = engine->store.blocks.free_count;
}

int share_set(struct engine *engine, uint32_t index, const struct te_share *terms) {
    if (index >= TE_SHARES_MAX || terms->weight < 1 || terms->weight > TE_WEIGHT_MAX ||
        (terms->bytes_per_second > 0 && terms->bytes_per_second < RATE_BYTES_MIN)) {
        return TE_E_INVALID;
    }
    struct share *share = &engine->shares[index];
    uint64_t blocks = terms->memory_bytes / BLOCK_BYTES;
    uint32_t capacity = engine->store.blocks.capacity;
    share->terms = *terms;
    share->flows_max = terms->flows_max == 0 ? UINT32_MAX : terms->flows_max;
    share->blocks_max = blocks == 0 || blocks > capacity ? capacity : (uint32_t)blocks;
    bucket_set_rate(&share->bytes, terms->bytes_per_second);
    bucket_set_rate(&share->messages, terms->messages_per_second);
    share_bill(engine, engine->billed); /* whose limit it may have been */
    return TE_OK;
}

static uint32_t incoming_blocks(uint32_t blocks_max) {
    return blocks_max / INCOMING_SHARE + EXTRA_BLOCKS;
}

bool share_has_memory(struct engine *engine, uint32_t total_bytes) {
    const struct pool *blocks = &engine->store.blocks;
    uint32_t wanted = send_queue_blocks(total_bytes);
    uint32_t own_max = engine->shares[engine->billed].blocks_max;
    if (blocks->free_count < wanted + incoming_blocks(blocks->capacity)) {
        engine->store.refused_ns = engine->now_ns;
        return false;
    }
    return pool_room(blocks) >= wanted + incoming_blocks(own_max);
}

void share_note_given(struct engine *engine, uint32_t total_bytes) {
    struct store *store = &engine->store;
    store->given_blocks += send_queue_blocks(total_bytes);
    if (store->given_blocks >= store->blocks.capacity) {
        store->given_blocks = 0;
        store->renewed_ns = engine->now_ns;
    }
}

uint32_t share_message_bytes_max(const struct share *share) {
    uint64_t blocks = share->blocks_max;
    uint64_t left = incoming_blocks(share->blocks_max) + EXTRA_BLOCKS;
    uint64_t bytes = blocks > left ? (blocks - left) * BLOCK_BYTES : 0;
    return bytes < TE_MESSAGE_BYTES_MAX ? (uint32_t)bytes : TE_MESSAGE_BYTES_MAX;
}

bool share_may_send(struct engine *engine, struct share *share) {
    uint64_t next_ns = max_u64(share->bytes.next_ns, share->messages.next_ns);
    bool was_waiting = share->is_waiting;
    share->is_waiting = next_ns > engine->now_ns;
    if (!share->is_waiting) {
        return true;
    }
    engine->stats.rate_waits += !was_waiting;
    if (next_ns < engine->resume_ns) {
        engine->resume_ns = next_ns;
    }
    return false;
}

/* ---- turns ---- */

static void activate(struct engine *engine, uint32_t index) {
    struct share *share = &engine->shares[index];
    share->is_active = true;
    share->next_active = NO_ITEM;
    if (engine->active_last == NO_ITEM) {
        engine->active_first = index;
    } else {
        engine->shares[engine->active_last].next_active = index;
    }
    engine->active_last = index;
}

/* What was left of the last turn is lost, what was taken beyond it is owed. */
static int32_t granted(int32_t left, uint32_t quantum) {
    return (left < 0 ? left : 0) + (int32_t)quantum;
}

static void grant(struct share *share) {
    share->packets_left = granted(share->packets_left, share->terms.weight * TURN_PACKETS);
    share->bytes_left = granted(share->bytes_left, share->terms.weight * TURN_BYTES);
}

void engine_touch(struct engine *engine, struct engine_flow *flow) {
    if (flow->is_ready) {
        return;
    }
    struct share *share = &engine->shares[flow->share];
    flow->is_ready = true;
    flow->next_ready = NO_ITEM;
    if (share->ready_last == NO_ITEM) {
        share->ready_first = flow->slot;
    } else {
        engine_flow_at(engine, share->ready_last)->next_ready = flow->slot;
    }
    share->ready_last = flow->slot;
    if (!share->is_active) {
        grant(share);
        activate(engine, flow->share);
    }
}

struct share *share_next(struct engine *engine) {
    return engine->active_first == NO_ITEM ? NULL : &engine->shares[engine->active_first];
}

struct engine_flow *share_pop(struct engine *engine, struct share *share) {
    if (share->ready_first == NO_ITEM) {
        return NULL;
    }
    struct engine_flow *flow = engine_flow_at(engine, share->ready_first);
    share->ready_first = flow->next_ready;
    if (share->ready_first == NO_ITEM) {
        share->ready_last = NO_ITEM;
    }
    flow->is_ready = false;
    return flow;
}

void share_settle(struct engine *engine, struct share *share) {
    bool has_work = share->ready_first != NO_ITEM;
    bool has_left = share->packets_left > 0 && share->bytes_left > 0;
    if (has_work && has_left) {
        return;
    }
    uint32_t index = engine->active_first;
    engine->active_first = share->next_active;
    if (engine->active_first == NO_ITEM) {
        engine->active_last = NO_ITEM;
    }
    share->is_active = false;
    if (has_work) {
        activate(engine, index);
        grant(share);
    }
}
