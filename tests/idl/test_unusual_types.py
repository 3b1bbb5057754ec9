"""Types that people have in their programs already, and that are not quite like others."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from dataclasses import InitVar, dataclass
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretBytes,
    SecretStr,
    field_validator,
)
from typing_extensions import TypedDict

from idl import ArgumentsCodec, CodecError, MethodSchema, Parameter, SchemaError, describe
from idl.contract import MethodFacts

T = TypeVar("T")


class Colour(Enum):
    RED = 1


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    number: int
    at: dt.datetime
    name: UUID
    price: Decimal
    colour: Colour
    pair: tuple[int, str]
    tags: set[str]
    by_number: dict[int, float]


class StrictField(BaseModel):
    at: dt.datetime = Field(strict=True)


class Secret(BaseModel):
    word: SecretStr
    key: SecretBytes


class Box(msgspec.Struct, Generic[T]):
    item: T
    more: list[T] = []


class Mixed(msgspec.Struct):
    inner: "Mixed | None"
    secrets: dict[str, list[Secret]]


@dataclass
class Crate:
    box: Box[int]
    name: str = ""
    inner: "Crate | None" = None


class ByName(BaseModel):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)
    size: int = Field(validation_alias=AliasChoices("size_", "sz"))


class Written(BaseModel):
    size: int = Field(default=1, validation_alias="in", serialization_alias="out")


class Choice(BaseModel):
    inner: list[ByName | None] = []
    size: int = Field(validation_alias=AliasChoices("a", "b"))


class Hidden(BaseModel):
    size: int = Field(exclude=True)


class Mostly(BaseModel):
    size: int = Field(exclude_if=bool)


@dataclass
class Made:
    size: InitVar[int]


class Shade(Enum):
    DARK = "dark"


class HiddenKey(TypedDict):
    size: Annotated[int, Field(exclude=True)]


class Forgetful(BaseModel):
    """Takes what it does not write."""

    size: int = Field(default=1, exclude=True)


NOW = dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
STRICT = Strict(
    number=1,
    at=NOW,
    name=UUID(int=7),
    price=Decimal("1.50"),
    colour=Colour.RED,
    pair=(1, "a"),
    tags={"a", "b"},
    by_number={1: 0.5},
)


def codec_of(*annotations: Any) -> ArgumentsCodec:
    names = zip("ab", annotations, strict=False)
    return ArgumentsCodec(
        MethodSchema("s/m", tuple(Parameter(name, each, True) for name, each in names), None)
    )


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Strict, STRICT),
        (list[Strict | None], [STRICT, None]),
        (StrictField, StrictField(at=NOW)),
        (Secret, Secret(word=SecretStr("open sesame"), key=SecretBytes(b"\xff"))),
        (Box[int], Box(1, [2])),
        (Box[Box[str]], Box(Box("a"))),
        (dict[str, Box[int]], {"a": Box(1)}),
        (Crate, Crate(Box(1), "a", Crate(Box(2)))),
        (ByName, ByName(size=1)),
        (Iterable[int], [1, 2]),
        (Forgetful, Forgetful()),
    ],
    ids=lambda each: str(each)[:60],  # before the set, which has another order in each process
)
def test_they_come_back_equal(annotation: Any, value: object) -> None:
    one, two = codec_of(annotation), codec_of(annotation, int)
    assert one.decode(bytes(one.encode((value,), {}))) == ((value,), {})
    assert two.decode(bytes(two.encode((value, 5), {}))) == ((), {"a": value, "b": 5})
    schema = MethodSchema("s/m", (Parameter("a", annotation, True),), None)
    assert describe("s", 1, [(schema, MethodFacts(timeout=1.0))]).fingerprint


def test_what_is_strict_stays_so() -> None:
    codec = codec_of(Strict)
    wrong = STRICT.model_dump() | {"number": "1"}
    with pytest.raises(CodecError, match=r"number: Input should be a valid integer \(got str '1'"):
        codec.decode(bytes(codec_of(Any).encode((wrong,), {})))


def test_any_iterable_arrives_as_a_list() -> None:
    codec = codec_of(Iterable[int])

    def items() -> Iterator[int]:
        yield from (1, 2)

    for given in ((1, 2), items(), range(1, 3)):
        assert codec.decode(bytes(codec.encode((given,), {}))) == (([1, 2],), {})
    with pytest.raises(CodecError, match="a: must be an iterable of items, not int 5"):
        codec.encode((5,), {})


class Hooked:
    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> Any:
        raise LookupError("no table is open")


def make() -> None: ...


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Written, "Written.size is written as 'out' but read as 'in'"),
        (list[Choice], "Choice.size is written as 'size' but read as 'a' or 'b'"),
        (Hidden, "Hidden.size is needed by who reads it, and not written: give it a default"),
        (list[Mostly], "Mostly.size is needed"),
        (Made | None, "size is needed"),
        (HiddenKey, "size is needed"),
        (list[memoryview], "s/m: a: .*memoryview"),
        (Mixed | None, "msgspec cannot write Secret"),
        (list[Literal[Shade.DARK]], r"Literal\[Shade.DARK\] travels as 'dark', which it is not"),
        (list[Callable[[], int]], "s/m: a: functions and classes do not travel"),
        (dict.__class_getitem__((str, make)), "functions and classes do not travel"),
        (type[int] | None, "functions and classes do not travel"),
        (dict.__class_getitem__(str), r"dict\[str\] has no codec: Expected two type arguments"),
        (Hooked, "Hooked.* has no codec: no table is open"),
    ],
)
def test_what_would_not_come_back_is_refused_at_once(annotation: Any, words: str) -> None:
    with pytest.raises(SchemaError, match=words) as caught:
        codec_of(annotation)
    assert "arbitrary_types_allowed" not in str(caught.value)


class Shaded(BaseModel):
    shade: Literal[Shade.DARK]

    @field_validator("shade", mode="before")
    @classmethod
    def made(cls, value: object) -> Shade:
        return Shade(value)


def test_a_literal_that_a_validator_makes_comes_back() -> None:
    value = Shaded(shade=Shade.DARK)
    codec = codec_of(Shaded)
    assert codec.decode(bytes(codec.encode((value,), {}))) == ((value,), {})


@pytest.mark.parametrize("annotation", [Hidden, Mostly, Made, HiddenKey])
def test_what_is_needed_and_not_written_has_no_schema(annotation: Any) -> None:
    schema = MethodSchema("s/m", (Parameter("a", annotation, True),), None)
    with pytest.raises(SchemaError, match=r"s/m: a: .*size is needed by who reads it"):
        describe("s", 1, [(schema, MethodFacts(timeout=1.0))])


def test_the_argument_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(CodecError, match=r"^b: .*surrogates not allowed"):
        codec_of(int, str).encode((1, "\ud800"), {})
