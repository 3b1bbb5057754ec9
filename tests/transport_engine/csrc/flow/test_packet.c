/* Packets and frames: what was written is read, and nothing malformed is. */
#include "test.h"

#include "base/bytes.h"
#include "base/prng.h"
#include "flow/packet.h"

static size_t write_packet(uint8_t *out, uint8_t type, const uint8_t *body, size_t body_bytes) {
    struct packet packet = {.destination_id = 11, .source_id = 22, .number = 33,
                            .version = PACKET_VERSION, .type = type};
    packet_write_header(out, &packet);
    memcpy(out + PACKET_HEADER_BYTES, body, body_bytes);
    return packet_seal(out, PACKET_HEADER_BYTES + body_bytes);
}

static void header_survives(void **state) {
    (void)state;
    uint8_t bytes[PACKET_BYTES_MAX];
    struct packet packet;
    size_t size_bytes = write_packet(bytes, PACKET_DATA, (const uint8_t *)"body", 4);
    assert_true(packet_parse(bytes, size_bytes, &packet));
    assert_int_equal(packet.destination_id, 11);
    assert_int_equal(packet.source_id, 22);
    assert_int_equal(packet.number, 33);
    assert_int_equal(packet.type, PACKET_DATA);
    assert_int_equal(packet.version, PACKET_VERSION);
    assert_int_equal(packet.body_bytes, 4);
    assert_memory_equal(packet.body, "body", 4);
}

static void id_can_be_told_before_the_rest(void **state) {
    (void)state;
    uint8_t bytes[PACKET_BYTES_MAX];
    size_t size_bytes = write_packet(bytes, PACKET_DATA, (const uint8_t *)"", 0);
    assert_int_equal(packet_peek_id(bytes, size_bytes), 11);
    assert_int_equal(packet_peek_id(bytes, size_bytes - 1), 0);
    assert_int_equal(packet_peek_id(NULL, 0), 0);
}

static void every_flipped_bit_is_seen(void **state) {
    (void)state;
    uint8_t bytes[PACKET_BYTES_MAX];
    struct packet packet;
    size_t size_bytes = write_packet(bytes, PACKET_DATA, (const uint8_t *)"body", 4);
    for (size_t bit = 0; bit < size_bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(packet_parse(bytes, size_bytes, &packet));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < size_bytes; size++) {
        assert_false(packet_parse(bytes, size, &packet));
    }
    assert_false(packet_parse(bytes, PACKET_BYTES_MAX + 1, &packet));
}

static void unknown_types_are_refused(void **state) {
    (void)state;
    uint8_t bytes[PACKET_BYTES_MAX];
    struct packet packet;
    for (int type = 0; type < 256; type++) {
        size_t size_bytes = write_packet(bytes, (uint8_t)type, bytes, 0);
        bool is_known = type >= PACKET_INIT && type <= PACKET_VERSIONS;
        assert_int_equal(packet_parse(bytes, size_bytes, &packet), is_known);
    }
}

static void acks_survive(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 5);
    for (int round = 0; round < 5000; round++) {
        struct ack_frame ack = {.delay_ns = prng_next(&prng),
                                .count = 1 + prng_below(&prng, ACK_RANGES_MAX)};
        uint64_t at = UINT64_MAX - prng_below(&prng, 1000);
        for (uint32_t i = 0; i < ack.count; i++) {
            ack.ranges[i].last = at;
            ack.ranges[i].first = at - prng_below(&prng, 1000000);
            at = ack.ranges[i].first - 2 - prng_below(&prng, 1000000);
        }
        uint8_t bytes[ACK_HEADER_BYTES + ACK_RANGES_MAX * ACK_RANGE_BYTES];
        size_t size_bytes = frame_write_ack(bytes, &ack);
        struct frame frame;
        size_t offset = 0;
        assert_true(frame_parse(bytes, size_bytes, &offset, &frame));
        assert_int_equal(offset, size_bytes);
        assert_int_equal(frame.ack.count, ack.count);
        assert_int_equal(frame.ack.delay_ns, ack.delay_ns);
        assert_memory_equal(frame.ack.ranges, ack.ranges, ack.count * sizeof ack.ranges[0]);
        for (size_t size = 1; size < size_bytes; size++) {
            offset = 0;
            assert_false(frame_parse(bytes, size, &offset, &frame));
        }
    }
}

