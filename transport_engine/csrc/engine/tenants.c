/* Attaching, detaching, and the tenants' tables of flows. */
#include "engine/tenants.h"

#include <stdlib.h>

#include "engine/last_word.h"
#include "engine/listener.h"
#include "engine/shares.h"

enum { HANDLE_INDEX_BITS = 16 };

static uint32_t find_place(const struct engine *engine) {
    for (uint32_t i = 0; i < engine->tenants_max; i++) {
        if (engine->tenants[i].channel == NULL) {
            return i;
        }
    }
    return NO_ITEM;
}

static bool take_handles(struct tenant *tenant, uint32_t handles_max) {
    tenant->handles_max = handles_max;
    tenant->handles = calloc(handles_max, sizeof *tenant->handles);
    tenant->free_handles = calloc(handles_max, sizeof *tenant->free_handles);
    if (tenant->handles == NULL || tenant->free_handles == NULL) {
        free(tenant->handles);
        free(tenant->free_handles);
        return false;
    }
    for (uint32_t i = 0; i < handles_max; i++) {
        tenant->handles[i] = (struct handle_entry){NO_ITEM, 1};
        tenant->free_handles[i] = handles_max - 1 - i;
    }
    tenant->free_handle_count = handles_max;
    return true;
}

int tenant_attach(struct engine *engine, uint64_t ring_bytes, uint32_t *index, int *memory_fd,
                  int *doorbell_fd) {
    char why[TE_WHY_BYTES];
    *index = find_place(engine);
    if (*index == NO_ITEM) {
        return TE_E_NO_MEMORY;
    }
    struct tenant *tenant = &engine->tenants[*index];
    *tenant = (struct tenant){.first_flow = NO_ITEM, .inbox_first = NO_ITEM,
                              .inbox_last = NO_ITEM};
    uint32_t handles_max =
        engine->flows_max < TENANT_FLOWS_MAX ? engine->flows_max : TENANT_FLOWS_MAX;
    if (!take_handles(tenant, handles_max)) {
        return TE_E_NO_MEMORY;
    }
    int error = channel_create(ring_bytes, &tenant->channel, memory_fd, doorbell_fd, why);
    if (error != TE_OK) {
        tenant->channel = NULL;
        free(tenant->handles);
        free(tenant->free_handles);
        return error;
    }
    if (*index >= engine->tenant_count) {
        engine->tenant_count = *index + 1;
    }
    engine->stats.channels_open++;
    return TE_OK;
}

bool tenant_has_left(const struct engine *engine, uint32_t index) {
    struct channel *channel = engine->tenants[index].channel;
    return channel_awake(channel) == TE_E_CLOSED /* it may have rung before it went */
           || channel_awake(channel) == TE_E_CLOSED;
}

void tenant_stop(struct engine *engine, uint32_t index, uint8_t reason) {
    struct tenant *tenant = &engine->tenants[index];
    listener_remove_all(engine, index);
    const bool was_closed = tenant->reason == TE_R_CLOSED; /* and its last word is on its way */
    const bool is_said = was_closed
                         || (reason == TE_R_CLOSED && tenant->reason == TE_R_NONE
                             && tenant_has_left(engine, index) && last_word_say(engine, index));
    tenant->reason = reason;
    tenant->sending = (struct transfer){0};
    tenant->delivering = (struct transfer){0};
    uint32_t slot = tenant->first_flow;
    share_bill(engine, tenant->share);
    while (slot != NO_ITEM) {
        struct engine_flow *flow = engine_flow_at(engine, slot);
        if (!is_said || flow->flow.state != FLOW_CLOSING) {
            flow_close(&flow->flow, &engine->store, TE_R_CLOSED, false, engine->now_ns);
        }
        engine_touch(engine, flow);
        slot = flow->newer;
    }
}

int tenant_detach(struct engine *engine, uint32_t index) {
    if (!tenant_exists(engine, index)) {
        return TE_E_UNKNOWN;
    }
    struct tenant *tenant = &engine->tenants[index];
    tenant_stop(engine, index, TE_R_CLOSED);
    while (tenant->first_flow != NO_ITEM) {
        tenant_disown(engine, engine_flow_at(engine, tenant->first_flow));
    }
    channel_destroy(tenant->channel);
    free(tenant->handles);
    free(tenant->free_handles);
    *tenant = (struct tenant){0};
    while (engine->tenant_count > 0 && engine->tenants[engine->tenant_count - 1].channel == NULL) {
        engine->tenant_count--;
    }
    engine->stats.channels_open--;
    return TE_OK;
}

bool tenant_adopt(struct engine *engine, uint32_t index, struct engine_flow *flow) {
    struct tenant *tenant = &engine->tenants[index];
    if (tenant->free_handle_count == 0) {
        return false;
    }
    uint32_t handle = tenant->free_handles[--tenant->free_handle_count];
    tenant->handles[handle].slot = flow->slot;
    flow->handle = ((uint32_t)tenant->handles[handle].generation << HANDLE_INDEX_BITS) | handle;
    flow->tenant = index;
    flow->older = NO_ITEM;
    flow->newer = tenant->first_flow;
    if (flow->newer != NO_ITEM) {
        engine_flow_at(engine, flow->newer)->older = flow->slot;
    }
    tenant->first_flow = flow->slot;
    return true;
}

static void leave_inbox(struct engine *engine, struct tenant *tenant, struct engine_flow *flow) {
    uint32_t previous = NO_ITEM;
    uint32_t slot = tenant->inbox_first;
    while (slot != flow->slot) {
        previous = slot;
        slot = engine_flow_at(engine, slot)->next_in_inbox;
    }
    if (previous == NO_ITEM) {
        tenant->inbox_first = flow->next_in_inbox;
    } else {
        engine_flow_at(engine, previous)->next_in_inbox = flow->next_in_inbox;
    }
    if (tenant->inbox_last == flow->slot) {
        tenant->inbox_last = previous;
    }
    flow->is_in_inbox = false;
}

void tenant_disown(struct engine *engine, struct engine_flow *flow) {
    struct tenant *tenant = &engine->tenants[flow->tenant];
    struct handle_entry *entry = &tenant->handles[flow->handle & (TENANT_FLOWS_MAX - 1)];
    entry->slot = NO_ITEM;
    entry->generation++;
    if (entry->generation == 0) {
        entry->generation = 1;
    }
    tenant->free_handles[tenant->free_handle_count++] = flow->handle & (TENANT_FLOWS_MAX - 1);
    if (flow->is_in_inbox) {
        leave_inbox(engine, tenant, flow);
    }
    if (flow->older == NO_ITEM) {
        tenant->first_flow = flow->newer;
    } else {
        engine_flow_at(engine, flow->older)->newer = flow->newer;
    }
    if (flow->newer != NO_ITEM) {
        engine_flow_at(engine, flow->newer)->older = flow->older;
    }
    flow->tenant = NO_ITEM;
}

struct engine_flow *tenant_find_flow(const struct engine *engine, const struct tenant *tenant,
                                     uint32_t handle) {
    uint32_t index = handle & (TENANT_FLOWS_MAX - 1);
    if (index >= tenant->handles_max || tenant->handles[index].slot == NO_ITEM ||
        tenant->handles[index].generation != handle >> HANDLE_INDEX_BITS) {
        return NULL;
    }
    return engine_flow_at(engine, tenant->handles[index].slot);
}
