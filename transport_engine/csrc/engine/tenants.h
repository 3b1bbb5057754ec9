/* Tenants: who owns a channel, and the table in which it names its flows.
 *
 * A handle is an index into the tenant's own table under a generation, so that nothing a tenant
 * writes can name another's flow, nor a later flow in the place of an earlier one.
 */
#ifndef ENGINE_TENANTS_H
#define ENGINE_TENANTS_H

#include "engine/engine.h"

/* Makes a channel. Owner: the two descriptors are the caller's.
 * Errors: TE_E_INVALID, TE_E_NO_MEMORY, TE_E_SYSTEM. */
int tenant_attach(struct engine *engine, uint64_t ring_bytes, uint32_t *tenant, int *memory_fd,
                  int *doorbell_fd);
/* Ends the tenant's listeners and flows, and frees its channel. TE_E_UNKNOWN. */
int tenant_detach(struct engine *engine, uint32_t tenant);
/* Whether nobody has the application's end any more. The caller knows that the tenant exists. */
bool tenant_has_left(const struct engine *engine, uint32_t tenant);

/* Ends its listeners and flows, and serves its channel no more. `reason`: enum te_reason. */
void tenant_stop(struct engine *engine, uint32_t tenant, uint8_t reason);

static inline bool tenant_exists(const struct engine *engine, uint32_t tenant) {
    return tenant < engine->tenants_max && engine->tenants[tenant].channel != NULL;
}

/* Gives the flow a handle and enters it into the tenant's list. False: its table is full. */
bool tenant_adopt(struct engine *engine, uint32_t tenant, struct engine_flow *flow);
void tenant_disown(struct engine *engine, struct engine_flow *flow);

/* NULL: the tenant has no such flow (any more). */
struct engine_flow *tenant_find_flow(const struct engine *engine, const struct tenant *tenant,
                                     uint32_t handle);

#endif
