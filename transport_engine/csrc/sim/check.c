/* Ranges of what a simulation is told. */
#include "sim/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "flow/body.h"
#include "flow/congestion.h"
#include "flow/packet.h"

enum check_limit { MTU_BYTES_MIN = 1280, MTU_BYTES_MAX = 9216 };

static const uint64_t time_max_ns = UINT64_C(1) << 50; /* 13 days; picoseconds fit 64 bits */

struct field {
    const char *of;
    uint32_t index;
    const char *name;
    uint64_t value, low, high;
};

static bool is_good(const struct field *field, char *why) {
    if (field->value >= field->low && field->value <= field->high) {
        return true;
    }
    snprintf(why, TE_WHY_BYTES, "%s[%u].%s is %" PRIu64 ", allowed is %" PRIu64 " to %" PRIu64,
             field->of, field->index, field->name, field->value, field->low, field->high);
    return false;
}

static bool are_good(const struct field *fields, size_t count, char *why) {
    for (size_t i = 0; i < count; i++) {
        if (!is_good(&fields[i], why)) {
            return false;
        }
    }
    return true;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool check_whole(const struct te_sim_config *config, char *why) {
    const struct field fields[] = {
        {"scenario", 0, "duration_ns", config->duration_ns, 1, time_max_ns},
        {"scenario", 0, "heal_ns", config->heal_ns, 1, time_max_ns},
        {"scenario", 0, "links", config->link_count, 1, 1 << 16},
        {"scenario", 0, "nodes", config->node_count, 2, 1 << 16},
        {"scenario", 0, "flows", config->flow_count, 1, 1 << 20},
        {"scenario", 0, "workloads", config->workload_count, 1, 1024},
        {"scenario", 0, "settings", config->settings_count, 1, 1 << 16},
    };
    return are_good(fields, COUNT(fields), why);
}

static bool check_link(const struct te_sim_link *link, uint32_t index, char *why) {
    const struct field fields[] = {
        {"links", index, "delay_ns", link->delay_ns, 0, time_max_ns},
        {"links", index, "jitter_ns", link->jitter_ns, 0, time_max_ns},
        {"links", index, "reorder_ns", link->reorder_ns, 0, time_max_ns},
        {"links", index, "rate_bps", link->rate_bps, 0, UINT64_C(800000000000)},
        {"links", index, "queue_bytes", link->queue_bytes, 0, UINT64_C(1) << 40},
        {"links", index, "overhead_bytes", link->overhead_bytes, 0, 1024},
    };
    return are_good(fields, COUNT(fields), why);
}

static bool check_settings(const struct te_sim_settings *settings, uint32_t index, char *why) {
    const struct field fields[] = {
        {"transport", index, "mtu_bytes", settings->mtu_bytes, MTU_BYTES_MIN, MTU_BYTES_MAX},
        {"transport", index, "credit_bytes", settings->credit_bytes, settings->message_bytes_max,
         UINT64_C(1) << 40},
        {"transport", index, "message_bytes_max", settings->message_bytes_max, 1024,
         BODY_BYTES_MAX},
        {"transport", index, "profile", settings->profile, 0, 1},
        {"transport", index, "reopen_ns", settings->reopen_ns, 1, time_max_ns},
        {"transport", index, "dead_ns", settings->dead_ns, 1, time_max_ns},
        {"transport", index, "keep_alive_ns", settings->keep_alive_ns, 1, time_max_ns},
        {"transport", index, "handshake_timeout_ns", settings->handshake_timeout_ns, 1,
         time_max_ns},
    };
    if (!are_good(fields, COUNT(fields), why)) {
        return false;
    }
    if (settings->first_number != UINT64_MAX && settings->first_number >> 62) {
        snprintf(why, TE_WHY_BYTES, "transport[%u].first_number is %" PRIu64 ", allowed is below "
                 "2^62", index, settings->first_number);
        return false;
    }
    if (congestion_find(settings->congestion) == NULL) {
        snprintf(why, TE_WHY_BYTES, "transport[%u].congestion is \"%s\", which is no algorithm of "
                 "this build", index, settings->congestion);
        return false;
    }
    return true;
}

static bool check_flow(const struct te_sim_config *config, uint32_t index, char *why) {
    const struct te_sim_flow *flow = &config->flows[index];
    const struct field fields[] = {
        {"flows", index, "client", flow->client, 0, config->node_count - 1},
        {"flows", index, "server", flow->server, 0, config->node_count - 1},
        {"flows", index, "settings", flow->settings, 0, config->settings_count - 1},
        {"flows", index, "workload", flow->workload, 0, config->workload_count - 1},
        {"flows", index, "hops", flow->hops, 1, TE_SIM_HOPS_MAX},
    };
    if (!are_good(fields, COUNT(fields), why)) {
        return false;
    }
    for (uint32_t hop = 0; hop < flow->hops; hop++) {
        const struct field links[] = {
            {"flows", index, "forward", flow->forward[hop], 0, config->link_count - 1},
            {"flows", index, "back", flow->back[hop], 0, config->link_count - 1},
        };
        if (!are_good(links, COUNT(links), why)) {
            return false;
        }
    }
    return true;
}

/* The smallest of what every flow and node can take. */
static uint32_t message_bytes_max(const struct te_sim_config *config) {
    uint64_t max = BODY_BYTES_MAX;
    for (uint32_t i = 0; i < config->settings_count; i++) {
        uint64_t own = config->settings[i].message_bytes_max;
        max = own < max ? own : max;
    }
    for (uint32_t i = 0; i < config->node_count; i++) {
        uint64_t own = config->nodes[i].pool_bytes / POOL_SHARE;
        max = own < max ? own : max;
    }
    return (uint32_t)max;
}

static bool check_workload(const struct te_sim_config *config, uint32_t index, char *why) {
    const struct te_sim_workload *work = &config->workloads[index];
    uint32_t max = message_bytes_max(config);
    bool is_list = work->kind == TE_SIM_LIST;
    const struct field fields[] = {
        {"workloads", index, "kind", work->kind, 0, TE_SIM_INCAST},
        {"workloads", index, "request_bytes", is_list ? TE_SIM_MESSAGE_BYTES_MIN
                                                      : work->request_bytes,
         TE_SIM_MESSAGE_BYTES_MIN, max},
        {"workloads", index, "reply_bytes", work->reply_bytes,
         work->reply_bytes == 0 ? 0 : TE_SIM_MESSAGE_BYTES_MIN, max},
        {"workloads", index, "lane", work->lane, 0, LANES - 1},
        {"workloads", index, "priority", work->priority, 0, 7},
        {"workloads", index, "gap_ns", work->gap_ns, work->kind == TE_SIM_POISSON ? 1 : 0,
         time_max_ns},
        {"workloads", index, "window", work->window, work->kind == TE_SIM_CLOSED ? 1 : 0,
         1 << 20},
    };
    if (!are_good(fields, COUNT(fields), why)) {
        return false;
    }
    for (uint32_t i = 0; i < work->size_count; i++) {
        struct field size = {"workloads", index, "sizes", work->sizes[i].size_bytes,
                             TE_SIM_MESSAGE_BYTES_MIN, max};
        uint64_t low = i == 0 ? 0 : work->sizes[i - 1].share_ppm + 1;
        struct field share = {"workloads", index, "shares", work->sizes[i].share_ppm, low,
                              1000000};
        if (!is_good(&size, why) || !is_good(&share, why)) {
            return false;
        }
    }
    for (uint32_t i = 0; is_list && i < work->message_count; i++) {
        const struct te_sim_message *message = &work->messages[i];
        const struct field of_message[] = {
            {"messages", i, "size_bytes", message->size_bytes, TE_SIM_MESSAGE_BYTES_MIN, max},
            {"messages", i, "flow", message->flow, 0, config->flow_count - 1},
            {"messages", i, "lane", message->lane, 0, LANES - 1},
            {"messages", i, "priority", message->priority, 0, 7},
        };
        if (!are_good(of_message, COUNT(of_message), why)) {
            return false;
        }
    }
    return true;
}

static bool check_node(const struct te_sim_node *node, uint32_t index, char *why) {
    const struct field fields[] = {
        {"nodes", index, "pool_bytes", node->pool_bytes, 1 << 16, UINT64_C(1) << 36},
        {"nodes", index, "stall_every_ns", node->stall_every_ns, 0, time_max_ns},
        {"nodes", index, "stall_max_ns", node->stall_max_ns, node->stall_min_ns, time_max_ns},
        {"nodes", index, "inbox_packets", node->inbox_packets, 1, 1 << 24},
    };
    return are_good(fields, COUNT(fields), why);
}

static bool check_event(const struct te_sim_config *config, uint32_t index, char *why) {
    const struct te_sim_event *event = &config->events[index];
    bool is_of_node = event->kind >= TE_SIM_NODE_STALL;
    uint32_t targets = is_of_node ? config->node_count : config->link_count;
    const struct field fields[] = {
        {"events", index, "kind", event->kind, 0, TE_SIM_NODE_CRASH},
        {"events", index, "target", event->target, 0, targets - 1},
        {"events", index, "at_ns", event->at_ns, 0, time_max_ns},
        {"events", index, "value", event->value, 0, time_max_ns},
    };
    return are_good(fields, COUNT(fields), why);
}

int check_config(const struct te_sim_config *config, char *why) {
    bool is_fine = check_whole(config, why);
    for (uint32_t i = 0; is_fine && i < config->link_count; i++) {
        is_fine = check_link(&config->links[i], i, why);
    }
    for (uint32_t i = 0; is_fine && i < config->node_count; i++) {
        is_fine = check_node(&config->nodes[i], i, why);
    }
    for (uint32_t i = 0; is_fine && i < config->settings_count; i++) {
        is_fine = check_settings(&config->settings[i], i, why);
    }
    for (uint32_t i = 0; is_fine && i < config->flow_count; i++) {
        is_fine = check_flow(config, i, why);
    }
    for (uint32_t i = 0; is_fine && i < config->workload_count; i++) {
        is_fine = check_workload(config, i, why);
    }
    for (uint32_t i = 0; is_fine && i < config->event_count; i++) {
        is_fine = check_event(config, i, why);
    }
    return is_fine ? TE_OK : TE_E_INVALID;
}
