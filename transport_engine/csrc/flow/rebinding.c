#include "flow/rebinding.h"

#include "base/limits.h"
#include "flow/flow.h"

enum rebinding_constant {
    BUDGET_FACTOR = 3,      /* RFC 9000 §8.1 */
    NUMBERS_LEFT_OUT = 65536, /* at most: a guess is right with 1 in so many, a wrong one the end */
    /* A packet with all that is not a message: what can wait for more budget waits. */
    CONTROL_BYTES_MIN =
        PACKET_BYTES_MIN + ACK_HEADER_BYTES + CREDIT_BYTES + CLOSE_BYTES + PING_BYTES
};

bool flow_may_rebind(const struct flow *flow, const struct packet *packet) {
    return flow->state == FLOW_OPEN && packet->type == PACKET_DATA && flow->sack.count > 0 &&
           packet->number > flow->sack.ranges[0].last &&
           packet->number < flow->sack.floor + FLOW_NUMBERS_AHEAD_MAX;
}

void flow_rebind(struct flow *flow, const struct te_endpoint *remote, uint64_t random) {
    flow->remote = *remote;
    uint32_t left_out = 1 + (uint32_t)(random % NUMBERS_LEFT_OUT);
    flow->ledger.next_number += left_out;
    flow->rebinding =
        (struct rebinding){.number = flow->ledger.next_number, .left_out = left_out};
    flow->ping_due = true; /* its answer is the proof */
    flow->config->counters->rebinds++;
}

void rebinding_received(struct flow *flow, const struct packet *packet) {
    if (flow->rebinding.number != 0) {
        flow->rebinding.budget_bytes = (uint32_t)min_u64(
            flow->rebinding.budget_bytes + BUDGET_FACTOR * packet_size(packet), UINT32_MAX);
    }
}

bool rebinding_acked(struct flow *flow, const struct ack_frame *ack) {
    struct rebinding *rebinding = &flow->rebinding;
    if (rebinding->number == 0) {
        return true;
    }
    for (uint32_t i = 0; i < ack->count; i++) {
        if (ack->ranges[i].first < rebinding->number &&
            ack->ranges[i].last >= rebinding->number - rebinding->left_out) {
            return false;
        }
    }
    if (ack->ranges[0].last >= rebinding->number) {
        *rebinding = (struct rebinding){0};
    }
    return true;
}

size_t rebinding_limit_bytes(const struct flow *flow) {
    uint64_t budget_bytes = flow->rebinding.budget_bytes;
    if (flow->rebinding.number == 0 || flow->state == FLOW_CLOSED) {
        return flow->packet_bytes;
    }
    return budget_bytes < CONTROL_BYTES_MIN ? 0 : min_u64(budget_bytes, flow->packet_bytes);
}

void rebinding_sent(struct flow *flow, size_t size_bytes) {
    flow->rebinding.budget_bytes -=
        (uint32_t)min_u64(flow->rebinding.budget_bytes, size_bytes);
}
