/* ACK frames against the ledger of what was sent and the ranges of what was received, beside a
 * model that remembers the fate of every number.
 *
 * Input: a byte that places the first number, then operations: a byte says which, the bytes after
 * it how. Frames are written relative to what was sent, so that most name real packets; one
 * operation takes the frame's bytes as they are.
 */
#include <string.h>

#include "base/bytes.h"
#include "flow_checks.h"

enum { BLOCKS = 512, NUMBERS = 256, AHEAD = 8 };

enum fate { UNSENT, NOT_FLYING, FLYING, LOST };

enum operation { SEND, SKIP, WAIT, ACK, RAW_ACK, RECEIVE, FORGET, FILL, OPERATIONS };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

static struct store store;
static struct ledger ledger;
static struct sack sack;
static struct rtt rtt;
static uint64_t now_ns;
static uint64_t base; /* the first number of both directions */
static uint8_t fates[NUMBERS];
static uint64_t sent_ns[NUMBERS];
static bool is_received[NUMBERS];

static void set_up(uint8_t where) {
    if (store.blocks.memory == NULL) {
        void *memory = aligned_alloc(BLOCK_BYTES, store_bytes(BLOCKS));
        must(memory != NULL);
        memset(memory, 0, store_bytes(BLOCKS));
        store_init(&store, memory, BLOCKS);
    }
    const uint64_t places[] = {0, 1, 40, UINT32_MAX - 100u, (UINT64_C(1) << 62) - 100,
                               UINT64_MAX - 4 * NUMBERS};
    base = places[where % (sizeof places / sizeof places[0])];
    ledger_init(&ledger, base);
    sack_init(&sack, base);
    rtt_init(&rtt);
    rtt_update(&rtt, &(struct rtt_sample){.total_ns = 100000}, 0);
    now_ns = 1000000000;
    memset(fates, UNSENT, sizeof fates);
    memset(is_received, 0, sizeof is_received);
}

static uint64_t sent_count(void) {
    return ledger.next_number - base;
}

static void send(void) {
    uint32_t index = pool_take(&store.sent);
    if (index == NO_ITEM || sent_count() == NUMBERS) {
        must(index == NO_ITEM || sent_count() == NUMBERS);
        if (index != NO_ITEM) {
            pool_give(&store.sent, index);
        }
        return;
    }
    struct sent_packet *packet = pool_at(&store.sent, index);
    *packet = (struct sent_packet){.number = ledger.next_number, .sent_ns = now_ns,
                                   .size_bytes = 100};
    fates[sent_count()] = FLYING;
    sent_ns[sent_count()] = now_ns;
    ledger.next_number++;
    ledger_add(&ledger, &store, index);
}

static bool is_named(const struct ack_frame *ack, uint64_t number) {
    for (uint32_t i = 0; i < ack->count; i++) {
        if (number >= ack->ranges[i].first && number <= ack->ranges[i].last) {
            return true;
        }
    }
    return false;
}

/* Frees a chain whose packets must be in flight; each gets its new fate. */
static uint64_t free_chain(uint32_t index, enum fate fate, const struct ack_frame *ack) {
    uint64_t count = 0;
    uint64_t last = 0;
    while (index != NO_ITEM) {
        const struct sent_packet *packet = pool_at(&store.sent, index);
        uint32_t next = packet->next;
        uint64_t place = packet->number - base;
        must(place < NUMBERS && fates[place] == FLYING && (count == 0 || packet->number > last));
        must(ack == NULL || is_named(ack, packet->number));
        must(fate != LOST || (ledger.has_acked && packet->number < ledger.largest_acked));
        fates[place] = (uint8_t)fate;
        last = packet->number;
        pool_give(&store.sent, index);
        index = next;
        count++;
    }
    return count;
}

/* Declares losses. What is left below the largest number must be neither three behind nor too old,
 * and the next look must come in time. */
static void lose(void) {
    bool counts_packets = ledger.reorder_ns == 0;
    uint64_t trip_ns = rtt.srtt_ns > rtt.latest_ns ? rtt.srtt_ns : rtt.latest_ns;
    uint64_t extra_ns = trip_ns >> TIME_THRESHOLD_SHIFT;
    extra_ns = ledger.reorder_ns > extra_ns ? ledger.reorder_ns : extra_ns;
    free_chain(ledger_lost(&ledger, &store, &rtt, now_ns), LOST, NULL);
    for (uint64_t place = 0; ledger.has_acked && base + place < ledger.largest_acked; place++) {
        if (fates[place] == FLYING) {
            uint64_t due_ns = sent_ns[place] + trip_ns + extra_ns;
            must(due_ns > now_ns && ledger.loss_ns <= due_ns && ledger.loss_ns > now_ns);
            must(!counts_packets || base + place + PACKET_THRESHOLD > ledger.largest_acked);
        }
    }
}

static void receive_ack(const struct ack_frame *ack) {
    bool is_violation = false;
    uint64_t named = 0;
    uint64_t named_lost = 0;
    for (uint64_t place = 0; place < sent_count(); place++) {
        named += fates[place] == FLYING && is_named(ack, base + place);
        named_lost += fates[place] == LOST && is_named(ack, base + place);
    }
    uint32_t chain = ledger_acked(&ledger, &store, ack, &is_violation);
    must(is_violation == (ack->ranges[0].last >= ledger.next_number));
    must(!is_violation || chain == NO_ITEM);
    if (is_violation) {
        return;
    }
    must(free_chain(chain, NOT_FLYING, ack) == named);
    must(ledger_spurious(&ledger, ack, &rtt, now_ns) <= named_lost);
    must(ledger_spurious(&ledger, ack, &rtt, now_ns) == 0); /* each is forgiven once */
    lose();
}

