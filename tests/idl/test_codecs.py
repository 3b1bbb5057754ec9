"""Any value of a supported type comes back equal; any bytes give a value or a CodecError."""

import contextlib
import dataclasses
import datetime as dt
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from typing import Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from idl import (
    ArgumentsCodec,
    CodecError,
    MethodSchema,
    Parameter,
    ResultCodec,
    SchemaError,
    pack,
    unpack,
)


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


ints = st.integers()
floats = st.floats(allow_nan=False)
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
]


def lone(annotation: Any) -> tuple[ArgumentsCodec, ResultCodec]:
    schema = MethodSchema("s/m", (Parameter("it", annotation, True),), annotation)
    return ArgumentsCodec(schema), ResultCodec(schema)


@pytest.mark.parametrize(("annotation", "values"), TYPES, ids=lambda it: str(it)[:40])
def test_values_come_back_equal(annotation: Any, values: st.SearchStrategy[Any]) -> None:
    arguments, result = lone(annotation)
    two = MethodSchema(
        "s/m", (Parameter("a", annotation, True), Parameter("b", annotation, True)), annotation
    )
    several = ArgumentsCodec(two)

    @given(values, values)
    def round_trip(value: object, other: object) -> None:
        assert arguments.decode(bytes(arguments.encode((value,), {}))) == ((value,), {})
        assert result.decode(bytes(result.encode(value))) == value
        sent = bytes(several.encode((value,), {"b": other}))
        assert several.decode(sent) == ((), {"a": value, "b": other})

    round_trip()


@pytest.mark.parametrize(("annotation", "values"), TYPES, ids=lambda it: str(it)[:40])
def test_any_bytes_give_a_value_or_a_codec_error(
    annotation: Any, values: st.SearchStrategy[Any]
) -> None:
    arguments, result = lone(annotation)
    wild = st.binary() | st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | floats | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=5,
    ).map(pack)

    @given(wild)
    def decode(payload: bytes) -> None:
        for attempt in (arguments.decode, result.decode):
            with contextlib.suppress(CodecError):
                attempt(payload)

    decode()


def test_bytes_need_no_codec() -> None:
    arguments, result = lone(bytes)
    data = b"data"
    assert arguments.is_raw
    assert arguments.encode((data,), {}) is data
    assert result.decode(data) is data
    assert arguments.encode((bytearray(data),), {}) == data
    for kind in (memoryview, bytearray):
        arguments, result = lone(kind)
        assert arguments.is_raw
        assert bytes(arguments.encode((kind(data),), {})) == data
        assert isinstance(result.decode(data), kind)
        assert result.decode(data) == data


def test_a_time_with_a_zone_goes_from_a_struct_to_a_dataclass() -> None:
    at = dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    fields = [("x", int), ("y", float), ("at", dt.datetime)]
    sent = lone(msgspec.defstruct("Other", fields))[0]
    payload = bytes(sent.encode((sent._schema.parameters[0].annotation(1, 2.0, at),), {}))
    assert lone(Point)[1].decode(payload) == Point(1, 2.0, at)


def nested(depth: int) -> bytes:
    return b"\x91" * depth + b"\x01"


@pytest.mark.parametrize(
    ("annotation", "payload", "words"),
    [
        (int, pack("x"), "it: Input should be a valid integer"),
        (Model, pack({"name": 5}), r"name: Input should be a valid string \(got int 5\)"),
        (Model, pack({}), "and 1 more"),
        (list[int], pack([1, "x"]), "1: Input should be a valid integer"),
        (Struct, msgspec.msgpack.encode({"name": 1}), r"Expected `str`, got `int` - at `\$.name`"),
        (int, b"", "not msgpack"),
        (int, b"\x01\x01", "not msgpack"),
        (int, b"\xc1", "not msgpack"),
        (list[Any], nested(100_000), "not msgpack"),
        (type(None), b"\xc0", "has none"),
    ],
)
def test_wrong_payloads_get_a_sentence(annotation: Any, payload: bytes, words: str) -> None:
    with pytest.raises(CodecError, match=words):
        lone(annotation)[0].decode(payload)


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (int, "x", "it: must be int, not str 'x'"),
        (int, True, "must be int, not bool True"),
        (str, b"x", "must be str, not bytes"),
        (bytes, "x", "must be bytes, not str"),
        (type(None), 0, "must be None, not int 0"),
        (Model, {"name": "x"}, "must be Model, not dict"),
        (Struct, "x", "must be Struct, not str"),
        (list[int], [1, "x"], "Expected `int`"),
        (Any, object(), "object"),
        (Any, lambda: 1, "function"),
    ],
)
def test_wrong_values_get_a_sentence(annotation: Any, value: object, words: str) -> None:
    with pytest.raises(CodecError, match=words):
        lone(annotation)[0].encode((value,), {})


def test_types_without_a_codec_are_found_when_it_is_compiled() -> None:
    for annotation in (st.SearchStrategy, list[int | st.SearchStrategy[int]], Model | Struct):
        with pytest.raises(SchemaError, match="s/m: it"):
            lone(annotation)


def test_plain_values_survive() -> None:
    value = {"a": [1, 2.5, None, True, b"x", {"b": "c"}]}
    assert unpack(pack(value)) == value
    assert unpack(pack([Point(1, 2.0), {3}, 1 << 70, IPv4Address("10.0.0.1"), Colour.RED])) == [
        {"x": 1, "y": 2.0, "at": None},
        [3],
        1 << 70,
        "10.0.0.1",
        "red",
    ]
