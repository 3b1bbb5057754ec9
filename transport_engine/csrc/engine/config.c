/* What a configuration may say. */
#include "engine/config.h"

#include <stdio.h>

#include "engine/team.h"
#include "flow/congestion.h"
#include "flow/packet.h"

enum config_limit {
    MTU_BYTES_MIN = 1280, /* what every IPv6 link carries (RFC 8200 §5) */
    MTU_BYTES_MAX = 9216,
    POOL_BYTES_MIN = 1 << 20,
    MESSAGE_BYTES_MIN = 1024
};

static const uint64_t second_ns = 1000000000;

void te_engine_config_init(struct te_engine_config *config) {
    *config = (struct te_engine_config){
        .driver = "udp",
        .netif = "",
        .congestion = "swift",
        .profile = PROFILE_CLOUD,
        .mtu_bytes = 1500,
        .channels_max = 64,
        .flows_max = 1024,
        .message_bytes_max = 8 << 20,
        .credit_bytes = 16 << 20,
        .pool_bytes = 256 << 20,
        .handshake_timeout_ns = 5 * second_ns,
        .keep_alive_ns = 2 * second_ns,
        .dead_ns = 6 * second_ns,
        .unfinished_ns = 60 * second_ns,
        .spin_ns = 100000,
    };
}

static int check_range(const char *name, uint64_t value, uint64_t low, uint64_t high, char *why) {
    if (value >= low && value <= high) {
        return TE_OK;
    }
    snprintf(why, TE_WHY_BYTES, "%s is %llu, allowed is %llu to %llu", name,
             (unsigned long long)value, (unsigned long long)low, (unsigned long long)high);
    return TE_E_INVALID;
}

int config_check(const struct te_engine_config *config, char *why) {
    const uint32_t members = team_count(config->team);
    const struct {
        const char *name;
        uint64_t value, low, high;
    } ranges[] = {
        {"mtu_bytes", config->mtu_bytes, MTU_BYTES_MIN, MTU_BYTES_MAX},
        {"channels_max", config->channels_max, 1, TE_CHANNELS_MAX},
        {"flows_max", config->flows_max, 1, TE_FLOWS_MAX},
        {"message_bytes_max", config->message_bytes_max, MESSAGE_BYTES_MIN, TE_MESSAGE_BYTES_MAX},
        {"credit_bytes", config->credit_bytes, config->message_bytes_max, UINT32_MAX},
        {"pool_bytes", config->pool_bytes, POOL_BYTES_MIN, UINT64_C(1) << 40},
        {"profile", config->profile, PROFILE_RACK, PROFILE_CLOUD},
        {"handshake_timeout_ns", config->handshake_timeout_ns, second_ns / 1000, 3600 * second_ns},
        {"keep_alive_ns", config->keep_alive_ns, second_ns / 1000, 3600 * second_ns},
        {"dead_ns", config->dead_ns, second_ns / 1000, 3600 * second_ns},
        {"unfinished_ns", config->unfinished_ns, second_ns / 1000, 3600 * second_ns},
        {"spin_ns", config->spin_ns, 0, 3600 * second_ns},
        {"queues", config->queues, members, members == 0 ? 1 : members},
        {"queue", config->queue, 0, config->queues == 0 ? 0 : config->queues - 1},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        int error = check_range(ranges[i].name, ranges[i].value, ranges[i].low, ranges[i].high,
                                why);
        if (error != TE_OK) {
            return error;
        }
    }
    if (config->pool_bytes / LONGEST_SHARE < config->message_bytes_max) {
        snprintf(why, TE_WHY_BYTES,
                 "pool_bytes is %llu, which is less than %d messages of message_bytes_max, %u: "
                 "raise the pool or lower the message",
                 (unsigned long long)config->pool_bytes, LONGEST_SHARE,
                 config->message_bytes_max);
        return TE_E_INVALID;
    }
    if (congestion_find(config->congestion) == NULL) {
        snprintf(why, TE_WHY_BYTES,
                 "congestion is \"%.32s\", allowed are \"swift\", \"cubic\" and \"fixed\"",
                 config->congestion);
        return TE_E_INVALID;
    }
    return TE_OK;
}
