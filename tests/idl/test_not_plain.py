"""Types of which pydantic knows what msgspec does not are left to it."""

import dataclasses
import enum
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

import pydantic
import pytest
from typing_extensions import ReadOnly, TypedDict

from idl.plain import plain
from idl.value_codecs import PlainCodec, value_codec
from tests.idl.test_plain import Loose, Lot
from tests.idl.values import Bits, Blob, Point, Span, Struct, Word

T = TypeVar("T")


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


class Big(enum.Enum):
    ONE = 1 << 70


class Unwritten(enum.Enum):
    ONE = "\ud800"


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


class Exact(TypedDict):
    a: str
    __pydantic_config__ = pydantic.ConfigDict(str_max_length=2)  # type: ignore[misc]


class HeirOfExact(Exact):
    b: int


class Closed(TypedDict, closed=True):
    a: int


class HeirOfClosed(Closed):
    pass


class Others(TypedDict, extra_items=int):  # type: ignore[call-arg]
    a: int


class Fixed(TypedDict):
    a: ReadOnly[int]


class Endless(TypedDict):
    a: "list[Endless]"


class Full(TypedDict, Generic[T]):
    a: T


class HeirOfFull(Full[int]):
    b: int


OTHERS: list[Any] = [
    Exact, HeirOfExact, Closed, HeirOfClosed, Others, Endless, Full, Full[int], HeirOfFull,
    Literal[1, "a"], Literal[True], Literal[Word.YES], set[tuple[int, int]],
    set, list[set[Any]],
    bytes, None, Any, list, list[Any], dict[float, str], set[int | str], int | str, list[Point],
    Annotated[int, 3], list[Bits], list[Blob], Span, Struct, list[Struct], list[Guessing],
    list[Shouting], list[Mixed], Held, Checked, Validated, Configured, Limited, Given, Computed,
    Private, Described, Made, Shared, Produced, Generous[int], list[Generous[int]], list[Decimal],
    pydantic.dataclasses.dataclass(Loose),
]  # fmt: skip


@pytest.mark.parametrize("annotation", OTHERS, ids=str)
def test_all_else_is_left_to_those_who_know_it(annotation: Any) -> None:
    assert type(value_codec(annotation, "it")) is not PlainCodec


@pytest.mark.parametrize(
    "annotation",
    [Fixed, Big, list[Big], Unwritten, Literal[1 << 70], Literal[-1 << 70], Literal["\ud800"]],
    ids=ascii,
)
def test_what_msgspec_does_not_know_is_left(annotation: Any) -> None:
    assert plain(annotation) is None


def test_a_type_without_an_end_of_parts_is_left() -> None:
    wide: Any = Lot
    for _ in range(30):
        wide = dataclasses.make_dataclass("Wide", [("a", wide), ("b", wide)])
    assert plain(wide) is None
