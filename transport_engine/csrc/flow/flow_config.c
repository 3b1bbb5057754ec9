/* What of a flow's configuration follows from where the hosts stand and what their link carries. */
#include "flow/flow.h"

enum flow_config_constant {
    RTO_MIN_RACK_NS = 1000000, /* Swift §3.5 gives milliseconds at most */
    RTO_MIN_CLOUD_NS = 5000000,
    HELLO_RTOS = 2, /* before INIT is repeated */
    ACK_DELAY_RACK_NS = 20000,
    ACK_DELAY_CLOUD_NS = 100000,
    MTU_ETHERNET_BYTES = 1500,
    MTU_IPV6_BYTES = 1280, /* the least that a way may carry: RFC 8200 §5 */
    IP_UDP_BYTES = 48 /* IPv6 without extensions, and UDP: the longer of the two */
};

uint32_t flow_mtu_bytes_min(void) {
    return IP_UDP_BYTES + PACKET_BYTES_MIN + MESSAGE_HEADER_BYTES + SEGMENT_BYTES_MIN;
}

uint32_t flow_narrower_bytes(uint32_t packet_bytes) {
    if (packet_bytes > MTU_ETHERNET_BYTES - IP_UDP_BYTES) {
        return MTU_ETHERNET_BYTES - IP_UDP_BYTES;
    }
    return packet_bytes > MTU_IPV6_BYTES - IP_UDP_BYTES ? MTU_IPV6_BYTES - IP_UDP_BYTES : 0;
}

uint32_t flow_narrow_mtu_bytes(const struct flow *flow) {
    return flow_is_narrowed(flow) ? flow->packet_bytes + IP_UDP_BYTES : 0;
}

void flow_config_derive(struct flow_config *config, uint32_t mtu_bytes) {
    bool is_rack = config->profile == PROFILE_RACK;
    uint32_t packet_bytes = mtu_bytes - IP_UDP_BYTES;
    config->packet_bytes = packet_bytes < PACKET_BYTES_MAX ? packet_bytes : PACKET_BYTES_MAX;
    config->parameters.segment_bytes =
        config->packet_bytes - PACKET_BYTES_MIN - MESSAGE_HEADER_BYTES;
    config->rto_min_ns = is_rack ? RTO_MIN_RACK_NS : RTO_MIN_CLOUD_NS;
    config->hello_wait_ns = HELLO_RTOS * config->rto_min_ns;
    config->ack_delay_ns = is_rack ? ACK_DELAY_RACK_NS : ACK_DELAY_CLOUD_NS;
}
