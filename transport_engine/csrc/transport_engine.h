/* The public C interface of the transport engine: records, channels, engines.
 *
 * This header is the one definition of every layout and constant that crosses a language border:
 * transport_engine/ffi_build.py hands the part between the two markers to cffi, and Python reads
 * sizes, offsets and enumerators back from there.
 *
 * Thread: an engine belongs to who polls it, a channel to who sends and receives on it. One other
 * thread may call te_engine_command, te_engine_completion and te_engine_stop, and nothing else.
 */
#ifndef TRANSPORT_ENGINE_H
#define TRANSPORT_ENGINE_H

#include <stddef.h>
#include <stdint.h>

/* cffi: begin */

enum te_limit {
    TE_ADDRESS_BYTES = 16,         /* an IPv6 address, or an IPv4 address as ::ffff:a.b.c.d */
    TE_PORT_DEFAULT = 31580,       /* the UDP port from which a sidecar calls */
    TE_WHY_BYTES = 256,            /* room for a sentence that explains a failure */
    TE_RECORD_PAYLOAD_MAX = 65536, /* payload bytes of one record; longer messages take several */
    TE_RECORD_ALIGN = 8,
    TE_RING_BYTES_MIN = 131072,
    TE_RING_BYTES_MAX = 1 << 30,
    TE_MESSAGE_BYTES_MAX = (16 << 20) - 4096,
    TE_CHANNELS_MAX = 1024,
    TE_SHARES_MAX = 256,
    TE_WEIGHT_MAX = 100,
    TE_LANES = 16, /* of a flow, 0 included */
    TE_PRIORITIES = 8, TE_PRIORITY_USUAL = 4, /* 0 goes first; calls that say nothing have 4 */
    TE_FLOWS_MAX = 1 << 20,
    TE_BURST_MAX = 32, /* datagrams that one netif call moves */
    TE_CORES_MAX = 16, /* engines of one team */
    TE_CALL_HEADER_BYTES = 32
};

enum te_error {
    TE_OK = 0,
    TE_E_INVALID = -1,   /* an argument or a configuration value is out of its range */
    TE_E_NO_MEMORY = -2, /* memory could not be had at start, or a table is full */
    TE_E_AGAIN = -3,     /* not now: a ring is full or empty */
    TE_E_CLOSED = -4,    /* the other side of the channel is gone */
    TE_E_IN_USE = -5,    /* the port or the name is taken */
    TE_E_NO_DRIVER = -6, /* the netif driver is unknown, or was left out of this build */
    TE_E_SYSTEM = -7,    /* a system call failed; the sentence says which and why */
    TE_E_CORRUPT = -8,   /* shared memory holds what no honest side writes */
    TE_E_TOO_LARGE = -9, /* the message is longer than the configured maximum */
    TE_E_UNKNOWN = -10,  /* no such channel, flow or listener */
    TE_E_QUOTA = -11,    /* all that the tenant's share admits is in use */
    TE_E_DENIED = -12    /* the system lets this process make no shared memory */
};

/* What an application did to its channel that no honest one does (docs/channel.md §3). */
enum te_violation {
    TE_V_NONE = 0,
    TE_V_POSITION = 1, /* a position moved to where none can be */
    TE_V_RECORD = 2,   /* a header breaks a rule, or a record is torn */
    TE_V_MEMORY = 3    /* pages were removed, or the seal was kept off */
};

/* Why a flow ended or never opened: in CLOSE (docs/wire.md), and in TE_FLOW_CLOSED's status. */
enum te_reason {
    TE_R_NONE = 0,
    TE_R_CLOSED = 1,        /* the local application closed it */
    TE_R_PEER_CLOSED = 2,   /* the remote application closed it, or died */
    TE_R_REFUSED = 3,       /* nobody listens on that port */
    TE_R_NO_ANSWER = 4,     /* the handshake was never answered */
    TE_R_PEER_DEAD = 5,     /* an open flow's peer stopped answering */
    TE_R_PEER_RESTARTED = 6,/* the peer no longer knows this flow */
    TE_R_ENGINE_STOPPED = 7,/* an engine shut down */
    TE_R_VERSION = 8,       /* no common version of the wire protocol */
    TE_R_NO_RESOURCES = 9,  /* a table or memory pool is exhausted */
    TE_R_PROTOCOL = 10,     /* the peer broke the protocol */
    TE_R_QUARANTINED = 11,  /* the channel's owner broke the channel's rules */
    TE_R_FORBIDDEN = 12,    /* a policy does not allow it */
    TE_R_STALLED = 13       /* a message was begun, and nothing more of it came for too long */
};

