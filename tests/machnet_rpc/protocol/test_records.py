"""Packing agrees with the C header; joining survives any order of pieces."""

import random

from machnet_rpc._protocol import records
from machnet_rpc._protocol.records import Joiner
from transport_engine._native import ffi
from transport_engine.channel import RECORD


def split(packed: bytes) -> tuple[records.Head, bytes]:
    head = RECORD.unpack_from(packed)
    return head, packed[RECORD.size : RECORD.size + head[4]]


def test_fields_stand_in_the_order_of_the_c_struct() -> None:
    assert tuple(name for name, _ in ffi.typeof("struct te_record").fields) == records.FIELDS
    assert RECORD.size == ffi.sizeof("struct te_record")


def test_a_packed_record_is_the_c_struct_and_its_padded_payload() -> None:
    packed = records.pack(
        records.REPLY,
        9,
        1 << 40,
        b"abc",
        method_id=1 << 63,
        remaining_ns=5,
        flags=records.ERROR,
        lane=3,
        priority=7,
        status=14,
    )
    assert len(packed) == RECORD.size + 8
    record = ffi.from_buffer("struct te_record *", packed)
    seen = {name: getattr(record, name) for name in records.FIELDS}
    assert seen == {
        "call_id": 1 << 40,
        "method_id": 1 << 63,
        "remaining_ns": 5,
        "flow": 9,
        "size_bytes": 3,
        "offset_bytes": 0,
        "total_bytes": 3,
        "kind": records.REPLY,
        "flags": records.ERROR | records.WHOLE,
        "lane": 3,
        "priority": 7,
        "status": 14,
        "progress": 0,
        "zero": 0,
    }
    assert packed[RECORD.size :] == b"abc" + bytes(5)


def test_all_pieces_but_the_last_are_full_and_aligned() -> None:
    payload = random.Random(1).randbytes(3 * records.PAYLOAD_MAX + 5)
    cut = [split(piece) for piece in records.pieces(records.REQUEST, 1, 2, payload)]
    assert [head[4] for head, _ in cut] == [records.PAYLOAD_MAX] * 3 + [5]
    assert all(head[records.TOTAL] == len(payload) for head, _ in cut)
    joiner = Joiner()
    assert [joiner.join(head, part) for head, part in cut] == [None, None, None, payload]


def test_pieces_that_do_not_continue_are_forgotten() -> None:
    payload = bytes(3 * records.PAYLOAD_MAX)
    one, two, three = (split(piece) for piece in records.pieces(records.REQUEST, 1, 2, payload))
    whole = split(records.pack(records.REQUEST, 1, 3, b"whole"))
    joiner = Joiner()
    for step, expected in (
        (two, None),
        (three, None),
        (one, None),
        (three, None),
        (one, None),
        (whole, b"whole"),
        (two, None),
        (one, None),
        (two, None),
        (three, payload),
        (three, None),
    ):
        assert joiner.join(*step) == expected
