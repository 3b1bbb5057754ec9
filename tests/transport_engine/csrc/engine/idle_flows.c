/* What idle flows cost: two engines joined by memory, FLOWS flows between them, on virtual time.
 *
 * Polls both engines whenever one of them has something due, for SECONDS of virtual time in which
 * no application says anything, and measures the processor's time for it. The netif costs a copy
 * and no system call, so this is the price of timers, pings and acknowledgements. Prints JSON.
 * Driven by benchmarks/idle.py. Arguments: flows, virtual seconds.
 */
#define _GNU_SOURCE /* mincore, MAP_ANONYMOUS */

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "engine/command.h"
#include "engine/wire.h"

enum { PORT = 7000, QUEUE_MAX = 256, HEADS = 64, PAGE_BYTES = 4096 };

struct side {
    struct wire wire;
    struct te_channel *application;
    struct netif_datagram queue[QUEUE_MAX]; /* arrived, not yet received */
    uint8_t bytes[QUEUE_MAX][2048];
    uint32_t first, count;
};

static struct side *sides[2];

static void must(bool claim, const char *what) {
    if (!claim) {
        fprintf(stderr, "idle_flows: %s\n", what);
        exit(1);
    }
}

static uint64_t processor_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* One engine's burst becomes the other's input; more than the queue holds is lost. */
static void pass_on(struct wire *from, const struct netif_datagram *datagram) {
    struct side *to = sides[(struct side *)from == sides[0]];
    if (to->count == QUEUE_MAX || datagram->size_bytes > sizeof to->bytes[0]) {
        return;
    }
    uint32_t place = (to->first + to->count++) % QUEUE_MAX;
    memcpy(to->bytes[place], datagram->bytes, datagram->size_bytes);
    to->queue[place] = (struct netif_datagram){.local = datagram->remote,
                                               .remote = datagram->local,
                                               .bytes = to->bytes[place],
                                               .size_bytes = datagram->size_bytes};
}

static int receive_queue(struct netif *netif, uint64_t now_ns, struct netif_datagram *datagrams,
                         int count) {
    struct side *side = (struct side *)netif;
    int filled = 0;
    (void)now_ns;
    while (filled < count && side->count > 0) {
        datagrams[filled++] = side->queue[side->first];
        side->first = (side->first + 1) % QUEUE_MAX;
        side->count--;
    }
    return filled;
}

static void take_records(struct side *side) {
    static uint8_t payload[TE_RECORD_PAYLOAD_MAX * 2];
    struct te_record heads[HEADS];
    while (te_channel_receive(side->application, heads, HEADS, payload, sizeof payload) > 0) {
    }
}

static void open_side(struct side *side, uint8_t number, uint32_t flows) {
    static struct netif_ops ops;
    struct te_engine_config config;
    struct te_completion done;
    char why[TE_WHY_BYTES];
    te_engine_config_init(&config);
    config.local = (struct te_endpoint){{[10] = 0xff, [11] = 0xff, 10, 0, 0, number},
                                        TE_PORT_DEFAULT, 0};
    config.flows_max = flows;
    config.flows_per_peer_max = flows;
    must(wire_open(&side->wire, &config) == TE_OK, "no memory for an engine");
    ops = *side->wire.netif.ops;
    ops.rx_burst = receive_queue;
    side->wire.netif.ops = &ops;
    side->wire.sent = pass_on;
    prng_init(&side->wire.prng, number);
    const struct te_command attach = {.op = TE_ATTACH, .ring_bytes = 1 << 22};
    command_execute(&side->wire.engine, &attach, &done);
    must(done.error == TE_OK && te_channel_open(done.memory_fd, done.doorbell_fd,
                                                &side->application, why) == TE_OK,
         "no channel");
}

/* Moves to the next event and lets it happen at both. */
static void step(void) {
    uint64_t next_ns = UINT64_MAX;
    for (int i = 0; i < 2; i++) {
        uint64_t due_ns = sides[i]->count > 0 ? 0 : wire_due_ns(&sides[i]->wire);
        next_ns = due_ns < next_ns ? due_ns : next_ns;
    }
    uint64_t now_ns = sides[0]->wire.now_ns;
    now_ns = next_ns > now_ns && next_ns != UINT64_MAX ? next_ns : now_ns;
    for (int i = 0; i < 2; i++) {
        sides[i]->wire.now_ns = now_ns;
        wire_poll(&sides[i]->wire);
    }
}