enum te_kind {
    /* application <-> application, carried by flows */
    TE_REQUEST = 1,
    TE_REPLY = 2,
    TE_CANCEL = 3,
    TE_ITEM = 4,   /* one item of a stream */
    TE_END = 5,    /* no more items from this side */
    TE_CREDIT = 6, /* the receiver of a stream admits more items */
    TE_GOAWAY = 7, /* no new requests, please */
    TE_PROGRESS = 8, /* call ids (8 bytes each) of requests whose handlers have started */
    TE_LAST_WORD = 9, /* struct te_starts of a server that is gone, in little endian */
    TE_APP_KIND_LAST = 31,
    /* engine -> application */
    TE_FLOW_OPENED = 32,   /* answer to connect; call_id = its token; payload: te_flow_ends */
    TE_FLOW_ACCEPTED = 33, /* a peer connected to a listener; payload: te_flow_ends */
    TE_FLOW_CLOSED = 34,   /* status = te_reason; call_id = token of a connect that failed, or 0 */
    /* application -> engine */
    TE_FLOW_CLOSE = 48 /* all that was sent before it is delivered first */
};

enum te_record_flag {
    TE_FIRST = 1, /* the first record of its message */
    TE_LAST = 2,  /* the last record of its message */
    TE_ERROR = 4, /* a reply that carries an error: status is its code */
    TE_METADATA = 8 /* the payload opens with metadata */
};

enum te_wake { TE_WAKE_READABLE = 1, TE_WAKE_WRITABLE = 2 };

/* A message, or a part of one, in a ring; its payload follows it, padded to TE_RECORD_ALIGN.
 * All records of a message but the last carry TE_RECORD_PAYLOAD_MAX bytes, repeat the header, and
 * stand next to each other in their ring. */
struct te_record {
    uint64_t call_id;
    uint64_t method_id;
    uint64_t remaining_ns; /* until the caller's deadline; 0: none */
    uint32_t flow;         /* index into the table of the channel's own flows */
    uint32_t size_bytes;   /* payload that follows this header */
    uint32_t offset_bytes; /* of that payload in its message */
    uint32_t total_bytes;  /* payload of the whole message */
    uint8_t kind;          /* enum te_kind */
    uint8_t flags;         /* enum te_record_flag */
    uint8_t lane;          /* 0: unordered; else ordered among messages of the same lane */
    uint8_t priority;      /* 0 first .. 7 last */
    uint16_t status;       /* of a reply: code; of TE_FLOW_CLOSED: enum te_reason */
    uint8_t progress;
    uint8_t zero;
};

struct te_endpoint {
    uint8_t address[16];
    uint16_t port; /* host order */
    uint16_t zero;
};

struct te_flow_ends {
    struct te_endpoint local;
    struct te_endpoint remote;
    uint32_t message_bytes_max; /* longest payload that the peer takes */
    uint32_t narrow_mtu_bytes; /* largest IP packet where the way lost longer ones; else 0 */
    uint64_t number; /* of the flow; random, the same at both ends, and known to nobody else */
};

/* ---- channel, the application's side ---- */

struct te_channel;

/* Maps the channel behind a memfd that an engine made. Owner: takes over both descriptors, always.
 * Errors: TE_E_CORRUPT (not such a memfd), TE_E_SYSTEM. */
int te_channel_open(int memory_fd, int doorbell_fd, struct te_channel **channel, char *why);
void te_channel_close(struct te_channel *channel);

/* Copies whole records (header, payload, padding; packed one after another) into the ring.
 * Returns the bytes taken, 0 when the ring is full; TE_E_INVALID for a malformed record,
 * TE_E_CORRUPT for a ring that the engine would not have written. Rings no bell. */
int64_t te_channel_send(struct te_channel *channel, const uint8_t *records, uint64_t bytes);

