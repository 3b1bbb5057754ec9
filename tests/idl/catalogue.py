"""A contract with about everything that a contract can say, for the tests of what is made of it."""

import dataclasses
import datetime as dt
from collections.abc import AsyncIterator
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypeVar
from uuid import UUID

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from machnet_rpc import NotFound, rpc, service

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 0
    HIGH = 7


class Range(NamedTuple):
    low: int
    high: int = 10


class Extent(TypedDict):
    width: int
    height: NotRequired[int]


@dataclasses.dataclass
class Page(Generic[T]):
    """A dataclass that is generic, of what it holds."""

    items: list[T]
    next: "Page[T] | None" = None


class Box(BaseModel, Generic[T]):
    content: T


class Entry(BaseModel):
    """Most of what pydantic can say."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=20)]
    size: int = Field(alias="sizeBytes", ge=0)
    price: Decimal | None = None
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    tags: set[str] = Field(default_factory=set)
    when: dt.datetime | None = None
    day: dt.date = dt.date(2026, 1, 2)
    at: dt.time | None = None
    took: dt.timedelta = dt.timedelta(0)
    id: UUID = UUID(int=5)
    blob: bytes = b""
    kind: Literal["a", "b"] = "a"
    either: int | str = 0
    pair: tuple[int, str] = (1, "x")
    counts: dict[str, int] = {}
    parents: list["Entry"] = []
    ratio: float = 0.5
    flag: bool = False
    extra: dict[str, Any] = {}
    box: Box[int] | None = None


class Trade(msgspec.Struct, tag="trade"):
    price: int
    parts: list["Trade"] = []
    note: str | None = None


@dataclasses.dataclass
class Missing(Exception):
    """A declared error with fields."""

    name: str
    tried: list[int]


@service("demo.catalogue", version=3, errors=[NotFound])
class Catalogue:
    """All kinds of things."""

    @rpc(timeout=1.5, idempotent=True, errors=[Missing])
    async def find(self, name: str, *, limit: int = 10, level: Level | None = None) -> Page[Entry]:
        """Finds entries.

        By name.
        """
        raise NotImplementedError

    @rpc(lane=1)
    async def put(self, entry: Entry) -> None:
        raise NotImplementedError

    @rpc
    async def raw(self, data: bytes) -> memoryview:
        raise NotImplementedError

    @rpc
    async def trade(self, trade: Trade) -> list[Trade]:
        raise NotImplementedError

    @rpc
    async def measure(self, spans: dict[int, Extent], other: list[list[int]]) -> frozenset[int]:
        raise NotImplementedError

    @rpc
    def watch(self, name: str) -> AsyncIterator[Entry]:
        raise NotImplementedError

    @rpc
    async def collect(self, entries: AsyncIterator[Entry]) -> int:
        raise NotImplementedError

    @rpc
    def chat(self, words: AsyncIterator[str]) -> AsyncIterator[str]:
        raise NotImplementedError


ENTRY = Entry(
    name="it",
    sizeBytes=5,
    price=Decimal("1.5"),
    level=Level.HIGH,
    tags={"a"},
    when=dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    at=dt.time(1, 2, 3),
    blob=b"abc",
    either="text",
    counts={"a": 1},
    parents=[Entry(name="parent", sizeBytes=1)],
    flag=True,
    extra={"a": [1, None, {"b": "c"}]},
    box=Box[int](content=3),
)
