/* Any commands, in any order, between polls of applications that are honest: each gives a
 * completion that answers it, or an error, and in the end everything that was given out is back.
 *
 * The input is a program of commands, most of whose fields are any, and of what applications do.
 * Each begins with an engine of its own, and ends with that closed.
 */
#define _GNU_SOURCE
#include <string.h>
#include <unistd.h>

#include "engine/command.h"
#include "engine/wire.h"
#include "input.h"
#include "transport_flows.h"

enum {
    CHANNELS_MAX = 3,
    FLOWS_MAX = 4,
    STEPS_MAX = 64,
    UNDER_WAY_MAX = 16,
    SETTLE_POLLS_MAX = 4000,
    HEADS = 16
};

enum step { COMMAND, COMMAND_RAW, REQUEST, CLOSE_FLOW, RECEIVE, HANG_UP, WAIT, STEPS };

struct application {
    struct te_channel *channel; /* NULL: it is not attached, or has gone */
    uint32_t flow; /* the one that opened last */
    bool is_attached;
};

struct under_way {
    struct netif_datagram datagram;
    uint8_t bytes[PACKET_BYTES_MAX];
};

static struct wire wire;
static struct under_way under_way[UNDER_WAY_MAX]; /* oldest first */
static int under_way_count;
static struct application applications[CHANNELS_MAX];
static uint32_t attached; /* how many */
static struct te_stats stats;
static struct te_flow_page page;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

/* ---- commands ---- */

static void take_any(struct input *input, struct te_command *command) {
    uint8_t fields[sizeof *command] = {0};
    input_copy(input, fields, sizeof fields);
    memcpy(command, fields, sizeof fields);
}

/* A rate, or a size: of any magnitude. */
static uint64_t take_scaled(struct input *input) {
    return (uint64_t)input_u8(input) << (input_u8(input) % 64);
}

static void take_likely(struct input *input, struct te_command *command) {
    const uint8_t how = input_u8(input);
    *command = (struct te_command){.op = TE_ATTACH + input_u8(input) % 12u,
                                   .channel = how % (CHANNELS_MAX + 1), .token = how,
                                   .ring_bytes = TE_RING_BYTES_MIN, .share = how >> 2 & 3,
                                   .queue = how >> 5};
    command->endpoint = wire.netif.local;
    command->endpoint.port = (uint16_t)(how >> 4 & 3);
    if (how >> 6 == 3) { /* beyond every table, or nearly */
        command->share = command->queue = command->channel = input_u16(input);
    }
    if (command->op == TE_SHARE) {
        command->terms = (struct te_share){take_scaled(input), take_scaled(input),
                                           take_scaled(input), input_u8(input),
                                           input_u8(input) % (TE_WEIGHT_MAX + 2u)};
    }
}

static void check_attached(const struct te_command *command,
                           const struct te_completion *completion) {
    char why[TE_WHY_BYTES];
    must(completion->value < CHANNELS_MAX);
    struct application *application = &applications[completion->value];
    must(!application->is_attached && command->share < TE_SHARES_MAX);
    *application = (struct application){.is_attached = true, .flow = UINT32_MAX};
    attached++;
    must(te_channel_open(completion->memory_fd, completion->doorbell_fd, &application->channel,
                         why) == TE_OK);
}

static void check_detached(const struct te_command *command) {
    must(command->channel < CHANNELS_MAX && applications[command->channel].is_attached);
    struct application *application = &applications[command->channel];
    te_channel_close(application->channel);
    *application = (struct application){0};
    attached--;
}

static void execute(struct input *input, bool is_raw) {
    struct te_command command;
    struct te_completion completion;
    if (is_raw) {
        take_any(input, &command);
    } else {
        take_likely(input, &command);
    }
    command.stats = &stats; /* these two are the control plane's own, and no tenant's to choose */
    command.flows = &page;
    page.next = command.queue == 0 ? 0 : page.next ^ command.channel;
    if (command.op == TE_ATTACH && command.ring_bytes > TE_RING_BYTES_MIN) {
        command.ring_bytes = TE_RING_BYTES_MIN; /* or larger, which only takes longer */
    }
    command_execute(&wire.engine, &command, &completion);
    must(completion.token == command.token && completion.op == command.op);
    must(completion.error <= TE_OK && completion.error >= TE_E_DENIED);
    const bool has_given = completion.error == TE_OK && command.op == TE_ATTACH;
    must((completion.memory_fd >= 0) == has_given && (completion.doorbell_fd >= 0) == has_given);
    if (has_given) {
        check_attached(&command, &completion);
    } else if (completion.error == TE_OK && command.op == TE_DETACH) {
        check_detached(&command);
    }
    must(page.count <= TE_FLOWS_PAGE);
    must(wire.engine.stats.channels_open == attached);
}

/* ---- the network: what the engine sends to itself comes back, a datagram at each poll ---- */

