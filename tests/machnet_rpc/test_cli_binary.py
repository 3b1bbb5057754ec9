"""Bytes within the JSON of `mrpc call`: as it prints them, where the contract has bytes."""

import io
import json
import sys
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from machnet_rpc import InvalidArgument, MemoryNetwork, rpc, serve, service
from machnet_rpc.cli.arguments import UsageError
from tests.machnet_rpc.commands import run

ADDRESS = "127.0.0.1:7000"
Capture = pytest.CaptureFixture[str]
RAW = {"base64": "/wA="}


@dataclass
class Encoded:
    base64: str


@dataclass
class Tree:
    value: bytes
    children: list["Tree"] = field(default_factory=list["Tree"])


class Packet(msgspec.Struct):
    head: bytes
    parts: list[bytes | None]
    name: str


@service("blobs")
class Blobs:
    @rpc
    async def put(self, key: bytes, value: bytes | None) -> list[bytes | None]:
        raise NotImplementedError

    @rpc
    async def kinds(
        self, pair: tuple[int, bytes], named: dict[str, bytes], text: Encoded
    ) -> list[object]:
        raise NotImplementedError

    @rpc
    async def tree(self, root: Tree) -> Tree:
        raise NotImplementedError

    @rpc
    async def packet(self, packet: Packet) -> Packet:
        raise NotImplementedError

    @rpc
    async def size(self, trees: AsyncIterable[Tree]) -> int:
        raise NotImplementedError


class Store(Blobs):
    @rpc
    async def put(self, key: bytes, value: bytes | None) -> list[bytes | None]:
        return [key, value]

    @rpc
    async def kinds(
        self, pair: tuple[int, bytes], named: dict[str, bytes], text: Encoded
    ) -> list[object]:
        return [pair[1], named["a"], text.base64]

    @rpc
    async def tree(self, root: Tree) -> Tree:
        return root

    @rpc
    async def packet(self, packet: Packet) -> Packet:
        return packet

    @rpc
    async def size(self, trees: AsyncIterable[Tree]) -> int:
        return sum([len(tree.value) async for tree in trees])


@pytest.fixture(autouse=True)
async def _served(network: MemoryNetwork) -> AsyncIterator[None]:
    async with serve(Store(), ADDRESS, via=network):
        yield


@pytest.mark.parametrize(
    ("method", "request_", "result"),
    [
        ("put", {"key": "a", "value": RAW}, ["a", RAW]),
        ("put", {"key": RAW, "value": None}, [RAW, None]),
        ("kinds", {"pair": [1, RAW], "named": {"a": RAW}, "text": RAW}, [RAW, RAW, "/wA="]),
        (
            "packet",
            {"head": "é", "parts": ["a", RAW, None], "name": "n"},
            {"head": "é", "parts": ["a", RAW, None], "name": "n"},
        ),
        (
            "tree",
            {"value": RAW, "children": [{"value": RAW, "children": []}]},
            {"value": RAW, "children": [{"value": RAW, "children": []}]},
        ),
    ],
)
async def test_what_is_printed_can_be_sent(
    network: MemoryNetwork, capsys: Capture, method: str, request_: Any, result: Any
) -> None:
    assert await run(network, "call", ADDRESS, f"blobs/{method}", json.dumps(request_)) == 0
    assert json.loads(capsys.readouterr().out) == result


async def test_items_of_a_stream(
    network: MemoryNetwork, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = json.dumps({"value": RAW})
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{item}\n{item}\n"))
    assert await run(network, "call", ADDRESS, "blobs/size") == 0
    assert capsys.readouterr().out == "4\n"


async def test_what_is_nested_too_deep_is_said(network: MemoryNetwork) -> None:
    deep = '{"value": "", "children": [' * 400 + "]}" * 400
    # Since Python 3.12 there are more frames of Python than pydantic goes down.
    refusals = (UsageError, InvalidArgument)
    with pytest.raises(refusals, match=r"nested too deep|maximum validation depth"):
        await run(network, "call", ADDRESS, "blobs/tree", deep)


async def test_text_that_has_no_bytes(network: MemoryNetwork) -> None:
    request = json.dumps({"key": "\ud800", "value": None})
    with pytest.raises(UsageError, match="bytes are text, or base64"):
        await run(network, "call", ADDRESS, "blobs/put", request)


async def test_base64_that_is_none(network: MemoryNetwork) -> None:
    for text in ("x", "ä"):
        request = json.dumps({"key": "a", "value": {"base64": text}})
        with pytest.raises(UsageError, match="base64 is malformed"):
            await run(network, "call", ADDRESS, "blobs/put", request)
