/* A channel outlives its application, and so its engine still knows what callers want to know.
 *
 * First the records that are in the ring go out, as far as there is room: answers. Then each caller
 * is told which of its requests the application had noted as started; all others never will be.
 */
#include "engine/last_word.h"

#include "engine/call_header.h"
#include "engine/sending.h"
#include "engine/shares.h"
#include "engine/tenants.h"

enum {
    POLLS_MAX = 1024,
    WORD_BYTES = TE_CALL_HEADER_BYTES + 8 + 8 * TE_STARTS_WORDS
};

/* No more than the ring holds: who is not gone, and says so, may fill it all the time. */
static void send_rest(struct engine *engine, uint32_t index) {
    const struct tenant *tenant = &engine->tenants[index];
    struct allowance *sending = &engine->shares[tenant->share].sending;
    int64_t left_bytes = (int64_t)channel_ring_bytes(tenant->channel);
    for (int i = 0; i < POLLS_MAX && left_bytes > 0 && tenant->reason == TE_R_NONE; i++) {
        *sending = (struct allowance){.items = SHARE_ITEMS_MAX, .bytes = SHARE_BYTES_MAX};
        if (sending_poll(engine, index) == 0) {
            return;
        }
        left_bytes -= SHARE_BYTES_MAX - sending->bytes;
    }
}

static void tell(struct engine *engine, struct engine_flow *flow, const struct te_starts *starts) {
    const struct te_record word = {.kind = TE_LAST_WORD};
    uint8_t bytes[WORD_BYTES];
    call_header_write(bytes, &word);
    store_u64(bytes + TE_CALL_HEADER_BYTES, starts->newest);
    for (int i = 0; i < TE_STARTS_WORDS; i++) {
        store_u64(bytes + TE_CALL_HEADER_BYTES + 8 + 8 * i, starts->words[i]);
    }
    uint32_t index = NO_ITEM;
    if (share_has_memory(engine, sizeof bytes)) {
        index = send_queue_begin(&flow->flow.out, &engine->store, sizeof bytes, 0, 0);
    }
    if (index != NO_ITEM) { /* else its callers know what they know */
        send_queue_append(&flow->flow.out, &engine->store, index, bytes, sizeof bytes);
    }
}

/* Whether it served calls, and noted them. */
static bool has_noted(const struct engine *engine, const struct tenant *tenant) {
    struct te_starts starts;
    uint32_t slot = tenant->first_flow;
    while (slot != NO_ITEM) {
        const struct engine_flow *flow = engine_flow_at(engine, slot);
        if (channel_starts(tenant->channel, flow->handle, &starts)) {
            return true;
        }
        slot = flow->newer;
    }
    return false;
}

bool last_word_say(struct engine *engine, uint32_t index) {
    const struct tenant *tenant = &engine->tenants[index];
    struct te_starts starts;
    if (!has_noted(engine, tenant)) {
        return false;
    }
    send_rest(engine, index);
    share_bill(engine, tenant->share);
    for (uint32_t slot = tenant->first_flow; slot != NO_ITEM;) {
        struct engine_flow *flow = engine_flow_at(engine, slot);
        const bool is_cut = tenant->sending.is_active && !tenant->sending.is_discarded
                            && tenant->sending.handle == flow->handle;
        if (flow->flow.state == FLOW_OPEN /* so is none, if what it left breaks the rules */
            && channel_starts(tenant->channel, flow->handle, &starts)) {
            tell(engine, flow, &starts);
        }
        if (!is_cut) { /* else a message that has no end would be waited for */
            flow_close(&flow->flow, &engine->store, TE_R_CLOSED, true, engine->now_ns);
        }
        slot = flow->newer;
    }
    return true;
}
