/* Any bytes as the body of packets to an open flow, and as whole packets to the parser.
 *
 * Input: the first byte chooses how much of the rest is split into packets; each packet's body is
 * sealed, so that the check does not hide what lies behind it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "flow/flow.h"

enum { BLOCKS = 256, PACKETS_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store store;
static void *memory;
static struct flow_counters counters;
static struct flow_config config;

static void set_up(void) {
    if (memory != NULL) {
        return;
    }
    memory = aligned_alloc(BLOCK_BYTES, store_bytes(BLOCKS));
    memset(memory, 0, store_bytes(BLOCKS));
    store_init(&store, memory, BLOCKS);
    config = (struct flow_config){
        .parameters = {1384, 1 << 18, 64},
        .congestion = congestion_find("swift"),
        .counters = &counters,
        .rto_min_ns = 1000000,
        .hello_wait_ns = 2000000,
        .ack_delay_ns = 20000,
        .keep_alive_ns = 100000000,
        .dead_ns = 1000000000,
        .unfinished_ns = 60000000000,
        .handshake_timeout_ns = 2000000000,
        .packet_bytes = 1452,
    };
}

static void open_flow(struct flow *flow) {
    struct flow_birth birth = {{{0}, 1, 0}, {{0}, 2, 0}, 7, 100};
    uint8_t body[16];
    parameters_write(body, &config.parameters);
    struct packet accept = {.source_id = 9, .destination_id = 7, .number = 50, .body = body,
                            .body_bytes = sizeof body, .type = PACKET_ACCEPT};
    flow_connect(flow, &config, &birth, 1000);
    flow_receive(flow, &store, &accept, 2000);
}

static void send_something(struct flow *flow) {
    static const uint8_t bytes[5000];
    uint32_t message = send_queue_begin(&flow->out, &store, sizeof bytes, 1, 0);
    if (message != NO_ITEM) {
        send_queue_append(&flow->out, &store, message, bytes, sizeof bytes);
    }
}

static void transmit(struct flow *flow, uint64_t now_ns) {
    uint8_t out[PACKET_BYTES_MAX];
    for (int i = 0; i < 16 && flow_transmit(flow, &store, now_ns, out) > 0; i++) {
    }
}

static void feed(struct flow *flow, const uint8_t *data, size_t size, uint64_t number,
                 uint64_t now_ns) {
    uint8_t bytes[PACKET_BYTES_MAX];
    struct packet packet;
    size = size < 1400 ? size : 1400;
    packet_write_header(bytes, &(struct packet){.destination_id = 7, .source_id = 9,
                                                .number = number, .version = PACKET_VERSION,
                                                .type = PACKET_DATA});
    memcpy(bytes + PACKET_HEADER_BYTES, data, size);
    if (!packet_parse(bytes, packet_seal(bytes, PACKET_HEADER_BYTES + size), &packet)) {
        abort();
    }
    flow_receive(flow, &store, &packet, now_ns);
    while (reassembly_ready(&flow->in, &store) != NULL) {
        flow_release(flow, &store);
    }
    transmit(flow, now_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct packet packet;
    set_up();
    packet_parse(data, size, &packet);
    if (size < 2) {
        return 0;
    }
    struct flow flow;
    open_flow(&flow);
    send_something(&flow);
    transmit(&flow, 3000);
    size_t parts = 1 + data[0] % PACKETS_MAX;
    size_t part_bytes = (size - 1) / parts + 1;
    uint64_t now_ns = 4000;
    size_t at = 1;
    for (size_t i = 0; i < parts && at < size; i++, now_ns += 100000) {
        size_t take = size - at < part_bytes ? size - at : part_bytes;
        feed(&flow, data + at, take, 50 + i + (data[0] >> 6), now_ns);
        flow_timeout(&flow, &store, now_ns);
        at += take;
    }
    flow_fini(&flow, &store);
    if (store.blocks.free_count != BLOCKS || store.outgoing.free_count != BLOCKS ||
        store.incoming.free_count != BLOCKS || store.sent.free_count != 2 * BLOCKS) {
        abort(); /* memory leaked from the store */
    }
    return 0;
}
