"""What `list[Any]` and `dict[str, Any]` hold is sent as pydantic has it, or refused alike."""

import collections
import datetime as dt
import math
import typing
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idl import CodecError, MethodSchema, ResultCodec, pack, value_codecs
from idl.value_codecs import OpenCodec, ValueCodec
from tests.idl.values import Bits, Colour, Level, Model, Point, Struct, Word

ANNOTATIONS = [list[Any], dict[str, Any]]
MODEL = Model(name="m", sizeBytes=3, points=[Point(1, 2.0)], colour=Colour.RED)


class Text(str):
    """One that is no key by its exact type."""

    __slots__ = ()


class Pair(NamedTuple):
    first: int
    second: str


def wrong_model() -> Model:
    return MODEL.model_copy(update={"size": "not a number"})


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


HELD: list[Callable[[], Any]] = [
    lambda: None,
    lambda: 1 << 63,
    lambda: 1 << 200,
    lambda: math.nan,
    lambda: b"bytes",
    lambda: bytearray(b"bytes"),
    lambda: "\ud800",
    lambda: Pair(1, "one"),
    lambda: (1, (2, 3)),
    lambda: {1: "a", b"b": 2.5, (1, 2): None},
    lambda: collections.OrderedDict(a=1),
    lambda: collections.defaultdict(list, a=[1]),
    lambda: MODEL,
    wrong_model,
    lambda: [Point(1, 2.0, dt.datetime(2026, 1, 2, tzinfo=dt.UTC))],
    lambda: {"a": Struct("s", Decimal("1.5"), b"b")},
    lambda: Level.HIGH,
    lambda: Word.YES,
    lambda: Colour.BLUE,
    lambda: Bits.A | Bits.B,
    lambda: {3},
    lambda: collections.deque([1, MODEL]),
    lambda: Decimal("NaN"),
    lambda: dt.timedelta(seconds=1),
    lambda: (number for number in (1, 2)),
    object,
    lambda: len,
    endless,
]


def sent(codec: ValueCodec, value: object) -> bytes | str:
    try:
        return codec.encode(value)
    except CodecError as error:
        return str(error).partition(" at 0x")[0]


def compared(value: object, annotation: Any, again: object) -> None:
    """`again` is the same, of which an iterator may be used up."""
    assert sent(OpenCodec(annotation), value) == sent(ValueCodec(annotation), again)


@pytest.mark.parametrize("held", HELD, ids=lambda held: repr(held())[:40].partition(" at 0x")[0])
def test_whatever_they_hold(held: Callable[[], Any]) -> None:
    compared([1, held()], list[Any], [1, held()])
    compared({"a": held(), "b": 1}, dict[str, Any], {"a": held(), "b": 1})


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=str)
@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        "text",
        (1, 2),
        {1: 2},
        {"a": 1, 2: 3},
        {Text("a"): 1},
        {Word.YES: 1},
        {b"a": 1},
        {None: 1},
        collections.OrderedDict(a=1),
        collections.UserDict(a=1),
        MODEL,
        [],
        {},
    ],
    ids=lambda it: repr(it)[:40],
)
def test_what_is_one_and_what_is_none(value: object, annotation: Any) -> None:
    compared(value, annotation, value)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3) | st.integers(), inner),
    max_leaves=8,
)


@given(st.lists(plain), st.dictionaries(st.text(max_size=3) | st.integers(), plain))
def test_any_plain_values(listed: list[Any], named: dict[Any, Any]) -> None:
    compared(listed, list[Any], listed)
    compared(named, dict[str, Any], named)


def read(codec: ValueCodec, payload: bytes) -> str:
    try:
        return repr(codec.decode(payload))
    except CodecError as error:
        return str(error).partition(" at 0x")[0]


@given(
    plain | st.dictionaries(st.text(max_size=3), plain) | st.dictionaries(st.binary(), plain),
    st.integers(0, 200),
    st.binary(max_size=2),
)
def test_any_bytes_are_read_alike(value: Any, at: int, put: bytes) -> None:
    payload = pack(value)
    at %= len(payload)
    for each in (payload, payload[:at], payload[:at] + put + payload[at + len(put) :]):
        for annotation in ANNOTATIONS:
            codec, slow = OpenCodec(annotation), ValueCodec(annotation)
            assert read(codec, each) == read(slow, each)


@pytest.mark.parametrize(
    "annotation",
    [*ANNOTATIONS, typing.Dict[str, Any]],  # noqa: UP006 (as others write it)
    ids=str,
)
def test_contracts_have_them(annotation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def refused(value: object) -> bytes:
        asked.append(value)
        raise TypeError

    monkeypatch.setattr(value_codecs, "pack_native", refused)
    result = ResultCodec(MethodSchema("s/m", (), annotation))
    value = {"a": 1} if typing.get_origin(annotation) is dict else [1]
    assert result.decode(bytes(result.encode(value))) == value
    assert asked == [value]