static void acks_below_zero_are_refused(void **state) {
    (void)state;
    uint8_t bytes[ACK_HEADER_BYTES + ACK_RANGE_BYTES] = {FRAME_ACK, 2};
    struct frame frame;
    size_t offset = 0;
    store_u64(bytes + 12, 10); /* the largest */
    store_u32(bytes + 20, 4);  /* 6..10 */
    store_u32(bytes + 24, 4);  /* then a gap down to 0 */
    assert_true(frame_parse(bytes, sizeof bytes, &offset, &frame));
    assert_int_equal(frame.ack.ranges[1].last, 0);
    store_u32(bytes + 24, 5);
    offset = 0;
    assert_false(frame_parse(bytes, sizeof bytes, &offset, &frame));
    store_u32(bytes + 20, 11); /* longer than what lies below */
    offset = 0;
    assert_false(frame_parse(bytes, sizeof bytes, &offset, &frame));
}

static void acks_have_one_to_32_ranges(void **state) {
    (void)state;
    uint8_t bytes[ACK_HEADER_BYTES + 256 * ACK_RANGE_BYTES] = {FRAME_ACK};
    struct frame frame;
    store_u64(bytes + 12, 1000000);
    for (int count = 0; count < 256; count++) {
        size_t offset = 0;
        bytes[1] = (uint8_t)count;
        assert_int_equal(frame_parse(bytes, sizeof bytes, &offset, &frame),
                         count >= 1 && count <= ACK_RANGES_MAX);
    }
}

static void short_frames_are_refused_when_cut(void **state) {
    (void)state;
    uint8_t bytes[CREDIT_BYTES];
    struct frame frame;
    size_t offset = 0;
    size_t size_bytes = frame_write_credit(bytes, UINT64_MAX);
    assert_true(frame_parse(bytes, size_bytes, &offset, &frame));
    assert_true(frame.credit_units == UINT64_MAX);
    for (size_t size = 1; size < size_bytes; size++) {
        offset = 0;
        assert_false(frame_parse(bytes, size, &offset, &frame));
    }
    offset = 0;
    size_bytes = frame_write_close(bytes, 0x1234);
    assert_true(frame_parse(bytes, size_bytes, &offset, &frame));
    assert_int_equal(frame.close_reason, 0x1234);
    for (size_t size = 1; size < size_bytes; size++) {
        offset = 0;
        assert_false(frame_parse(bytes, size, &offset, &frame));
    }
}

/* The two bytes behind the type are for the key phase, and are zero until there are keys. */
static void reserved_bytes_are_zero(void **state) {
    (void)state;
    uint8_t bytes[PACKET_BYTES_MIN] = {PACKET_VERSION, PACKET_DATA};
    struct packet packet;
    assert_true(packet_parse(bytes, packet_seal(bytes, PACKET_HEADER_BYTES), &packet));
    for (size_t at = 2; at < 4; at++) {
        bytes[at] = 1;
        assert_false(packet_parse(bytes, packet_seal(bytes, PACKET_HEADER_BYTES), &packet));
        bytes[at] = 0;
    }
    uint8_t message[MESSAGE_HEADER_BYTES + 1] = {0};
    struct frame frame;
    size_t offset = 0;
    frame_write_message(message, &(struct message_frame){.total_bytes = 1, .size_bytes = 1});
    assert_true(frame_parse(message, sizeof message, &offset, &frame));
    message[3] = 1;
    offset = 0;
    assert_false(frame_parse(message, sizeof message, &offset, &frame));
}

