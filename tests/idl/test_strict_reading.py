"""Strict values come back equal, bytes and keys among them; refused is what JSON refuses."""

import datetime as dt
import enum
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import UUID

import pydantic
import pydantic_core
import pytest

from idl import CodecError, ValueCodec

STRICT = pydantic.ConfigDict(strict=True)
DAY = dt.date(2026, 1, 2)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Inner(pydantic.BaseModel):
    model_config = STRICT
    day: dt.date
    data: bytes = b"\xff"


@dataclass
class Plain:
    day: dt.date
    numbers: set[int] = field(default_factory=lambda: {1})
    __pydantic_config__ = STRICT


class Outer(pydantic.BaseModel):
    model_config = STRICT
    day: dt.date
    data: bytes = b""
    either: str | bytes = ""
    anything: Any = None
    by_number: dict[int, bytes] = {}
    by_pair: dict[tuple[int, int], str] = {}
    secret: pydantic.SecretBytes | None = None
    inner: Inner | None = None
    plain: Plain | None = None
    children: list["Outer"] = []


VALUES = [
    Outer(day=DAY, data=b"\xff\x00"),
    Outer(day=DAY, data=b"text"),
    Outer(day=DAY, either=b"text"),
    Outer(day=DAY, either="text"),
    Outer(day=DAY, anything=b"text"),
    Outer(day=DAY, anything={1: b"\xff", "a": 1 << 70}),
    Outer(day=DAY, by_number={1: b"\xfe"}, by_pair={(1, 2): "a"}),
    Outer(day=DAY, secret=pydantic.SecretBytes(b"\xfd")),
    Outer(day=DAY, inner=Inner(day=DAY), plain=Plain(DAY)),
    Outer(day=DAY, children=[Outer(day=DAY, children=[Outer(day=DAY, data=b"\xff")])]),
    Inner(day=DAY),
    Plain(DAY),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_equal(value: object) -> None:
    codec = ValueCodec(type(value))
    assert codec.decode(codec.encode(value)) == value


TYPES: list[Any] = [
    bool, int, float, str, dt.date, dt.datetime, dt.time, dt.timedelta, UUID, Decimal, Fraction,
    complex, Colour, Level, Path, IPv4Address, set[int], frozenset[str], tuple[int, ...],
    tuple[int, dt.date], deque[int], Counter[str], OrderedDict[str, int], list[dt.date],
    dict[str, dt.datetime], Inner, Plain, dt.date | int, Decimal | None,
]  # fmt: skip
PLAIN: list[Any] = [
    None, True, 0, 1, 5.0, 1.5, 1_700_000_000, "", "1", "red", "a", "true", "1.5", "1+2j", "1/2",
    "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T00:00:00", "2026-01-02 03:04:05Z", "03:04:05",
    "1700000000", "PT5S", "P1D", "00000000-0000-0000-0000-000000000007", "1.2.3.4",
    [], [1], ["a"], [1, "2026-01-02"], ["1"], [True], {}, {"a": 1}, {"a": "2026-01-02T03:04:05"},
    {"day": "2026-01-02"}, {"day": 5},
]  # fmt: skip


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_refused_is_what_is_refused_from_json(kind: Any) -> None:
    model: Any = pydantic.create_model("Model", __config__=STRICT, it=(kind, ...))
    codec = ValueCodec(model)
    for plain in PLAIN:
        assert read(codec, {"it": plain}) == from_json(model, {"it": plain}), plain


def read(codec: ValueCodec, plain: object) -> object:
    try:
        return codec.load(plain)
    except CodecError:
        return "refused"


def from_json(model: Any, plain: object) -> object:
    try:
        return model.model_validate_json(pydantic_core.to_json(plain))
    except pydantic.ValidationError:
        return "refused"
