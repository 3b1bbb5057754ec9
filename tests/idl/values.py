"""Types that a contract may use, each with a strategy of its values."""

import dataclasses
import datetime as dt
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag, StrEnum
from ipaddress import IPv4Address
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypeVar
from uuid import UUID

import msgspec
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: float
    at: dt.datetime | None = None


class Model(BaseModel):
    name: str
    size: int = Field(alias="sizeBytes")
    points: list[Point]
    colour: Colour
    extra: dict[str, bytes] = {}


class Struct(msgspec.Struct):
    name: str
    price: Decimal
    blob: bytes
    next: "Struct | None" = None


class Level(IntEnum):
    LOW = -1
    HIGH = 1


class Word(StrEnum):
    YES = "yes"
    NO = "no"


class Bits(IntFlag):
    A = 1
    B = 2


class Blob(Enum):
    EMPTY = b""
    FULL = b"\xff"


class Span(NamedTuple):
    low: int
    high: float = 1.0


class Extent(TypedDict):
    width: int
    height: NotRequired[str]


class Tree(BaseModel):
    name: str
    parts: list["Tree"] = []


@dataclasses.dataclass
class Page(Generic[T]):
    items: list[T]
    next: "Page[T] | None" = None


class Box(BaseModel, Generic[T]):
    content: T | None


class Bid(msgspec.Struct, tag="bid", frozen=True):
    price: int


class Ask(msgspec.Struct, tag="ask", frozen=True, omit_defaults=True):
    price: int = 0
    note: str = ""


class Row(msgspec.Struct, array_like=True):
    at: dt.datetime
    took: dt.timedelta
    key: UUID
    values: tuple[int, ...]
    days: dict[str, dt.date]
    tags: set[str]


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


ints = st.integers()
int64s = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False)
zones = st.none() | st.integers(-1439, 1439).map(lambda it: dt.timezone(dt.timedelta(minutes=it)))
times = st.times() | st.builds(lambda at, zone: at.replace(tzinfo=zone), st.times(), zones)
durations = st.timedeltas()
trees = st.recursive(
    st.builds(Tree, name=st.text()),
    lambda inner: st.builds(Tree, name=st.text(), parts=st.lists(inner, max_size=3)),
    max_leaves=8,
)
json = st.recursive(
    st.none() | st.booleans() | int64s | floats | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | int64s, inner, max_size=3)
    ),
    max_leaves=8,
)
bids = st.builds(Bid, int64s)
asks = st.builds(Ask, int64s, st.text())
rows = st.builds(
    Row,
    st.datetimes(timezones=st.none() | st.just(dt.UTC)),
    st.timedeltas(min_value=dt.timedelta(-9999), max_value=dt.timedelta(9999)),
    st.uuids(),
    st.lists(int64s).map(tuple),
    st.dictionaries(st.text(), st.dates(), max_size=3),
    st.sets(st.text(), max_size=3),
)
points = st.builds(Point, ints, floats, st.none() | st.datetimes())
models = st.builds(
    Model,
    name=st.text(),
    sizeBytes=ints,
    points=st.lists(points, max_size=3),
    colour=st.sampled_from(Colour),
    extra=st.dictionaries(st.text(), st.binary(), max_size=3),
)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
structs = st.builds(
    Struct,
    st.text(),
    decimals,
    st.binary(),
    st.none() | st.builds(Struct, st.text(), decimals, st.binary()),
)

TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, ints),
    (float, floats),
    (bool, st.booleans()),
    (str, st.text()),
    (bytes, st.binary()),
    (type(None), st.none()),
    (bytes | None, st.none() | st.binary()),
    (list[int], st.lists(ints)),
    (list[bytes], st.lists(st.binary())),
    (tuple[int, str], st.tuples(ints, st.text())),
    (dict[str, list[float]], st.dictionaries(st.text(), st.lists(floats))),
    (dict[int, bytes], st.dictionaries(st.integers(-(2**63), 2**64 - 1), st.binary())),
    (set[str], st.sets(st.text())),
    (frozenset[bytes], st.frozensets(st.binary())),
    (Decimal, decimals),
    (UUID, st.uuids()),
    (dt.datetime, st.datetimes(timezones=st.none() | st.just(dt.UTC))),
    (dt.date, st.dates()),
    (dt.timedelta, st.timedeltas(min_value=dt.timedelta(-9999), max_value=dt.timedelta(9999))),
    (Colour, st.sampled_from(Colour)),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (IPv4Address, st.ip_addresses(v=4)),
    (int | str | None, ints | st.text() | st.none()),
    (Point, points),
    (Model, models),
    (list[Model], st.lists(models, max_size=2)),
    (dict[str, Point], st.dictionaries(st.text(), points, max_size=3)),
    (Struct, structs),
    (list[Struct], st.lists(structs, max_size=2)),
    (Struct | None, structs | st.none()),
    (Any, json),
    (list[Any], st.lists(json, max_size=3)),
    (bytearray, st.binary().map(bytearray)),
    (dt.time, times),
    (dt.datetime, st.builds(lambda at, zone: at.replace(tzinfo=zone), st.datetimes(), zones)),
    (dt.timedelta, durations),
    (Level, st.sampled_from(Level)),
    (list[Word], st.lists(st.sampled_from(Word))),
    (Bits, st.sampled_from([Bits(0), Bits.A, Bits.B, Bits.A | Bits.B])),
    (Blob | None, st.none() | st.sampled_from(Blob)),
    (Literal[Level.HIGH, "x"] | None, st.sampled_from([Level.HIGH, "x", None])),
    (Span, st.builds(Span, ints, floats)),
    (dict[Span, int], st.dictionaries(st.builds(Span, ints, floats), ints, max_size=3)),
    (Extent, st.fixed_dictionaries({"width": ints}, optional={"height": st.text()})),
    (Tree, trees),
    (Page[int], st.builds(Page, st.lists(ints), st.none() | st.builds(Page, st.lists(ints)))),
    (Box[Decimal], st.builds(Box[Decimal], content=st.none() | decimals)),
    (
        Annotated[Cat | Dog, Field(discriminator="kind")],
        st.builds(Cat, lives=ints) | st.builds(Dog, name=st.text()),
    ),
    (Annotated[int, Field(ge=0)], st.integers(min_value=0)),
    (
        dict[tuple[int, str], list[Any]],
        st.dictionaries(st.tuples(ints, st.text()), st.lists(st.lists(ints)), max_size=2),
    ),
    (dict[frozenset[int], bool], st.dictionaries(st.frozensets(ints), st.booleans(), max_size=3)),
    (dict[Decimal, UUID], st.dictionaries(decimals, st.uuids(), max_size=3)),
    (dict[Level, int], st.dictionaries(st.sampled_from(Level), ints)),
    (dict[tuple[tuple[int, int], str], int], st.just({((1, 2), "a"): 3})),
    (tuple[int, ...], st.lists(ints).map(tuple)),
    (tuple[()], st.just(())),
    (set[tuple[int, bytes]], st.sets(st.tuples(ints, st.binary()), max_size=3)),
    (
        bool | int | float | str | bytes | None,
        st.none() | st.booleans() | ints | floats | st.text() | st.binary(),
    ),
    (Bid | Ask, bids | asks),
    (dict[str, Bid | Ask], st.dictionaries(st.text(), bids | asks, max_size=3)),
    (list[Row], st.lists(rows, max_size=2)),
]
