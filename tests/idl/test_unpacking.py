"""Any bytes are read as the library of msgpack's authors reads them, or refused where it does."""

import datetime as dt
import struct
from collections.abc import Iterable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idl import CodecError, pack, unpack
from idl.packing import BIG_INT, unpacker

TIMESTAMP = 0xFF  # the extension type -1
COUNTS = {"B": (0x80, 0xDE, 0xDF), "A": (0x90, 0xDC, 0xDD)}  # maps and arrays: short, 16, 32 bits


def sized(codes: tuple[int, int, int], content: bytes) -> st.SearchStrategy[bytes]:
    """Text, bytes or an extension, whose length may be told in three ways."""
    heads = zip(codes, (">B", ">H", ">I"), strict=True)
    return st.sampled_from(
        [bytes([code]) + struct.pack(form, len(content)) + content for code, form in heads]
    )


def extension(code: int, content: bytes) -> bytes:
    return b"\xc7" + bytes([len(content), code]) + content


def of_8_bytes(seconds: int, microseconds: int) -> bytes:
    return extension(TIMESTAMP, struct.pack(">Q", (1000 * microseconds << 34) | seconds))


def of_12_bytes(microseconds: int, seconds: int) -> bytes:
    return extension(TIMESTAMP, struct.pack(">Iq", 1000 * microseconds, seconds))


microseconds = st.integers(0, 1_073_000)  # more than a second are none; 30 bits hold no more
numbers = st.one_of(
    st.integers(0, 0x7F).map(lambda value: bytes([value])),
    st.integers(0xE0, 0xFF).map(lambda value: bytes([value])),
    *(
        st.binary(min_size=size, max_size=size).map(bytes([code]).__add__)
        for code, size in zip(range(0xCA, 0xD4), (4, 8, 1, 2, 4, 8, 1, 2, 4, 8), strict=True)
    ),
)
leaves = st.one_of(
    st.sampled_from([b"\xc0", b"\xc1", b"\xc2", b"\xc3", b"\xa2id", b"\xa1\xff", b"\xa4name", b""]),
    numbers,
    st.text(max_size=40).flatmap(lambda text: sized((0xD9, 0xDA, 0xDB), text.encode())),
    st.binary(max_size=9).flatmap(lambda content: sized((0xC4, 0xC5, 0xC6), content)),
    st.builds(extension, st.sampled_from([0, BIG_INT, 2]), st.binary(max_size=17)),
    st.builds(extension, st.just(TIMESTAMP), st.binary(max_size=5)),
    st.builds(of_8_bytes, st.integers(0, (1 << 34) - 1), microseconds),
    st.builds(of_12_bytes, microseconds, st.integers(-(10**12), 10**12)),
)


def collected(kind: str, items: list[bytes], form: int) -> bytes:
    """A map or an array, its count told in one of three ways."""
    count = len(items) // 2 if kind == "B" else len(items)
    code = COUNTS[kind][form]
    head = (bytes([code | count]), struct.pack(">BH", code, count), struct.pack(">BI", code, count))
    return head[form] + b"".join(items)


payloads = st.recursive(
    leaves,
    lambda inner: st.builds(
        collected, st.sampled_from("AB"), st.lists(inner, max_size=6), st.integers(0, 2)
    ),
    max_leaves=12,
)


def keyed_by_tuples(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    return {hashable(key): value for key, value in pairs}


def hashable(key: Any) -> Any:
    return tuple(map(hashable, key)) if isinstance(key, list) else key


def extended(code: int, content: bytes) -> int:
    if code != BIG_INT:
        raise ValueError(code)
    return int.from_bytes(content, "big", signed=True)


def by_its_authors(payload: bytes) -> Any:
    return msgpack.unpackb(
        payload,
        strict_map_key=False,
        object_pairs_hook=keyed_by_tuples,
        ext_hook=extended,
        timestamp=3,
    )


def alike(payload: bytes) -> None:
    try:
        expected = repr(by_its_authors(payload))
    except Exception:  # noqa: BLE001 (whatever it says of them)
        with pytest.raises(CodecError, match="not msgpack"):
            unpack(payload)
        return
    assert repr(unpack(payload)) == expected
    assert repr(unpack(memoryview(payload))) == expected


@given(payloads, st.binary(max_size=2))
def test_values_of_every_form(payload: bytes, more: bytes) -> None:
    alike(payload)
    alike(payload + more)
    alike(payload[:-1])


@given(st.binary(max_size=60))
def test_any_bytes(payload: bytes) -> None:
    alike(payload)


@pytest.mark.parametrize("head", [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"], ids=bytes.hex)
def test_a_length_that_is_a_lie(head: bytes) -> None:
    for length in (1, 1 << 20, (1 << 32) - 1):
        with pytest.raises(CodecError, match="not msgpack"):
            unpack(head + struct.pack(">I", length))


@pytest.mark.parametrize("head", [b"\x91", b"\x81\x01", b"\x81\x91"], ids=bytes.hex)
def test_what_is_nested_without_end(head: bytes) -> None:
    with pytest.raises(CodecError, match="not msgpack"):
        unpack(head * 100_000 + b"\x01")


DEEPEST = 1024  # that can be packed


def nested(kind: str) -> Any:
    value: Any = {(1, (2, 3)): 1 << 70}
    for _ in range(DEEPEST - 3):
        value = [value] if kind == "list" else {"a": value}
    return value


def deep_inside(frames: int, payload: bytes) -> Any:
    return unpack(payload) if frames == 0 else deep_inside(frames - 1, payload)


@pytest.mark.parametrize("kind", ["list", "dict"])
@pytest.mark.parametrize("frames", [0, 800])
def test_what_can_be_sent_can_be_read_however_deep(kind: str, frames: int) -> None:
    read, expected = deep_inside(frames, pack(nested(kind))), nested(kind)
    while isinstance(read, list) or "a" in read:
        read = read[0] if isinstance(read, list) else read["a"]
        expected = expected[0] if isinstance(expected, list) else expected["a"]
    assert read == expected


def test_one_type_takes_what_it_is_and_no_other() -> None:
    read = unpacker(dict[str, Any])
    big = {"a": 1 << 70, "b": dt.datetime(2026, 1, 2, tzinfo=dt.UTC)}
    stamped = b"\x82\xa1a" + pack(big["a"]) + b"\xa1b" + of_8_bytes(1_767_312_000, 0)
    assert read(stamped) == big
    for payload in (b"\x81\x01\x01", b"\x90", b"\x81\xa1a\xc7\x01\x02\x01"):
        with pytest.raises(Exception, match=r"Expected|unknown"):
            read(payload)
