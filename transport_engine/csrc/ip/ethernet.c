/* Ethernet II headers to and from bytes. Source: RFC 894, RFC 2464. */
#include "ip/ethernet.h"

#include <string.h>

#include "ip/big_endian.h"

enum ethernet_limit { ETHERNET_TYPE_MIN = 0x0600 /* below: a length, of IEEE 802.3 */ };

enum verdict ethernet_parse(uint8_t *bytes, size_t size_bytes, struct ethernet *frame) {
    if (size_bytes < ETHERNET_HEADER_BYTES) {
        return VERDICT_MALFORMED;
    }
    memcpy(frame->destination, bytes, MAC_BYTES);
    memcpy(frame->source, bytes + 6, MAC_BYTES);
    frame->type = load_be16(bytes + 12);
    frame->payload = bytes + ETHERNET_HEADER_BYTES;
    frame->payload_bytes = size_bytes - ETHERNET_HEADER_BYTES;
    return frame->type < ETHERNET_TYPE_MIN ? VERDICT_UNSUPPORTED : VERDICT_OK;
}

void ethernet_write(uint8_t out[ETHERNET_HEADER_BYTES], const uint8_t destination[MAC_BYTES],
                    const uint8_t source[MAC_BYTES], uint16_t type) {
    memcpy(out, destination, MAC_BYTES);
    memcpy(out + 6, source, MAC_BYTES);
    store_be16(out + 12, type);
}

bool mac_is_group(const uint8_t mac[MAC_BYTES]) {
    return (mac[0] & 1) != 0;
}
