"""The application's end in Python, over an engine that talks to itself."""

import os
from collections.abc import Iterator

import pytest

from tests.transport_engine.records import WHOLE, field, packed
from transport_engine import Channel, ChannelCorruptError, Endpoint, EngineConfig, EngineGoneError
from transport_engine._native import ffi, lib
from transport_engine.channel import FIELDS, READABLE, RECORD, WRITABLE
from transport_engine.inline import InlineAttachment, open_inline

PORT = 7000
POLLS_MAX = 10_000


@pytest.fixture
def attachment() -> Iterator[InlineAttachment]:
    opened = open_inline(EngineConfig(driver="loopback"), lib.TE_RING_BYTES_MIN)
    yield opened
    opened.channel.close()
    opened.engine.close()


def arrived(attachment: InlineAttachment, count: int) -> list[tuple[tuple[int, ...], bytes]]:
    """Polls until that many records came; bounded."""
    records: list[tuple[tuple[int, ...], bytes]] = []
    for _ in range(POLLS_MAX):
        attachment.engine.poll()
        records += attachment.channel.receive()
        attachment.channel.ring()
        if len(records) >= count:
            return records
    raise AssertionError(f"{len(records)} of {count} records came")


async def flow_to_self(attachment: InlineAttachment) -> tuple[int, int]:
    """The caller's and the listener's flow."""
    remote = Endpoint(attachment.local.address, PORT)
    await attachment.listen(PORT)
    await attachment.connect(remote, token=9)
    kinds = {field(head, "kind"): head for head, _ in arrived(attachment, 2)}
    opened, accepted = kinds[lib.TE_FLOW_OPENED], kinds[lib.TE_FLOW_ACCEPTED]
    assert field(opened, "call_id") == 9
    return field(opened, "flow"), field(accepted, "flow")


def test_record_struct_is_that_of_c() -> None:
    c = ffi.new("struct te_record *")
    for number, name in enumerate(FIELDS, 1):
        setattr(c, name, number)
    assert RECORD.unpack(bytes(ffi.buffer(c))) == tuple(range(1, len(FIELDS) + 1))
    assert RECORD.pack(*range(1, len(FIELDS) + 1)) == bytes(ffi.buffer(c))


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 1000, 65535, 65536])
async def test_a_message_arrives_as_it_was_sent(attachment: InlineAttachment, size: int) -> None:
    near, far = await flow_to_self(attachment)
    payload = bytes(i * 31 & 0xFF for i in range(size))
    record = packed(payload, flow=near, call_id=5, method_id=1 << 63, status=7, progress=3)
    assert attachment.channel.send(record) == len(record)
    ((head, received),) = arrived(attachment, 1)
    assert received == payload
    assert field(head, "flow") == far
    assert [field(head, name) for name in ("call_id", "method_id")] == [5, 1 << 63]


async def test_what_is_sent_to_no_flow_counts_as_nothing(attachment: InlineAttachment) -> None:
    near, far = await flow_to_self(attachment)
    channel = attachment.channel
    channel.send(packed(bytes(1000), flow=max(near, far) + 1, call_id=1))
    channel.send(packed(bytes(100), flow=near, call_id=2))
    arrived(attachment, 1)
    stats = attachment.engine.stats()
    assert (stats["messages_sent"], stats["message_bytes_sent"]) == (1, 100)


async def test_bytearray_and_memoryview_are_taken(attachment: InlineAttachment) -> None:
    near, _ = await flow_to_self(attachment)
    record = packed(b"abc", flow=near)
    assert attachment.channel.send(bytearray(record)) == len(record)
    assert attachment.channel.send(memoryview(b"x" * 3 + record)[3:]) == len(record)
    assert [payload for _, payload in arrived(attachment, 2)] == [b"abc", b"abc"]


async def test_a_full_ring_takes_whole_records_only(attachment: InlineAttachment) -> None:
    near, _ = await flow_to_self(attachment)
    record = packed(bytes(1000), flow=near)
    burst = record * 200
    taken = attachment.channel.send(burst)
    assert 0 < taken < len(burst)
    assert taken % len(record) == 0
    assert attachment.channel.send(burst[taken:]) == 0
    assert attachment.channel.arm(WRITABLE) == 0
    arrived(attachment, 1)
    assert attachment.channel.arm(WRITABLE) == WRITABLE


async def test_requests_that_were_not_taken_are_known(attachment: InlineAttachment) -> None:
    """An engine that is not polled takes nothing; one that is takes all."""
    near, _ = await flow_to_self(attachment)
    channel = attachment.channel
    assert channel.untaken() == []
    long = packed(bytes(70_000)[: lib.TE_RECORD_PAYLOAD_MAX], flow=near, call_id=3,
                  total_bytes=70_000, flags=lib.TE_FIRST)  # fmt: skip
    for record in (
        packed(b"one", flow=near, call_id=1, kind=lib.TE_REQUEST),
        packed(b"no request", flow=near, call_id=2, kind=lib.TE_REPLY),
        long,
    ):
        assert channel.send(record) == len(record)
    taken = [(field(head, "flow"), field(head, "call_id")) for head in channel.untaken()]
    assert taken == [(near, 1), (near, 3)]
    for _ in range(100):
        attachment.engine.poll()
    assert channel.untaken() == []
    assert not channel.is_left()
    channel.close()
    assert channel.untaken() == []


