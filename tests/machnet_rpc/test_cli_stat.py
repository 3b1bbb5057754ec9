"""`mrpc stat`, `flows` and `top`: what they read of an engine and a server, and show."""

import json
import re
import socket
from pathlib import Path

import pytest

from machnet_rpc import Client, Server
from machnet_rpc import cli as mrpc
from machnet_rpc.cli import flows, stat, top
from machnet_rpc.cli.arguments import UsageError
from machnet_rpc.cli.watching import (
    CLEAR_LINE,
    HOME,
    Progress,
    micros,
    short,
    show,
    table,
)
from tests.machnet_rpc.ledger import Ledger
from transport_engine import EngineGoneError, NoEngineError
from transport_engine.flows import FlowReport
from transport_engine.stats import FIELDS

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def via(sidecar: Path) -> Path:
    return sidecar


async def run(*argv: str) -> int:
    arguments = mrpc._parser().parse_args(argv)
    status: int = await arguments.run(arguments)
    return status


async def test_stat_of_an_engine(sidecar: Path, client: Client, capsys: Capture) -> None:
    await client.stub(Ledger).echo(b"x")
    engine = ("--engine", str(sidecar))
    assert await run("stat", *engine) == 0
    rows = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert int(rows["flows_open"]) >= 2  # of other tests there may be some still
    assert int(rows["listeners_open"]) >= 1
    assert int(rows["messages_sent"].replace(",", "")) >= 2
    assert "packets_lost" not in rows
    assert await run("stat", *engine, "--all", "--core", "0") == 0
    assert "packets_lost" in capsys.readouterr().out
    assert await run("stat", *engine, "--json", "--interval", "0.05", "--count", "2") == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert tuple(first) == FIELDS
    assert first["now_ns"] < second["now_ns"]


async def test_stat_of_a_server(
    sidecar: Path, server: Server, client: Client, capsys: Capture
) -> None:
    for _ in range(3):
        await client.stub(Ledger).echo(b"x")
    argv = ("stat", server.address, "--engine", str(sidecar))
    assert await run(*argv, "--interval", "0.05", "--count", "2") == 0
    out = capsys.readouterr().out
    head, columns, *rows = out.splitlines()
    assert head.startswith(f"{server.address} by sidecar+udp, up ")
    assert columns.split()[:4] == ["method", "calls", "/s", "under"]
    assert ["ledger/echo", "3", "-", "0", "0"] in [row.split()[:5] for row in rows]
    assert ["ledger/echo", "3", "0", "0", "0"] in [row.split()[:5] for row in rows]
    assert "mrpc." not in out
    assert await run(*argv, "--json") == 0
    (echo,) = (
        each
        for each in json.loads(capsys.readouterr().out)["methods"]
        if each["method"] == "ledger/echo"
    )
    assert (echo["begun"], echo["ended"]) == (3, {"OK": 3})


async def test_flows(sidecar: Path, server: Server, client: Client, capsys: Capture) -> None:
    await client.stub(Ledger).echo(b"x")
    assert await run("flows", "--engine", str(sidecar)) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["local", "remote", "channel"]
    assert {row.split()[0] for row in rows} >= {server.address}
    assert await run("flows", "--engine", str(sidecar), "--json") == 0
    assert {each["local"] for each in json.loads(capsys.readouterr().out)} >= {server.address}


async def test_top(sidecar: Path, client: Client, capsys: Capture) -> None:
    await client.stub(Ledger).echo(b"x")
    argv = ("top", "--engine", str(sidecar), "--interval", "0.05", "--count", "2")
    assert await run(*argv) == 0
    out = capsys.readouterr().out
    assert re.search(r"^\d+ channels, \d+ listeners, \d+ flows; busy \d+ %$", out, re.MULTILINE)
    assert "messages in all: " in out
    assert "messages a second: " in out
    assert "\x1b" not in out
    assert await run(*argv, "--json") == 0
    frames = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(frames) == 2
    assert all(len(frame["flows"]) >= 2 for frame in frames)


