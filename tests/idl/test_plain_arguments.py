"""Several arguments of plain types are sent and read as through pydantic, or refused alike."""

from typing import Annotated, Any

import msgpack
import pydantic
import pytest

from idl import ArgumentsCodec, CodecError, MethodSchema, method_schema, pack, unpack
from idl.plain import plain_arguments
from tests.idl.test_plain import LOT, Lot, mutations, outcome


async def put(self: object, key: str, value: bytes, lot: Lot, version: int = 3) -> None:
    raise NotImplementedError


async def move(self: object, a: Annotated[int, pydantic.Field(ge=0)], b: str) -> None:
    raise NotImplementedError


class Slow(ArgumentsCodec):
    """Through pydantic, argument by argument."""

    def __init__(self, schema: MethodSchema) -> None:
        super().__init__(schema)
        self._plain = None


def outcome_of(codec: ArgumentsCodec, args: Any, kwargs: Any) -> object:
    try:
        return codec.encode(args, kwargs)
    except (CodecError, TypeError) as error:
        return str(error).partition(" at 0x")[0]


def test_several_arguments_are_sent_alike_or_refused_alike() -> None:
    schema = method_schema(put, "put")
    codec, slow = ArgumentsCodec(schema), Slow(schema)
    given: list[Any] = ["k", b"v", LOT, 7]
    calls: list[tuple[Any, Any]] = [(given, {}), (given[:3], {}), (given[:2], {}), ((), {})]
    calls += [
        ([*given[:index], each, *given[index + 1 :]], {})
        for index in range(4)
        for each in mutations(given[index])
    ]
    calls += [(["k"], {"version": 1, "lot": LOT, "value": b"v"}), (given, {"version": 1})]
    for args, kwargs in calls:
        found = outcome_of(codec, tuple(args), kwargs)
        assert found == outcome_of(slow, tuple(args), kwargs), (args, kwargs)
    in_order = codec.encode(("k", b"v"), {"lot": LOT, "version": 1})
    assert codec.encode((), {"version": 1, "lot": LOT, "value": b"v", "key": "k"}) == in_order


def test_several_arguments_are_read_alike_or_refused_alike() -> None:
    schema = method_schema(put, "put")
    codec, slow = ArgumentsCodec(schema), Slow(schema)
    written = unpack(codec.encode(("k", b"v", LOT, 7), {}))
    native = [None, True, 1, 2.0, "1", b"yes", [], {}, [1], {1: 2}]
    maps: list[Any] = [written, *native, {**written, "more": 1}, {**written, 1: 2}]
    maps += [{**written, name: each} for name in written for each in native]
    maps += [{key: written[key] for key in written if key != name} for name in written]
    for each in [b"", b"\xc1", *map(msgpack.packb, maps)]:
        assert outcome(codec.decode, each) == outcome(slow.decode, each), each


def test_arguments_are_plain_all_or_none() -> None:
    assert plain_arguments(method_schema(put, "put").parameters) is not None
    assert plain_arguments(method_schema(move, "move").parameters) is None
    with pytest.raises(CodecError, match="a: Input should be greater than or equal to 0"):
        ArgumentsCodec(method_schema(move, "move")).decode(pack({"a": -1, "b": "x"}))
