"""Values of plain types are sent and read as pydantic does it, or refused with its words."""

import dataclasses
import datetime as dt
import functools
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from types import FrameType
from typing import (
    Any,
    ClassVar,
    Literal,
    NewType,
    NotRequired,
    Required,
    TypeVar,
)

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import TypedDict

from idl import CodecError, unpack
from idl.plain import plain
from idl.value_codecs import PlainCodec, ValueCodec, value_codec
from tests.idl.values import Colour, Level, Span, Word

Ticks = NewType("Ticks", int)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lot:
    size: int
    price: Ticks | None = None
    word: Word = Word.YES


@dataclass
class Deal:
    lots: list[Lot]
    by: tuple[str, float]
    level: Level
    tags: dict[str, bytes] = field(default_factory=dict[str, bytes])
    sizes: tuple[int, ...] = ()
    first: Lot | None = None
    rows: list[list[bool]] = field(default_factory=list[list[bool]])
    kinds: ClassVar[int] = 3


@dataclass
class Loose:
    a: int


class Stamp(TypedDict, total=False):
    at: Required[float]
    by: str


class Quote(Stamp):
    side: Literal["buy", "sell"]
    level: Literal[1, 2]
    lots: list[Lot]
    venues: set[str]
    depth: dict[int, float]
    note: NotRequired[bytes]


Odd = TypedDict("Odd", {"a b": int, "'": "Stamp | None"})  # fmt: skip


LOT = Lot(5, Ticks(7))
DEAL = Deal([LOT, Lot(1)], ("a", 0.5), Level.HIGH, {"t": b"x"}, (1, 2), LOT, [[True], []])
QUOTE = Quote(at=0.5, side="buy", level=1, lots=[LOT], venues={"x"}, depth={1: 0.5})
FULL = Quote(at=0.5, by="b", side="sell", level=2, lots=[], venues=set(), depth={}, note=b"n")
ODD: Any = {"a b": 1, "'": {"at": 0.5}}
PLAIN: list[Any] = [
    Lot, Deal, list[Deal], dict[str, Lot], Lot | None, list[int], tuple[Word, int], list[Colour],
    dict[str, float | None], int, str, float, bool, Quote, list[Stamp],
    Odd, Literal["a", "b"], dict[int, bytes], set[int], frozenset[Word], list[Literal[1, 2]],
]  # fmt: skip
int64s = st.integers(-(2**63), 2**64 - 1)
lots = st.builds(Lot, int64s, st.none() | int64s, st.sampled_from(Word))
deals = st.builds(
    Deal,
    st.lists(lots, max_size=3),
    st.tuples(st.text(max_size=3), st.floats(allow_nan=False)),
    st.sampled_from(Level),
    st.dictionaries(st.text(max_size=3), st.binary(max_size=3), max_size=3),
    st.lists(int64s, max_size=3).map(tuple),
    st.none() | lots,
    st.lists(st.lists(st.booleans(), max_size=2), max_size=2),
)
texts = st.text(max_size=3)
floats = st.floats(allow_nan=False)