static void messages_survive(void **state) {
    (void)state;
    uint8_t bytes[MESSAGE_HEADER_BYTES + 100] = {0};
    struct message_frame message = {.id = 1ull << 60, .offset_bytes = 2000, .total_bytes = 2100,
                                    .size_bytes = 100, .lane_sequence = 65535, .lane = LANES - 1,
                                    .priority = 7};
    struct frame frame;
    size_t offset = 0;
    assert_int_equal(frame_write_message(bytes, &message), MESSAGE_HEADER_BYTES);
    assert_true(frame_parse(bytes, sizeof bytes, &offset, &frame));
    assert_int_equal(offset, sizeof bytes);
    assert_int_equal(frame.message.id, message.id);
    assert_int_equal(frame.message.offset_bytes, 2000);
    assert_int_equal(frame.message.lane_sequence, 65535);
    assert_ptr_equal(frame.message.bytes, bytes + MESSAGE_HEADER_BYTES);
}

static void malformed_messages_are_refused(void **state) {
    (void)state;
    const struct message_frame good = {.id = 1, .total_bytes = 100, .size_bytes = 100};
    struct message_frame bad[8];
    for (int i = 0; i < 8; i++) {
        bad[i] = good;
    }
    bad[0].total_bytes = 0;
    bad[1].size_bytes = 0;
    bad[2].offset_bytes = 100;
    bad[3].offset_bytes = 1;
    bad[4].total_bytes = 99;
    bad[5].lane = LANES;
    bad[6].priority = 8;
    bad[7].offset_bytes = UINT32_MAX;
    uint8_t bytes[MESSAGE_HEADER_BYTES + 100] = {0};
    struct frame frame;
    size_t offset = 0;
    frame_write_message(bytes, &good);
    assert_true(frame_parse(bytes, sizeof bytes, &offset, &frame));
    for (int i = 0; i < 8; i++) {
        offset = 0;
        frame_write_message(bytes, &bad[i]);
        assert_false(frame_parse(bytes, sizeof bytes, &offset, &frame));
    }
    frame_write_message(bytes, &good);
    for (size_t size = 1; size < sizeof bytes; size++) {
        offset = 0;
        assert_false(frame_parse(bytes, size, &offset, &frame));
    }
}

static void parameters_have_limits(void **state) {
    (void)state;
    uint8_t bytes[16];
    struct parameters parameters = {SEGMENT_BYTES_MIN, TE_CALL_HEADER_BYTES + 1, 1};
    struct parameters read;
    parameters_write(bytes, &parameters);
    assert_true(parameters_parse(bytes, sizeof bytes, &read));
    assert_memory_equal(&read, &parameters, sizeof read);
    assert_false(parameters_parse(bytes, sizeof bytes - 1, &read));
    parameters.message_bytes_max = TE_CALL_HEADER_BYTES; /* no room for a message of anybody */
    parameters_write(bytes, &parameters);
    assert_false(parameters_parse(bytes, sizeof bytes, &read));
    parameters.message_bytes_max++;
    parameters.segment_bytes = SEGMENT_BYTES_MIN - 1;
    parameters_write(bytes, &parameters);
    assert_false(parameters_parse(bytes, sizeof bytes, &read));
    parameters.segment_bytes = PACKET_BYTES_MAX + 1;
    parameters_write(bytes, &parameters);
    assert_false(parameters_parse(bytes, sizeof bytes, &read));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_survives),
        cmocka_unit_test(id_can_be_told_before_the_rest),
        cmocka_unit_test(every_flipped_bit_is_seen),
        cmocka_unit_test(unknown_types_are_refused),
        cmocka_unit_test(acks_survive),
        cmocka_unit_test(acks_below_zero_are_refused),
        cmocka_unit_test(acks_have_one_to_32_ranges),
        cmocka_unit_test(short_frames_are_refused_when_cut),
        cmocka_unit_test(reserved_bytes_are_zero),
        cmocka_unit_test(messages_survive),
        cmocka_unit_test(malformed_messages_are_refused),
        cmocka_unit_test(parameters_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