async def test_untaken_requests_are_found_wherever_the_ring_turns(
    attachment: InlineAttachment,
) -> None:
    near, _ = await flow_to_self(attachment)
    record = packed(bytes(1000), flow=near, call_id=7, kind=lib.TE_REQUEST)
    sent = 0
    while sent < 4 * lib.TE_RING_BYTES_MIN:
        burst = record * 50
        sent += (taken := attachment.channel.send(burst))
        assert len(attachment.channel.untaken()) == taken // len(record) == 50
        arrived(attachment, 50)


async def test_requests_whose_time_is_over_are_answered_by_the_engine(
    attachment: InlineAttachment,
) -> None:
    """While the application takes nothing, what the ring has no room for waits, and expires."""
    near, _ = await flow_to_self(attachment)
    short = {"flow": near, "method_id": 5, "remaining_ns": 1}
    free = attachment.engine.stats()["pool_blocks_free"]
    for call_id in range(1, 41):
        request = packed(bytes(8000), call_id=call_id, **short)
        assert attachment.channel.send(request) == len(request)
        for _ in range(100):
            attachment.engine.poll()
    asked: list[int] = []
    answered: list[int] = []
    for _ in range(POLLS_MAX // 10):
        for head, payload in arrived(attachment, 0):
            if field(head, "kind") == lib.TE_REQUEST:
                asked.append(field(head, "call_id"))
            else:
                assert (field(head, "kind"), payload) == (lib.TE_REPLY, b"")
                assert field(head, "status") == lib.TE_DEADLINE_EXCEEDED
                assert field(head, "flags") == WHOLE | lib.TE_ERROR
                assert (field(head, "flow"), field(head, "method_id")) == (near, 5)
                answered.append(field(head, "call_id"))
    assert sorted(asked + answered) == list(range(1, 41))
    assert min(len(asked), len(answered)) > 5
    assert attachment.engine.stats()["requests_expired"] == len(answered)
    assert attachment.engine.stats()["pool_blocks_free"] == free


async def test_requests_without_a_deadline_and_replies_wait_for_room(
    attachment: InlineAttachment,
) -> None:
    near, _ = await flow_to_self(attachment)
    for call_id in range(1, 41):
        kind, remaining_ns = ((lib.TE_REQUEST, 0), (lib.TE_REPLY, 1))[call_id % 2]
        record = packed(
            bytes(8000), flow=near, kind=kind, call_id=call_id, remaining_ns=remaining_ns
        )
        assert attachment.channel.send(record) == len(record)
        for _ in range(100):
            attachment.engine.poll()
    taken = [field(head, "call_id") for head, _ in arrived(attachment, 40)]
    assert sorted(taken) == list(range(1, 41))


async def test_arm_tells_what_is_there(attachment: InlineAttachment) -> None:
    near, _ = await flow_to_self(attachment)
    channel = attachment.channel
    assert channel.arm(READABLE) == 0
    channel.awake()
    channel.send(packed(b"x", flow=near))
    channel.ring()
    for _ in range(100):
        attachment.engine.poll()
    assert channel.arm(READABLE) == READABLE


@pytest.mark.parametrize(
    "broken",
    [
        {"kind": lib.TE_FLOW_OPENED},
        {"kind": 0},
        {"kind": 99},
        {"flags": lib.TE_FIRST},
        {"flags": WHOLE | 16},
        {"size_bytes": 4},
        {"total_bytes": lib.TE_MESSAGE_BYTES_MAX + 1},
        {"offset_bytes": 1},
        {"priority": 8},
        {"zero": 1},
    ],
    ids=str,
)
def test_send_refuses_broken_records(attachment: InlineAttachment, broken: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="valid records"):
        attachment.channel.send(packed(b"abc", **broken))
    assert attachment.channel.send(packed(b"abc")) > 0  # and takes a good one after it


@pytest.mark.parametrize("cut", [1, 8, 47, 48, 55])
def test_send_refuses_a_part_of_a_record(attachment: InlineAttachment, cut: int) -> None:
    with pytest.raises(ValueError, match="whole"):
        attachment.channel.send(packed(b"abc")[:cut])


def test_closed_channel_says_so(attachment: InlineAttachment) -> None:
    channel = attachment.channel
    channel.close()
    channel.close()
    assert channel.closed
    assert repr(channel) == "<Channel closed>"
    for act in (channel.fileno, channel.receive, channel.ring, channel.awake):
        with pytest.raises(EngineGoneError, match="closed"):
            act()
    with pytest.raises(EngineGoneError):
        channel.send(packed())
    with pytest.raises(EngineGoneError):
        channel.arm(READABLE)


def test_engine_that_goes_is_noticed(attachment: InlineAttachment) -> None:
    attachment.engine.close()
    with pytest.raises(EngineGoneError, match="stopped, or was killed"):
        attachment.channel.awake()


def test_other_memory_is_refused() -> None:
    memory_fd = os.memfd_create("other")
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(ChannelCorruptError, match="not the memory of a channel"):
        Channel(memory_fd, reading)
    for fd in (memory_fd, reading):  # both were taken over
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