@pytest.mark.parametrize(
    ("argv", "kind", "words"),
    [
        (["stat", "--interval", "0.001"], UsageError, "at least 0.05"),
        (["flows", "--count", "3"], UsageError, "needs an --interval"),
        (["top", "--count", "0"], UsageError, "--count is from 1"),
        (["stat", "127.0.0.1:1", "--core", "0"], UsageError, "leave the address out"),
        (["stat", "--metadata", "token=1"], UsageError, "--metadata is for a server: give its"),
        (["stat", "--require", "bypass"], UsageError, "--require is for a server: give its"),
        (["stat"], NoEngineError, "`mrpc engine` starts one"),
        (["flows"], NoEngineError, "`mrpc engine` starts one"),
        (["top"], NoEngineError, "`mrpc engine` starts one"),
    ],
)
async def test_wrong_usage(argv: list[str], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        await run(*argv, "--engine", "/nowhere/engine.sock")


async def test_an_engine_that_says_nothing_has_the_time_that_was_given(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(EngineGoneError, match=f"{path} does not answer.* in 0.01 s"):
            await run("stat", "--engine", str(path), "--timeout", "0.01")


def test_growth_is_of_counters_only() -> None:
    before = dict.fromkeys(FIELDS, 5)
    after = dict.fromkeys(FIELDS, 7)
    grown = stat.growth(after, before)
    assert (grown["messages_sent"], grown["flows_open"]) == (2, 7)
    head = top.head_of({**after, "now_ns": 2_000_000_005}, before)
    assert head[0] == "7 channels, 7 listeners, 7 flows; busy 0 %"
    assert head[1] == "messages a second: 1 sent, 1 received"


def test_busy_flows_come_first_and_losses_are_shares() -> None:
    idle = FlowReport("a:1", "b:1", None, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    busy = FlowReport(
        "a:2", "b:2", 3, 1, 1_500_000_000, 20_000, 10_000, 2_000_000, 900, 200, 1, 1452
    )
    _, first, second = flows.lines_of([idle, busy])
    assert first.split() == [
        "a:2",
        "b:2",
        "3",
        "1.5",
        "20.0",
        "10.0",
        "2.0M",
        "900",
        "1",
        "200",
        "0.5",
        "1452",
    ]
    assert second.split() == ["a:1", "b:1", "gone", "0", "-", "-", "0", "0", "0", "0", "0", "0"]


def test_a_narrow_terminal_has_the_columns_that_fit() -> None:
    flow = FlowReport("127.0.0.1:31580", "127.0.0.1:17000", 3, 1, 2, 3, 4, 5, 6, 7, 8, 1452)
    wide, narrow = flows.lines_of([flow]), flows.lines_of([flow], 80)
    assert max(map(len, narrow)) <= 80 < max(map(len, wide))
    assert flows.lines_of([flow], 200) == wide
    for column in ("local", "remote", "srtt µs", "sent", "lost %"):
        assert column in narrow[0]
        assert column in flows.lines_of([flow], 20)[0]


async def test_top_on_a_narrow_terminal(
    sidecar: Path, client: Client, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.stub(Ledger).echo(b"x")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert await run("top", "--engine", str(sidecar), "--count", "1") == 0
    assert re.search(r"^local .* lost %$", capsys.readouterr().out, re.MULTILINE)


def test_a_frame_and_a_line_of_progress_fit_on_the_terminal(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LINES", "4")
    monkeypatch.setenv("TERM", "xterm")
    lines = [f"{number} {'-' * 40}" for number in range(9)]
    show(lines, in_place=True)
    assert capsys.readouterr().out.splitlines() == lines  # nobody looks at it
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    show(lines, in_place=True)
    frame = [line[:20] for line in lines[:3]]
    assert capsys.readouterr().out == HOME + "\n".join(frame) + "\n"
    show(lines, in_place=False)
    assert capsys.readouterr().out.splitlines() == lines
    progress = Progress()
    progress.show("x" * 200)
    assert capsys.readouterr().err == CLEAR_LINE + "x" * 79  # it says no width
    monkeypatch.setenv("TERM", "dumb")
    show(lines[:2], in_place=True)
    Progress().show("x")
    said = capsys.readouterr()
    assert (said.out.splitlines(), said.err) == (lines[:2], "")


async def test_one_look_leaves_the_screen_as_it_is(
    sidecar: Path, client: Client, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.stub(Ledger).echo(b"x")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert await run("flows", "--engine", str(sidecar)) == 0
    assert "\x1b" not in capsys.readouterr().out
    argv = ("flows", "--engine", str(sidecar), "--interval", "0.05", "--count", "2")
    assert await run(*argv) == 0
    assert capsys.readouterr().out.count(HOME) == 2


def test_figures_in_few_characters() -> None:
    numbers = (0, 3, 0.25, 9999, 10_000, 1_234_567, 5e9, 7e13)
    assert [short(each) for each in numbers] == [
        "0", "3", "0.2", "9999", "10.0k", "1.2M", "5.0G", "70.0T",
    ]  # fmt: skip
    assert (micros(0), micros(1234)) == ("-", "1.2")
    assert table([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc   d"]
