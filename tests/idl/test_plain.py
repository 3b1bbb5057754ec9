"""Values of plain types are sent and read as pydantic does it, or refused with its words."""

import dataclasses
import datetime as dt
import enum
import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from types import FrameType
from typing import Annotated, Any, ClassVar, Generic, NewType, Self, TypeVar

import msgpack
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idl import CodecError, unpack
from idl.plain import plain
from idl.value_codecs import PlainCodec, ValueCodec, value_codec
from tests.idl.values import Bits, Blob, Colour, Extent, Level, Point, Span, Struct, Word

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


LOT = Lot(5, Ticks(7))
DEAL = Deal([LOT, Lot(1)], ("a", 0.5), Level.HIGH, {"t": b"x"}, (1, 2), LOT, [[True], []])
PLAIN: list[Any] = [
    Lot, Deal, list[Deal], dict[str, Lot], Lot | None, list[int], tuple[Word, int], list[Colour],
    dict[str, float | None], int, str, float, bool,
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
VALUES: list[st.SearchStrategy[Any]] = [
    lots, deals, st.lists(deals, max_size=2), st.dictionaries(texts, lots, max_size=2),
    st.none() | lots, st.lists(int64s), st.tuples(st.sampled_from(Word), int64s),
    st.lists(st.sampled_from(Colour)),
    st.dictionaries(texts, st.none() | st.floats(allow_nan=False)), int64s, st.text(),
    st.floats(allow_nan=False), st.booleans(),
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
        found += [{key: part} for key in value for part in mutations(value[key])]
        found += [{part: each} for each in value.values() for part in (1, None, b"t", Word.YES)]
    return found


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(Lot, LOT), (Deal, DEAL), (list[Lot], [LOT, LOT]), (dict[str, int], {"a": 1}),
     (tuple[Word, int], (Word.NO, 1)), (list[float], [1.0]), (int, 1), (str, "a"), (float, 0.5),
     (bool, False)],
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


@pytest.mark.parametrize(("annotation", "value"), [(Lot, LOT), (Deal, DEAL)], ids=str)
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


class Kept:
    """A descriptor that keeps a field elsewhere."""

    def __get__(self, owner: object, cls: object) -> int:
        return 1

    def __set__(self, owner: object, value: int) -> None:
        pass


class Guessing(enum.Enum):
    ONE = "one"

    @classmethod
    def _missing_(cls, value: object) -> "Guessing":
        return cls.ONE


class Shouting(str, enum.Enum):  # noqa: UP042 (its text is not its value)
    YES = "yes"

    def __new__(cls, value: str) -> Self:
        self = str.__new__(cls, value.upper())
        self._value_ = value
        return self


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"


@dataclass
class Held:
    a: int
    b: "Held | None" = None


@dataclass
class Checked:
    a: int

    def __post_init__(self) -> None:
        self.a += 1


@dataclass
class Validated:
    a: int

    @pydantic.field_validator("a")
    @classmethod
    def even(cls, value: int) -> int:
        return value * 2


@dataclass
class Configured:
    a: str
    __pydantic_config__ = pydantic.ConfigDict(str_max_length=2)


@dataclass
class Limited:
    a: int = pydantic.Field(3, ge=1)


@dataclass
class Given:
    a: dataclasses.InitVar[int] = 2
    b: int = 3


@dataclass
class Computed:
    a: int = field(default=3, init=False)


@dataclass
class Private:
    _a: int = 3


@dataclass
class Described:
    a: int = Kept()  # type: ignore[assignment]


@dataclass
class Made:
    a: int

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        return super().__new__(cls)


@dataclass
class Shared:
    a: tuple[list[int], ...] = ([],)


@dataclass
class Produced:
    a: list[int] = field(default_factory=lambda: [1])


@dataclass
class Generous(Generic[T]):
    a: T


OTHERS: list[Any] = [
    bytes, None, Any, list, list[Any], dict[int, str], set[int], int | str, list[Point], Annotated[int, 3],
    list[Bits], list[Blob], list[Extent], Span, Struct, list[Struct], list[Guessing],
    list[Shouting], list[Mixed], Held, Checked, Validated, Configured, Limited, Given, Computed,
    Private, Described, Made, Shared, Produced, Generous[int], list[Generous[int]], list[Decimal],
    pydantic.dataclasses.dataclass(Loose),
]  # fmt: skip


@pytest.mark.parametrize("annotation", OTHERS, ids=str)
def test_all_else_is_left_to_those_who_know_it(annotation: Any) -> None:
    assert type(value_codec(annotation, "it")) is not PlainCodec


def test_a_type_without_an_end_of_parts_is_left() -> None:
    wide: Any = Lot
    for _ in range(30):
        wide = dataclasses.make_dataclass("Wide", [("a", wide), ("b", wide)])
    assert plain(wide) is None
