"""Any value of a supported type comes back equal; any bytes give a value or a CodecError."""

import contextlib
import datetime as dt
import math
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import TypedDict

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
from tests.idl.values import TYPES, Colour, Model, Point, Struct, Tree, floats


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

    @settings(max_examples=50)
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

    @settings(max_examples=50)
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
    kind: Any = msgspec.defstruct("Other", fields)
    payload = bytes(lone(kind)[0].encode((kind(1, 2.0, at),), {}))
    assert lone(Point)[1].decode(payload) == Point(1, 2.0, at)


SHALLOW: Any = msgspec.defstruct("Shallow", [("value", Any)])
ODD = dt.datetime(2026, 1, 2, tzinfo=dt.timezone(dt.timedelta(seconds=3723)))


class Tuples(Enum):
    PAIR = (1, 2)


def deep_list(depth: int) -> Any:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def deep_tree(depth: int) -> Tree:
    tree = Tree(name="")
    for _ in range(depth):
        tree = Tree.model_construct(name="", parts=[tree])
    return tree


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (str, "\ud800", "surrogates not allowed"),
        (list[str], ["\ud800"], "surrogates not allowed"),
        (dict[str, int], {"\ud800": 1}, "surrogates not allowed"),
        (Struct, Struct("\ud800", Decimal(1), b""), "surrogates not allowed"),
        (Any, 1 << (1 << 16), None),
        (Decimal, Decimal("NaN"), "the Decimal NaN is not finite"),
        (list[Decimal], [Decimal("-Infinity")], "the Decimal -Infinity is not finite"),
        (dt.datetime, ODD, "not a whole number of minutes"),
        (dt.time, ODD.timetz(), "not a whole number of minutes"),
        (Tuples, Tuples.PAIR, "must be text, bytes, a number or None"),
        (int, 1 << 5000, None),
        (SHALLOW, SHALLOW(1 << 70), "can't serialize ints"),
        (float, math.inf, None),
        (list[Any], deep_list(500), None),
        (list[Any], deep_list(1500), "recursion limit exceeded"),
        (list[Any], deep_list(100_000), "recursion limit exceeded"),
        (Tree, deep_tree(100), None),
        (Tree, deep_tree(1000), "depth exceeded"),
        (SHALLOW, SHALLOW(deep_list(1_000_000)), "recursion depth exceeded|Stack overflow"),
        (dict[Any, int], {Point(1, 2.0): 1}, "unhashable"),
    ],
    ids=lambda it: type(it).__name__,  # what is deep has no repr
)
def test_limits_are_told_where_it_is_sent(annotation: Any, value: Any, words: str | None) -> None:
    """What does not arrive equal is refused by who sends it."""
    arguments, result = lone(annotation)
    if words is None:
        assert arguments.decode(bytes(arguments.encode((value,), {})))[0][0] == value
        return
    with pytest.raises(CodecError, match=words):
        arguments.encode((value,), {})
    with pytest.raises(CodecError, match=words):
        result.encode(value)


def test_nan_arrives() -> None:
    arguments, _ = lone(float)
    assert math.isnan(arguments.decode(bytes(arguments.encode((math.nan,), {})))[0][0])


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
        (int, b"", "argument it is missing"),
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


class Sized(TypedDict):
    width: int


class Placed(NamedTuple):
    at: int


@pytest.mark.parametrize("annotation", [Sized, Placed, Struct, Model, Colour, list, str])
@pytest.mark.parametrize("value", [None, {"width": "a"}, b"", ...])
def test_a_value_of_another_class_is_refused_in_a_sentence(annotation: Any, value: Any) -> None:
    arguments, result = lone(annotation)
    with pytest.raises(CodecError, match=r"must be|Input should be|is no|cannot be sent"):
        arguments.encode((value,), {})
    with pytest.raises(CodecError, match=r"must be|Input should be|is no|cannot be sent"):
        result.encode(value)