/* The same for one record whose payload lies elsewhere: 1 if it was taken, 0: the ring is full. */
int te_channel_put(struct te_channel *channel, const struct te_record *record,
                   const uint8_t *payload);

/* Copies up to `heads_max` records out of the ring: headers to `heads`, their payloads one behind
 * another, unpadded, to `payload` (room for at least TE_RECORD_PAYLOAD_MAX).
 * Returns the number of records; TE_E_CORRUPT as above. */
int te_channel_receive(struct te_channel *channel, struct te_record *heads, int heads_max,
                       uint8_t *payload, uint64_t payload_max);

/* The next record where it lies, for whoever copies its payload once and to its place: its checked
 * header to `record`, and its payload, which stays there until the pop. 1; 0: the ring is empty;
 * TE_E_CORRUPT as above. */
int te_channel_peek(struct te_channel *channel, struct te_record *record, const uint8_t **payload);
/* Takes the record that was peeked at out of the ring; does nothing where there was none. */
void te_channel_pop(struct te_channel *channel);

/* Wakes the engine if it sleeps: 1, else 0. To be called after a burst of sends, or of receives. */
int te_channel_ring(struct te_channel *channel);

/* Prepares to sleep until one of `wake` (enum te_wake; 0: no more) comes true; the engine then
 * writes to the doorbell once. 0: sleep on te_channel_fd; else the wakes that are true already. */
int te_channel_arm(struct te_channel *channel, int wake);
/* Empties the doorbell after it became readable. TE_E_CLOSED: the engine is gone. */
int te_channel_awake(struct te_channel *channel);
int te_channel_fd(const struct te_channel *channel);

/* ---- pairs: a channel between two applications ---- */

/* Makes the memory (two rings of `ring_bytes` each) and both ends of the doorbell. Give each
 * application a copy of the memory and one end of the doorbell, and close all of them here.
 * Errors: TE_E_INVALID (ring_bytes), TE_E_NO_MEMORY, TE_E_DENIED, TE_E_SYSTEM; `why` says why. */
int te_pair_make(uint64_t ring_bytes, int *memory_fd, int *doorbell_fds, char *why);
/* To be called when both have mapped their end, before either uses it.
 * Errors: TE_E_CORRUPT (one of them took pages away, or kept the seal off), TE_E_SYSTEM. */
int te_pair_seal(int memory_fd, char *why);
/* Maps one end; then it is as a channel, but carries only kinds up to TE_APP_KIND_LAST. `accepts`
 * is 0 for the side that asked for the pair, and 1 for the other.
 * Owner, Errors: as te_channel_open. What TE_E_CLOSED and TE_E_CORRUPT say of the engine, they say
 * of the other application here. It may have sent before it went: receive once more. */
int te_pair_open(int memory_fd, int doorbell_fd, int accepts, struct te_channel **channel,
                 char *why);

/* ---- engine ---- */

struct te_engine;
struct te_team;
struct te_stats;
struct te_flow_page;

struct te_fault {
    uint32_t loss_ppm; /* probabilities for each datagram received, in parts per million */
    uint32_t duplicate_ppm;
    uint32_t corrupt_ppm;
    uint32_t reorder_ppm;
    uint64_t reorder_ns; /* by how much a reordered datagram is late */
    uint64_t seed;
};

struct te_engine_config {
    const char *driver;   /* "udp", "dpdk", "loopback" */
    const char *netif;    /* driver arguments; dpdk: EAL arguments, separated by spaces */
    const char *congestion; /* "swift", "cubic", "fixed" */
    struct te_endpoint local; /* address; port 0: a free one (udp) */
    uint8_t gateway[16];      /* dpdk: next hop off-link; all zero: none */
    uint8_t prefix_bits;      /* dpdk: of the local network, counted in the address family */
    uint8_t profile;          /* 0 rack, 1 cloud */
    uint16_t zero;
    uint32_t mtu_bytes;       /* largest IP packet */
    uint32_t channels_max;
    uint32_t flows_max;
    uint32_t flows_per_peer_max; /* accepted from one address; 0: all but an eighth */
    uint32_t message_bytes_max;
    uint32_t credit_bytes;    /* that a peer may send on a flow before the application takes it */
    uint64_t pool_bytes;      /* memory for messages under way, both directions */
    uint64_t handshake_timeout_ns;
    uint64_t keep_alive_ns;   /* silence after which a peer is asked whether it lives */
    uint64_t dead_ns;         /* silence after which it counts as dead */
    uint64_t unfinished_ns;   /* that a message which was begun may wait for its next bytes */
    uint64_t spin_ns;         /* polling that finds nothing before the engine sleeps */
    struct te_team *team;     /* whose engines share the netif, a queue each; NULL: alone */
    uint32_t queue;           /* this engine's, and its number in the team */
    uint32_t queues;          /* of the netif, one for each engine of the team; 0: alone */
    struct te_fault fault;    /* seeded faults; all zero: none */
    const uint64_t *clock_ns; /* for tests: the time, and chance drawn from fault.seed alone; never
                                 goes back, set by the poller's thread only; NULL: the system's */
};