static void connect_all(uint32_t flows) {
    struct te_completion done;
    struct te_endpoint server = sides[1]->wire.netif.local;
    server.port = PORT;
    command_execute(&sides[1]->wire.engine,
                    &(struct te_command){.op = TE_LISTEN, .endpoint = server}, &done);
    for (uint32_t i = 0; i < flows; i++) {
        command_execute(&sides[0]->wire.engine,
                        &(struct te_command){.op = TE_CONNECT, .endpoint = server}, &done);
        must(done.error == TE_OK, "cannot connect");
        while (sides[1]->wire.engine.stats.handshakes_completed <= i) {
            step();
        }
        take_records(sides[0]);
        take_records(sides[1]);
        sides[0]->wire.now_ns += 200000; /* so that flows are not all of one age */
    }
}

static void run_for(uint64_t span_ns) {
    uint64_t end_ns = sides[0]->wire.now_ns + span_ns;
    while (sides[0]->wire.now_ns < end_ns) {
        step();
        take_records(sides[0]);
        take_records(sides[1]);
    }
}

static uint64_t resident_bytes(const struct engine *engine) {
    size_t pages = (engine->memory_bytes + PAGE_BYTES - 1) / PAGE_BYTES;
    unsigned char *present = malloc(pages);
    uint64_t count = 0;
    must(present != NULL && mincore(engine->memory, engine->memory_bytes, present) == 0,
         "cannot tell what is resident");
    for (size_t i = 0; i < pages; i++) {
        count += present[i] & 1;
    }
    free(present);
    return count * PAGE_BYTES;
}

/* All that an engine keeps for a flow that is open: itself, its places in the tables, its timer,
 * and its tenant's handle. */
static size_t flow_bytes(void) {
    return sizeof(struct engine_flow) + flow_table_bytes(1) + sizeof(struct timer) +
           sizeof(struct handle_entry) + sizeof(uint32_t);
}

int main(int argc, char **argv) {
    must(argc == 3, "usage: idle_flows FLOWS SECONDS");
    uint32_t flows = (uint32_t)strtoul(argv[1], NULL, 10);
    uint64_t span_ns = strtoull(argv[2], NULL, 10) * 1000000000u;
    crc32c_select();
    uint64_t before_bytes = 0;
    for (int i = 0; i < 2; i++) {
        sides[i] = calloc(1, sizeof *sides[i]);
        must(sides[i] != NULL, "no memory");
        open_side(sides[i], (uint8_t)(i + 1), flows);
        before_bytes += resident_bytes(&sides[i]->wire.engine);
    }
    connect_all(flows);
    run_for(4000000000u); /* until all is quiet */
    const struct engine *engines[2] = {&sides[0]->wire.engine, &sides[1]->wire.engine};
    uint64_t packets = engines[0]->output.datagrams_sent + engines[1]->output.datagrams_sent;
    uint64_t polls = engines[0]->stats.polls + engines[1]->stats.polls;
    uint64_t start_ns = processor_ns();
    run_for(span_ns);
    uint64_t spent_ns = processor_ns() - start_ns;
    packets = engines[0]->output.datagrams_sent + engines[1]->output.datagrams_sent - packets;
    polls = engines[0]->stats.polls + engines[1]->stats.polls - polls;
    must(engines[0]->stats.flows_open == flows && engines[1]->stats.flows_open == flows,
         "a flow has died");
    const struct store *store = &engines[0]->store;
    uint32_t blocks = store->blocks.capacity - store->blocks.free_count;
    printf("{\"flows\": %u, \"share_of_core\": %.5f, \"packets_per_s\": %.0f, \"polls_per_s\": "
           "%.0f, \"bytes_per_flow\": %zu, "
           "\"resident_bytes_per_flow\": %.0f, \"blocks_held\": %u}\n",
           flows, (double)spent_ns / 2 / (double)span_ns,
           (double)packets * 1e9 / 2 / (double)span_ns, (double)polls * 1e9 / 2 / (double)span_ns,
           flow_bytes(),
           (double)(resident_bytes(engines[0]) + resident_bytes(engines[1]) - before_bytes) / 2 /
               flows,
           blocks);
    return 0;
}