static void loop(struct wire *from, const struct netif_datagram *datagram) {
    if (under_way_count < UNDER_WAY_MAX &&
        memcmp(datagram->remote.address, from->netif.local.address, TE_ADDRESS_BYTES) == 0) {
        struct under_way *next = &under_way[under_way_count++];
        next->datagram = (struct netif_datagram){.local = datagram->remote,
                                                 .remote = datagram->local,
                                                 .size_bytes = datagram->size_bytes};
        memcpy(next->bytes, datagram->bytes, datagram->size_bytes);
    }
}

static void poll_engine(void) {
    static struct under_way arrived;
    if (under_way_count > 0) {
        arrived = under_way[0];
        arrived.datagram.bytes = arrived.bytes;
        memmove(&under_way[0], &under_way[1], (size_t)--under_way_count * sizeof under_way[0]);
        wire.next = &arrived.datagram;
    }
    wire_poll(&wire);
}

/* ---- applications ---- */

static void receive(struct application *application) {
    static uint8_t payload[TE_RECORD_PAYLOAD_MAX];
    struct te_record heads[HEADS];
    const int count = application->channel == NULL
                          ? 0
                          : te_channel_receive(application->channel, heads, HEADS, payload,
                                               sizeof payload);
    must(count >= 0);
    for (int i = 0; i < count; i++) {
        if (heads[i].kind == TE_FLOW_OPENED || heads[i].kind == TE_FLOW_ACCEPTED) {
            application->flow = heads[i].flow;
        }
    }
}

static void send_one(struct input *input, struct application *application, uint8_t kind) {
    static const uint8_t payload[256];
    struct te_record record = {.kind = kind, .flow = application->flow,
                               .flags = TE_FIRST | TE_LAST};
    record.size_bytes = record.total_bytes = kind == TE_REQUEST ? input_u8(input) : 0;
    if (application->channel != NULL) {
        must(te_channel_put(application->channel, &record, payload) >= 0);
    }
}

static void hang_up(struct application *application) {
    te_channel_close(application->channel);
    application->channel = NULL;
}

static void act(struct input *input) {
    const uint8_t how = input_u8(input);
    struct application *application = &applications[how / STEPS % CHANNELS_MAX];
    switch (how % STEPS) {
    case COMMAND: execute(input, false); break;
    case COMMAND_RAW: execute(input, true); break;
    case REQUEST: send_one(input, application, TE_REQUEST); break;
    case CLOSE_FLOW: send_one(input, application, TE_FLOW_CLOSE); break;
    case RECEIVE: receive(application); break;
    case HANG_UP: hang_up(application); break;
    default: wire.now_ns += UINT64_C(1) << (input_u8(input) % 35); break;
    }
    poll_engine();
}

/* ---- the engine ---- */

static void begin(void) {
    struct te_engine_config config;
    te_engine_config_init(&config);
    config.local = (struct te_endpoint){{[10] = 0xff, [11] = 0xff, 10, 0, 0, 1}, 1, 0};
    config.pool_bytes = 1 << 20;
    config.channels_max = CHANNELS_MAX;
    config.flows_max = FLOWS_MAX;
    config.credit_bytes = config.message_bytes_max = 1 << 16;
    config.keep_alive_ns = config.dead_ns = config.handshake_timeout_ns = 100000000;
    must(wire_open(&wire, &config) == TE_OK);
    wire.sent = loop;
    under_way_count = 0;
    attached = 0;
    memset(applications, 0, sizeof applications);
}

/* All are detached, and then nothing is held any more once every flow has ended. */
static void end(void) {
    for (uint32_t i = 0; i < CHANNELS_MAX; i++) {
        const struct te_command detach = {.op = TE_DETACH, .channel = i};
        struct te_completion completion;
        command_execute(&wire.engine, &detach, &completion);
        must(completion.error == (applications[i].is_attached ? TE_OK : TE_E_UNKNOWN));
        te_channel_close(applications[i].channel);
    }
    must(wire.engine.stats.channels_open == 0 && wire.engine.stats.listeners_open == 0);
    for (int polls = 0; wire.engine.stats.flows_open > 0; polls++) {
        must(polls < SETTLE_POLLS_MAX);
        const uint64_t due_ns = wire_due_ns(&wire);
        wire.now_ns = due_ns != UINT64_MAX && due_ns > wire.now_ns ? due_ns : wire.now_ns + 1;
        poll_engine();
    }
    must(wire.engine.store.blocks.free_count == wire.engine.store.blocks.capacity);
    must(wire.engine.timers.count == 0);
    engine_fini(&wire.engine, wire.now_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    struct input input = {bytes, size_bytes, 0};
    begin();
    for (int steps = 0; input_has_more(&input) && steps < STEPS_MAX; steps++) {
        act(&input);
    }
    end();
    return 0;
}