/* What a tenant gets of an engine, over all its channels; 0 sets no limit. */
struct te_share {
    uint64_t memory_bytes; /* for messages under way, both directions */
    uint64_t bytes_per_second; /* that it sends; at least 1000 */
    uint64_t messages_per_second;
    uint32_t flows_max;
    uint32_t weight; /* of its packets against those of others; 1 .. TE_WEIGHT_MAX */
};

enum te_command_op {
    TE_ATTACH = 1, /* in: ring_bytes, share. out: value = channel, memory_fd, doorbell_fd */
    TE_DETACH = 2, /* in: channel */
    TE_LISTEN = 3, /* in: channel, endpoint (port; address all zero). out: value = bound port */
    TE_UNLISTEN = 4, /* in: channel, endpoint */
    TE_CONNECT = 5, /* in: channel, endpoint, token. A record answers: TE_FLOW_OPENED/CLOSED */
    TE_STATS = 6,   /* out: *stats */
    TE_DRAIN = 7,   /* no new flows; closes all flows once their messages are delivered */
    TE_SHARE = 8,   /* in: share, terms. Share 0 is without limits until it is set.
                       out: value = flows that it has open */
    TE_ROUTE = 9,   /* in: endpoint (port), queue: who in the team listens, or TE_CORES_MAX */
    TE_FLOWS = 10,  /* in, out: *flows (transport_flows.h) */
    TE_HAS_LEFT = 11, /* in: channel. out: value = 1 if nobody has the application's end any more */
    /* Not a command: a completion that nobody asked for, token 0. value = channel, violation */
    TE_QUARANTINED = 64
};

struct te_command {
    uint32_t op; /* enum te_command_op */
    uint32_t channel;
    uint64_t token; /* comes back in the completion */
    struct te_endpoint endpoint;
    uint64_t ring_bytes;
    struct te_stats *stats; /* Owner: the caller's, until the completion */
    struct te_flow_page *flows; /* Owner: as of stats */
    uint32_t share; /* whose the channel is; below TE_SHARES_MAX */
    uint32_t queue;
    struct te_share terms;
};

struct te_completion {
    uint64_t token;
    uint32_t op;
    int32_t error; /* enum te_error */
    uint32_t value;
    int32_t memory_fd; /* Owner: the caller's from here on */
    int32_t doorbell_fd;
    uint32_t violation; /* enum te_violation */
};