/* A frame that was written comes back as it was. */
static void check_writing(const struct ack_frame *ack) {
    uint8_t bytes[ACK_HEADER_BYTES + ACK_RANGES_MAX * ACK_RANGE_BYTES];
    struct frame frame;
    size_t offset = 0;
    size_t size_bytes = frame_write_ack(bytes, ack);
    must(size_bytes <= sizeof bytes && frame_parse(bytes, size_bytes, &offset, &frame));
    must(offset == size_bytes && frame.ack.count == ack->count);
    must(memcmp(frame.ack.ranges, ack->ranges, ack->count * sizeof ack->ranges[0]) == 0);
    must(frame.ack.delay_ns == ack->delay_ns && frame.ack.marked_count == ack->marked_count);
}

static void make_ack(struct input *input) {
    uint64_t last = base + input_u16(input) % (sent_count() + AHEAD);
    uint32_t count_max = 1 + input_u8(input) % ACK_RANGES_MAX;
    struct ack_frame ack = {.delay_ns = input_u8(input)};
    ack.marked_count = input_u8(input);
    while (ack.count < count_max) {
        uint64_t first = last - base < input_u8(input) ? base : last - input_u8(input) % 16;
        first = first < base || first > last ? base : first;
        ack.ranges[ack.count++] = (struct ack_range){first, last};
        uint64_t gap = 2u + input_u8(input) % 8;
        if (first - base < gap) {
            break;
        }
        last = first - gap;
    }
    check_writing(&ack);
    receive_ack(&ack);
}

static void parse_ack(struct input *input) {
    uint8_t bytes[1 + ACK_HEADER_BYTES + ACK_RANGES_MAX * ACK_RANGE_BYTES];
    struct frame frame;
    size_t offset = 0;
    bytes[0] = FRAME_ACK;
    size_t size_bytes = 1 + input_copy(input, bytes + 1, sizeof bytes - 1);
    if (size_bytes >= 20 && (bytes[2] & 1)) { /* near what was sent */
        store_u64(bytes + 12, base + load_u64(bytes + 12) % (sent_count() + AHEAD));
    }
    if (frame_parse(bytes, size_bytes, &offset, &frame)) {
        must(offset <= size_bytes);
        check_writing(&frame.ack);
        receive_ack(&frame.ack);
    }
}

static void receive_number(struct input *input) {
    uint64_t place = input_u16(input) % NUMBERS;
    if (sack_has(&sack, base + place)) {
        must(is_received[place] || base + place < sack.floor);
        return;
    }
    must(!is_received[place]);
    sack_add(&sack, base + place);
    is_received[place] = true;
    check_sack(&sack);
    for (uint64_t i = 0; i < NUMBERS; i++) {
        must(sack_has(&sack, base + i) == (is_received[i] || base + i < sack.floor));
    }
}

/* Between a number's test and its addition, a frame of its packet may raise the floor above it. */
static void forget(struct input *input) {
    uint64_t place = input_u16(input) % NUMBERS;
    uint64_t floor = sack.floor;
    bool is_new = !sack_has(&sack, base + place);
    sack_forget(&sack, base + input_u16(input) % NUMBERS);
    must(sack.floor >= floor);
    floor = sack.floor;
    if (is_new) {
        sack_add(&sack, base + place);
        is_received[place] = true;
        must(sack.floor >= floor);
    }
    check_sack(&sack);
}

static void fill(struct input *input) {
    struct ack_frame ack = {.delay_ns = 1};
    uint32_t ranges_max = 1u + input_u8(input) % ACK_RANGES_MAX;
    must(sack_fill(&sack, &ack, ranges_max) == (sack.count > 0));
    if (sack.count > 0) {
        must(ack.count <= ranges_max && ack.ranges[0].last == sack.ranges[0].last);
        check_writing(&ack);
    }
}

static void act(struct input *input) {
    switch (input_u8(input) % OPERATIONS) {
    case SEND:
        for (int left = input_u8(input) % 64; left >= 0; left--) {
            send();
        }
        break;
    case SKIP:
        if (sent_count() < NUMBERS) {
            fates[sent_count()] = NOT_FLYING; /* acknowledgements alone */
            ledger.next_number++;
        }
        break;
    case WAIT:
        now_ns += UINT64_C(1) << (input_u8(input) % 24);
        lose();
        break;
    case ACK:
        make_ack(input);
        break;
    case RAW_ACK:
        parse_ack(input);
        break;
    case RECEIVE:
        receive_number(input);
        break;
    case FORGET:
        forget(input);
        break;
    default:
        fill(input);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    struct input input = {bytes, size_bytes, 0};
    set_up(input_u8(&input));
    while (input_has_more(&input)) {
        act(&input);
        check_ledger(&ledger, &store);
    }
    ledger_fini(&ledger, &store);
    check_all_returned(&store);
    return 0;
}
