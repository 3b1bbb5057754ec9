/* Frames of arbitrary bytes into an IP host: each gives a datagram within the frame, or nothing.
 *
 * The first input byte chooses the host's family and whether checksums count as verified. So that
 * random bytes come past the first checks, it also says which header fields are put right. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "ip/checksum.h"
#include "ip/host.h"
#include "ip/icmp.h"
#include "ip/ipv4.h"
#include "ip/ipv6.h"

enum { INPUT_BYTES_MAX = 4096, POLLS_MAX = 2 * HOST_WAITING_MAX };

enum choice {
    IPV6_HOST = 1,
    CHECKED = 2,
    OUR_MAC = 4,
    OUR_TYPE = 8,
    OUR_ADDRESS = 16,
    ARP = 32,
    SEALED = 64,
    ICMP = 128
};

static const uint8_t ipv4_address[16] = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 1};
static const uint8_t ipv6_address[16] = {0xfd, [15] = 1};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

static struct host *host_of(uint8_t choice) {
    static struct host hosts[2];
    struct host *host = &hosts[choice & IPV6_HOST];
    struct host_config config = {.mac = {2, 0, 0, 0, 0, 1}, .prefix_bits = 24, .mtu_bytes = 1500};
    memcpy(config.address, choice & IPV6_HOST ? ipv6_address : ipv4_address, 16);
    if (host->config.mtu_bytes == 0) {
        host_init(host, &config);
        for (uint32_t port = 0; port < HOST_PORTS; port += 3) {
            host_listen(host, (uint16_t)port);
        }
    }
    return host;
}

static void put(uint8_t *frame, size_t size_bytes, size_t at, const void *field, size_t count) {
    if (at + count <= size_bytes) {
        memcpy(frame + at, field, count);
    }
}

static void seal_ipv4(const struct host *host, uint8_t *frame, size_t size_bytes) {
    size_t header_bytes = size_bytes > 14 ? (size_t)(frame[14] & 15) * 4 : 0;
    if (host->ipv4 && header_bytes >= 20 && 14 + header_bytes <= size_bytes) {
        store_u16(frame + 24, 0);
        uint64_t sum = checksum_add(0, frame + 14, header_bytes);
        store_u16(frame + 24, (uint16_t)~checksum_fold(sum));
    }
}

/* ICMP from a neighbour, with the right checksum. */
static void put_icmp(const struct host *host, uint8_t *frame, size_t size_bytes) {
    struct ip_header ip;
    put(frame, size_bytes, host->ipv4 ? 22 : 21, "\xff", 1);
    put(frame, size_bytes, host->ipv4 ? 23 : 20, host->ipv4 ? "\x01" : "\x3a", 1);
    seal_ipv4(host, frame, size_bytes);
    if (size_bytes > 14 && (host->ipv4 ? ipv4_parse(frame + 14, size_bytes - 14, &ip)
                                       : ipv6_parse(frame + 14, size_bytes - 14, &ip)) ==
                               VERDICT_OK && ip.payload_bytes >= ICMP_HEADER_BYTES) {
        icmp_seal(ip.payload, &ip);
    }
}

static void put_right(const struct host *host, uint8_t choice, uint8_t *frame, size_t size_bytes) {
    uint16_t type = choice & ARP ? ETHERNET_ARP : host->ipv4 ? ETHERNET_IPV4 : ETHERNET_IPV6;
    if (choice & OUR_MAC) {
        put(frame, size_bytes, 0, host->config.mac, MAC_BYTES);
    }
    if (choice & OUR_TYPE) {
        put(frame, size_bytes, 12, (const uint8_t[]){(uint8_t)(type >> 8), (uint8_t)type}, 2);
        put(frame, size_bytes, 14, host->ipv4 ? "\x45" : "\x60", 1);
    }
    if (choice & OUR_ADDRESS && host->ipv4) {
        put(frame, size_bytes, choice & ARP ? 38 : 30, ipv4_address + 12, 4);
    } else if (choice & OUR_ADDRESS) {
        put(frame, size_bytes, 38, ipv6_address, 16);
    }
    if (choice & ARP) {
        put(frame, size_bytes, 14, "\x00\x01\x08\x00\x06\x04", 6);
    } else if (choice & ICMP) {
        put_icmp(host, frame, size_bytes);
    } else if (choice & SEALED) {
        seal_ipv4(host, frame, size_bytes);
    }
}

static void check_within(const struct netif_datagram *datagram, const uint8_t *frame,
                         size_t size_bytes) {
    if (datagram->bytes < frame || datagram->size_bytes > size_bytes ||
        datagram->bytes + datagram->size_bytes > frame + size_bytes) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    static uint8_t out[HOST_FRAME_BYTES_MAX];
    static uint64_t now_ns;
    if (size_bytes == 0 || size_bytes > INPUT_BYTES_MAX) {
        return 0;
    }
    uint8_t choice = bytes[0];
    struct host *host = host_of(choice);
    size_t frame_bytes = size_bytes - 1;
    uint8_t *frame = malloc(frame_bytes + (frame_bytes == 0));
    if (frame == NULL) {
        abort();
    }
    memcpy(frame, bytes + 1, frame_bytes);
    put_right(host, choice, frame, frame_bytes);
    struct netif_datagram datagram;
    struct host_frame input = {frame, frame_bytes, (choice & CHECKED) != 0};
    now_ns += NEIGHBOURS_ASK_NS / 8;
    if (host_receive(host, now_ns, &input, &datagram)) {
        check_within(&datagram, frame, frame_bytes);
        host_doubt(host, now_ns, datagram.remote.address);
        host_send(host, now_ns, &datagram, out);
    } else if (choice & SEALED) {
        host_announce(host);
    }
    int polls = 0;
    while (host_poll(host, now_ns, out) != 0) {
        if (++polls > POLLS_MAX) {
            abort(); /* one frame in must not give frames without end */
        }
    }
    free(frame);
    return 0;
}