struct te_stats {
    uint64_t now_ns;
    uint64_t polls;
    uint64_t polls_idle;
    uint64_t sleeps;
    uint64_t datagrams_received;
    uint64_t datagrams_sent;
    uint64_t bytes_received; /* UDP payload */
    uint64_t bytes_sent;
    uint64_t netif_receive_calls; /* of the kernel, by a driver that moves datagrams through it */
    uint64_t netif_send_calls;
    uint64_t datagrams_dropped_bad; /* malformed or failed its checksum */
    uint64_t datagrams_dropped_unknown; /* for no flow or listener of ours */
    uint64_t datagrams_dropped_full; /* no memory */
    uint64_t datagrams_handed_over; /* that came here and are another engine's of the team */
    uint64_t handovers_lost; /* such datagrams for which its queue had no room */
    uint64_t packets_retransmitted;
    uint64_t packets_lost; /* declared so by loss detection */
    uint64_t packets_spurious; /* declared lost, and acknowledged after all */
    uint64_t packets_duplicate;
    uint64_t packets_marked; /* received with the ECN mark CE */
    uint64_t rebinds;        /* peers that went on from another address or port */
    uint64_t probes;
    uint64_t timeouts;
    uint64_t flows_stalled; /* ended for a message that was not finished, or not taken */
    uint64_t flows_narrowed; /* opened with shorter packets, as the way lost longer ones */
    uint64_t messages_sent;
    uint64_t messages_received;
    uint64_t message_bytes_sent;
    uint64_t message_bytes_received;
    uint64_t requests_expired; /* discarded, and answered, before an application saw them */
    uint64_t handshakes_started;
    uint64_t handshakes_completed;
    uint64_t handshakes_failed;
    uint64_t retries_sent;
    uint64_t resets_sent;
    uint64_t resets_received;
    uint64_t flows_open;
    uint64_t flows_died;
    uint64_t channels_open;
    uint64_t channels_quarantined;
    uint64_t quarantined_position; /* of those: by enum te_violation */
    uint64_t quarantined_record;
    uint64_t quarantined_memory;
    uint64_t listeners_open;
    uint64_t rate_waits;      /* times that a tenant's rate made its records wait */
    uint64_t quota_refusals;  /* flows that a tenant's quota did not admit */
    uint64_t peer_refusals;   /* flows, for their peer had flows_per_peer_max of them */
    uint64_t pool_blocks;
    uint64_t pool_blocks_free;
    uint64_t faults_lost; /* injected by the fault netif */
    uint64_t faults_duplicated;
    uint64_t faults_corrupted;
    uint64_t faults_reordered;
};

/* Fills in defaults; then set what differs. */
void te_engine_config_init(struct te_engine_config *config);

/* What joins the engines of one process that share a netif: up to TE_CORES_MAX, a thread each.
 * Close it once all of them are closed. An engine's configuration names its team and its queue; the
 * first to be opened has queue 0, and what each listens on, TE_ROUTE tells the others.
 * Errors: TE_E_INVALID (fewer than 2, too many), TE_E_NO_MEMORY, TE_E_SYSTEM. */
int te_team_open(uint32_t count, struct te_team **team, char *why);
void te_team_close(struct te_team *team);

/* Takes all the memory that the engine will use and opens its netif.
 * Errors: any but TE_E_AGAIN and TE_E_CLOSED; `why` (TE_WHY_BYTES) says what to do. */
int te_engine_open(const struct te_engine_config *config, struct te_engine **engine, char *why);
void te_engine_close(struct te_engine *engine); /* tells peers and applications, and frees all */

/* One burst through every channel, flow and the netif; never blocks.
 * Returns the records and datagrams moved. */
int te_engine_poll(struct te_engine *engine);
/* Prepares to sleep. Returns nanoseconds until the next timer (at most 1 s); 0: poll again now. */
int64_t te_engine_arm(struct te_engine *engine);
/* Becomes readable when there is something to poll for. */
int te_engine_fd(const struct te_engine *engine);
/* 1 if a datagram's arrival makes the fd readable, 0 if the netif wants polling. */
int te_engine_wakes(const struct te_engine *engine);

void te_engine_run(struct te_engine *engine); /* polls, spins and sleeps until te_engine_stop */
void te_engine_stop(struct te_engine *engine);

/* TE_E_AGAIN: the command ring is full. The completion comes after a later poll. */
int te_engine_command(struct te_engine *engine, const struct te_command *command);
int te_engine_completion(struct te_engine *engine, struct te_completion *completion);
int te_engine_completion_fd(const struct te_engine *engine); /* readable when one waits */

/* Where the engine's netif is bound. */
void te_engine_local(const struct te_engine *engine, struct te_endpoint *local);

/* ---- the process that runs an engine ---- */

/* Gives up, for good, every capability and all system calls but those that an engine needs while
 * it runs; `drives_devices` adds those of DPDK drivers. To be called once all is open, by the
 * thread that will start the others.
 * Errors: TE_E_SYSTEM; `why` (TE_WHY_BYTES) says what failed, and how to do without. */
int te_process_harden(int drives_devices, char *why);

const char *te_error_name(int error);
const char *te_reason_name(int reason);
const char *te_drivers(void); /* of this build, separated by spaces */

/* cffi: end */

#endif