def in_order(of: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """As the class names the items, which is how pydantic gives them."""
    names = list(typing.get_type_hints(of))
    return lambda items: {name: items[name] for name in names if name in items}


stamps = st.fixed_dictionaries({"at": floats}, optional={"by": texts}).map(in_order(Stamp))
quotes = st.fixed_dictionaries(
    {
        "at": floats,
        "side": st.sampled_from(["buy", "sell"]),
        "level": st.sampled_from([1, 2]),
        "lots": st.lists(lots, max_size=2),
        "venues": st.sets(texts, max_size=1),  # two have no order
        "depth": st.dictionaries(int64s, floats, max_size=2),
    },
    optional={"note": st.binary(max_size=3)},
).map(in_order(Quote))
VALUES: list[st.SearchStrategy[Any]] = [
    lots, deals, st.lists(deals, max_size=2), st.dictionaries(texts, lots, max_size=2),
    st.none() | lots, st.lists(int64s), st.tuples(st.sampled_from(Word), int64s),
    st.lists(st.sampled_from(Colour)),
    st.dictionaries(texts, st.none() | floats), int64s, st.text(),
    floats, st.booleans(), quotes, st.lists(stamps),
    st.fixed_dictionaries({"a b": int64s, "'": st.none() | stamps}).map(in_order(Odd)),
    st.sampled_from(["a", "b"]),
    st.dictionaries(int64s, st.binary(max_size=3)), st.sets(int64s, max_size=1),
    st.frozensets(st.sampled_from(Word), max_size=1), st.lists(st.sampled_from([1, 2])),
]  # fmt: skip
STRANGE: list[Any] = [
    None, True, 1, 1.0, 1 << 63, 1 << 64, -1, "1", "yes", "\ud800", b"1", bytearray(b"b"),
    memoryview(b"m"), [], (), {}, [1], {"size": 1}, {1: 2}, {"a": 1}, Word.NO, Level.LOW,
    Colour.RED, Decimal(1), dt.datetime(2026, 1, 2, tzinfo=dt.UTC), LOT, DEAL, Loose(1), {3},
    object, Span(1), float("nan"),
]  # fmt: skip


@functools.cache
def both(annotation: Any) -> tuple[ValueCodec, ValueCodec]:
    return value_codec(annotation, "it"), ValueCodec(annotation)


def outcome(call: Callable[[Any], Any], given: object) -> object:
    try:
        return call(given)
    except CodecError as error:
        return str(error).partition(" at 0x")[0]


def test_plain_types_have_a_codec_of_their_own() -> None:
    for annotation in PLAIN:
        assert type(value_codec(annotation, "it")) is PlainCodec


@given(st.data())
def test_what_is_right_is_sent_and_read_as_it_was(data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(PLAIN) - 1))
    value = data.draw(VALUES[index])
    codec, slow = both(PLAIN[index])
    encoded = slow.encode(value)
    form = plain(PLAIN[index])
    assert form is not None
    assert form.encode(value) == codec.encode(value) == encoded
    assert form.decode(encoded) == codec.decode(encoded) == slow.decode(encoded) == value
    assert repr(form.decode(encoded)) == repr(slow.decode(encoded))


def mutations(value: Any) -> list[Any]:
    """The value with one part of it replaced by a strange one, at any depth."""
    found = list(STRANGE)
    if isinstance(value, Lot | Deal):
        for each in dataclasses.fields(value):
            parts = mutations(getattr(value, each.name))
            found += [dataclasses.replace(value, **{each.name: part}) for part in parts]
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            for part in mutations(item):
                changed = [*value[:index], part, *value[index + 1 :]]
                found.append(changed if isinstance(value, list) else tuple(changed))
        found.append([*value, 1] if isinstance(value, list) else (*value, 1))
    elif isinstance(value, dict):
        found += [{**value, key: part} for key in value for part in mutations(value[key])]
        keys = (1, None, b"t", Word.YES, "1", True, 1.5)
        found += [{part: each} for each in value.values() for part in keys]
        found += [{**value, part: each} for each in value.values() for part in keys]
        found += [{key: value[key] for key in value if key != name} for name in value]
    elif isinstance(value, set):
        hashable = [part for part in STRANGE if type(part).__hash__ is not None]
        found += [{part} for part in hashable]  # two that are right have no order
        found += [{*value, part} for part in hashable if not isinstance(part, str)]
    return found


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(Lot, LOT), (Deal, DEAL), (list[Lot], [LOT, LOT]), (dict[str, int], {"a": 1}),
     (tuple[Word, int], (Word.NO, 1)), (list[float], [1.0]), (int, 1), (str, "a"), (float, 0.5),
     (bool, False), (Quote, QUOTE), (Quote, FULL), (list[Stamp], [{"at": 1.0}]), (Odd, ODD),
     (Literal["a", "b"], "a"), (dict[int, str], {1: "a"}), (set[str], {"a"}),
     (frozenset[int], frozenset({1})), (list[Literal[1, 2]], [1])],
    ids=str,
)  # fmt: skip
def test_what_is_strange_is_sent_as_pydantic_does_or_refused_alike(
    annotation: Any, value: Any
) -> None:
    codec, slow = both(annotation)
    assert type(codec) is PlainCodec
    changed = mutations(value)
    assert len(changed) > 30
    for each in changed:
        assert outcome(codec.encode, each) == outcome(slow.encode, each), each


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(Lot, LOT), (Deal, DEAL), (Quote, QUOTE), (Quote, FULL), (Odd, ODD)],
    ids=str,
)
def test_what_is_strange_is_read_as_pydantic_does_or_refused_alike(
    annotation: Any, value: Any
) -> None:
    codec, slow = both(annotation)
    written = unpack(slow.encode(value))
    native = [None, True, 1, 1.5, 2.0, (1 << 64) - 1, "1", "yes", b"yes", [], {}, [1], {1: 2}]
    strange = [*native, *({**written, name: each} for name in written for each in native)]
    strange += [{key: written[key] for key in written if key != name} for name in written]
    strange += [{**written, "more": each} for each in native]
    strange += [list(written.values()), {**written, 1: 2}, {**written, b"b": 2}]
    for each in strange:
        payload = msgpack.packb(each)
        assert outcome(codec.decode, payload) == outcome(slow.decode, payload), each


