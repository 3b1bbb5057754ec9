"""`mrpc call` and `mrpc ls` for methods that are not unary."""

import io
import json
import re
import sys
from collections.abc import AsyncIterator

import pytest

from machnet_rpc import MemoryNetwork, NotFound, serve
from machnet_rpc.cli.arguments import UsageError
from tests.machnet_rpc.commands import run
from tests.machnet_rpc.tap import TapDesk
from tests.machnet_rpc.waiting import until

ADDRESS = "127.0.0.1:7000"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
async def desk(network: MemoryNetwork) -> AsyncIterator[TapDesk]:
    desk = TapDesk()
    async with serve(desk, ADDRESS, via=network, grace=0.2):
        yield desk


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


async def test_a_server_stream_is_printed_line_by_line(
    network: MemoryNetwork, capsys: Capture
) -> None:
    assert await run(network, "call", ADDRESS, "tap/run", '{"count": 100}') == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines[:2]] == ["\0\0\0\0", "\0\0\0\1"]
    assert len(lines) == 100
    with pytest.raises(NotFound):
        await run(network, "call", ADDRESS, "tap/fail", '{"after": 2, "how": "not found"}')
    assert capsys.readouterr().out == "0\n1\n"


async def test_a_client_stream_is_read_line_by_line(
    network: MemoryNetwork, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, '{"number": 1}\n\n{"number": 2}\n')
    assert await run(network, "call", ADDRESS, "tap/total", "40") == 0
    assert capsys.readouterr().out == "43\n"
    give(monkeypatch, '{"number": 1}\n{"number"\n')
    with pytest.raises(UsageError, match="line 2 is not JSON"):
        await run(network, "call", ADDRESS, "tap/total")
    with pytest.raises(UsageError, match="standard input holds the stream"):
        await run(network, "call", ADDRESS, "tap/total", "-")


async def test_streams_both_ways(
    network: MemoryNetwork, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, "".join(f'{{"number": {number}}}\n' for number in range(200)))
    assert await run(network, "call", ADDRESS, "tap/echo", '"hello"') == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"number": number, "label": "hello"} for number in range(200)]


async def test_a_call_without_an_answer_prints_nothing(
    network: MemoryNetwork, capsys: Capture, desk: TapDesk
) -> None:
    assert await run(network, "call", ADDRESS, "tap/note", '{"text": "x"}') == 0
    assert capsys.readouterr().out == ""
    await until(lambda: desk.journal == ["x"])
    assert await run(network, "call", ADDRESS, "tap/note", '{"text": "y"}', "--json") == 0
    assert json.loads(capsys.readouterr().out) is None


async def test_ls_shows_streams(network: MemoryNetwork, capsys: Capture) -> None:
    assert await run(network, "ls", ADDRESS, "--schema") == 0
    out = capsys.readouterr().out
    assert (
        "tap/echo(drops: AsyncIterator[Drop], label: str) -> AsyncIterator[Drop]"
        "   # timeout 10 s, bidirectional\n"
    ) in out
    assert "tap/note(text: str, seconds: float = 0) -> None   # timeout 10 s, oneway\n" in out
    assert re.search(r'^      items: \{.*"number"', out, re.MULTILINE)
    assert await run(network, "ls", ADDRESS, "--json") == 0
    (tap,) = json.loads(capsys.readouterr().out)
    kinds = {method["name"]: method["kind"] for method in tap["methods"]}
    assert (kinds["run"], kinds["total"]) == ("server_stream", "client_stream")
