/* Control commands, one function each. */
#include "engine/command.h"

#include <string.h>

#include "engine/listener.h"
#include "engine/report.h"
#include "engine/shares.h"
#include "engine/team.h"
#include "engine/tenants.h"

static int attach(struct engine *engine, const struct te_command *command,
                  struct te_completion *completion) {
    if (engine->is_draining) {
        return TE_E_CLOSED;
    }
    int memory_fd = -1;
    int doorbell_fd = -1;
    if (command->share >= TE_SHARES_MAX) {
        return TE_E_INVALID;
    }
    int error = tenant_attach(engine, command->ring_bytes, &completion->value, &memory_fd,
                              &doorbell_fd);
    if (error == TE_OK) {
        engine->tenants[completion->value].share = command->share;
        completion->memory_fd = memory_fd;
        completion->doorbell_fd = doorbell_fd;
    }
    return error;
}

static int listen_on(struct engine *engine, const struct te_command *command,
                     struct te_completion *completion) {
    if (!tenant_exists(engine, command->channel)) {
        return TE_E_UNKNOWN;
    }
    completion->value = command->endpoint.port;
    return listener_add(engine, command->channel, command->endpoint.port);
}

static int unlisten(struct engine *engine, const struct te_command *command) {
    if (!tenant_exists(engine, command->channel)) {
        return TE_E_UNKNOWN;
    }
    return listener_remove(engine, command->channel, command->endpoint.port);
}

/* From a port whose answers come to this engine, where the netif has others, too. */
static struct te_endpoint place_for(const struct engine *engine, const struct te_endpoint *remote) {
    const struct netif *netif = engine->netif;
    struct te_endpoint local = netif->local;
    if (engine->membership != NULL && netif->ops->port_for != NULL) {
        local.port = netif->ops->port_for(netif, remote);
    }
    return local;
}

static int connect_to(struct engine *engine, const struct te_command *command) {
    if (!tenant_exists(engine, command->channel)) {
        return TE_E_UNKNOWN;
    }
    if (command->endpoint.port == 0) {
        return TE_E_INVALID;
    }
    if (engine->is_draining) {
        return TE_E_CLOSED;
    }
    struct engine_flow *flow = NULL;
    int error = engine_open_flow(engine, command->channel, &flow);
    if (error != TE_OK) {
        return error;
    }
    struct flow_birth birth;
    const struct te_endpoint local = place_for(engine, &command->endpoint);
    engine_random_birth(engine, flow, &local, &command->endpoint, &birth);
    flow_connect(&flow->flow, &engine->flow_config, &birth, engine->now_ns);
    flow->token = command->token;
    engine_enter_flow(engine, flow, peers_add(engine, command->endpoint.address, false));
    engine->stats.handshakes_started++;
    engine_touch(engine, flow);
    return TE_OK;
}

static void drain(struct engine *engine) {
    engine->is_draining = true;
    for (uint32_t slot = 0; slot < engine->flows_max; slot++) {
        struct engine_flow *flow = engine_flow_at(engine, slot);
        if (flow->flow.state != FLOW_FREE) {
            share_bill(engine, flow->share);
            flow_close(&flow->flow, &engine->store, TE_R_ENGINE_STOPPED, true, engine->now_ns);
            engine_touch(engine, flow);
        }
    }
}

void command_execute(struct engine *engine, const struct te_command *command,
                     struct te_completion *completion) {
    *completion = (struct te_completion){.token = command->token, .op = command->op,
                                         .memory_fd = -1, .doorbell_fd = -1};
    switch (command->op) {
    case TE_ATTACH:
        completion->error = attach(engine, command, completion);
        break;
    case TE_DETACH:
        completion->error = tenant_detach(engine, command->channel);
        break;
    case TE_HAS_LEFT:
        completion->error = tenant_exists(engine, command->channel) ? TE_OK : TE_E_UNKNOWN;
        completion->value = completion->error == TE_OK && tenant_has_left(engine, command->channel);
        break;
    case TE_LISTEN:
        completion->error = listen_on(engine, command, completion);
        break;
    case TE_UNLISTEN:
        completion->error = unlisten(engine, command);
        break;
    case TE_CONNECT:
        completion->error = connect_to(engine, command);
        break;
    case TE_STATS:
        engine_fill_stats(engine, command->stats);
        break;
    case TE_FLOWS:
        report_flows(engine, command->flows);
        break;
    case TE_DRAIN:
        drain(engine);
        break;
    case TE_SHARE:
        completion->error = share_set(engine, command->share, &command->terms);
        completion->value =
            completion->error == TE_OK ? engine->shares[command->share].flow_count : 0;
        break;
    case TE_ROUTE:
        completion->error = team_route(engine, command->endpoint.port, command->queue);
        break;
    default:
        completion->error = TE_E_INVALID;
        break;
    }
}