@given(st.binary(max_size=40), st.integers(0, 200), st.binary(min_size=1, max_size=2))
def test_any_bytes_are_read_alike(payload: bytes, at: int, put: bytes) -> None:
    codec, slow = both(Deal)
    encoded = slow.encode(DEAL)
    at %= len(encoded)
    for each in (payload, encoded[:at], encoded[:at] + put + encoded[at + len(put) :]):
        read, by_pydantic = outcome(codec.decode, each), outcome(slow.decode, each)
        if isinstance(by_pydantic, str):  # what nobody asked for may be what it wants
            assert isinstance(read, Deal | str)
        else:
            assert repr(read) == repr(by_pydantic)


def test_what_a_value_has_besides_its_fields_stays_here() -> None:
    codec, slow = both(Loose)
    value: Any = Loose(1)
    value.secret = "it is not for others"
    assert codec.encode(value) == slow.encode(value) == slow.encode(Loose(1))
    del value.a
    assert outcome(codec.encode, value) == outcome(slow.encode, value)


class Alarm(Exception):
    """What a signal's handler raises."""


def alarm(frame: FrameType, event: str, given: object) -> None:
    if event == "call" and frame.f_code.co_name == "<lambda>":
        raise Alarm


@pytest.mark.parametrize(("annotation", "value"), [(Lot, LOT), (list[int], [1])], ids=str)
def test_what_a_signals_handler_raises_is_not_lost(annotation: Any, value: Any) -> None:
    codec, _ = both(annotation)
    sys.setprofile(alarm)
    try:
        with pytest.raises(Alarm):
            codec.encode(value)
    finally:
        sys.setprofile(None)
    assert codec.decode(codec.encode(value)) == value


def test_deep_values_end() -> None:
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    codec, slow = both(list[list[int]])
    assert outcome(codec.encode, nested) == outcome(slow.encode, nested)
    assert isinstance(outcome(codec.decode, b"\x91" * 100_000 + b"\x90"), str)


@given(st.sets(texts), st.frozensets(int64s))
def test_sets_of_many(texts: set[str], numbers: frozenset[int]) -> None:
    for annotation, value in ((set[str], texts), (frozenset[int], numbers)):
        codec, slow = both(annotation)
        assert type(codec) is PlainCodec
        for payload in (codec.encode(value), slow.encode(value)):
            assert codec.decode(payload) == slow.decode(payload) == value


def test_items_come_in_the_order_in_which_they_were_sent() -> None:
    codec, slow = both(Stamp)
    payload = codec.encode({"by": "b", "at": 0.5})
    assert list(codec.decode(payload)) == ["by", "at"]
    assert codec.decode(payload) == slow.decode(payload)
