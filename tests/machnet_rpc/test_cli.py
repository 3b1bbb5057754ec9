"""Every command against a server in memory: what it prints, and its exit status."""

import asyncio
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from machnet_rpc import (
    CallInfo,
    ContractError,
    InvalidArgument,
    MemoryNetwork,
    Next,
    NotFound,
    RpcError,
    Server,
    Unauthenticated,
    serve,
)
from machnet_rpc import cli as mrpc
from machnet_rpc.cli.arguments import UsageError
from machnet_rpc.cli.doctor import table
from machnet_rpc.cli.latencies import Latencies, bars
from machnet_rpc.cli.serve import server_of
from machnet_rpc.cli.watching import CLEAR_LINE
from tests.machnet_rpc.commands import run
from tests.machnet_rpc.conftest import ADDRESS
from tests.machnet_rpc.shop import ShopServer
from transport_engine.machine import Finding

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def via(network: MemoryNetwork) -> MemoryNetwork:
    return network


@pytest.fixture(autouse=True)
def _served(server: Server) -> None:
    """A ledger listens at ADDRESS."""


async def test_call(network: MemoryNetwork, capsys: Capture) -> None:
    entry = '{"account": "a", "amount": "1.5"}'
    assert await run(network, "call", ADDRESS, "ledger/post", entry) == 0
    assert json.loads(capsys.readouterr().out) == {"account": "a", "amount": "1.5"}
    assert await run(network, "call", ADDRESS, "ledger/balance", '{"account": "b"}') == 0
    assert capsys.readouterr().out == "null\n"
    assert await run(network, "call", ADDRESS, "ledger/nothing", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["result"], facts["transport"]) == (None, "memory")
    assert 0 < facts["seconds"] < 5


async def test_call_with_a_key(network: MemoryNetwork, capsys: Capture) -> None:
    address = ADDRESS.replace("7000", "7001")
    async with serve(ShopServer(), address, via=network):
        for _ in range(2):
            argv = ["call", address, "shop/place", '{"item": "a"}', "--key", "order-17"]
            assert await run(network, *argv) == 0
        assert await run(network, "ls", address) == 0
    out = capsys.readouterr().out
    assert out.count('"1 a as order 1"') == 2
    assert "timeout 5 s, keyed" in out
    for method in ("ledger/nothing", "mrpc.reflection/services"):
        with pytest.raises(UsageError, match="not keyed"):
            await run(network, "call", ADDRESS, method, "--key", "k")


@pytest.mark.parametrize("wrong", ["", "k" * 257])
async def test_key_that_is_none(network: MemoryNetwork, capsys: Capture, wrong: str) -> None:
    with pytest.raises(SystemExit) as ended:
        await run(network, "call", ADDRESS, "shop/place", '{"item": "a"}', "--key", wrong)
    assert ended.value.code == 2
    assert "must be text of 1 to 256 characters" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["ls"],
        ["ping", "--count", "1"],
        ["health"],
        ["stat"],
        ["call", "shop/place", '{"item": "a"}'],
    ],
    ids=lambda argv: argv[0],
)
async def test_metadata_of_every_call(
    network: MemoryNetwork, capsys: Capture, argv: list[str]
) -> None:
    async def trusting(call: CallInfo, request: dict[str, Any], following: Next) -> Any:
        if call.metadata != {"authorization": "a=b", "tenant": ""}:
            raise Unauthenticated("who are you?")
        return await following(request)

    address = ADDRESS.replace("7000", "7001")
    command, *rest = argv
    presented = ["--metadata", "authorization=a=b", "--metadata", "tenant="]
    async with serve(ShopServer(), address, via=network, middleware=[trusting]):
        assert await run(network, command, address, *rest, *presented) == 0
        assert capsys.readouterr().out
        with pytest.raises(Unauthenticated):
            await run(network, command, address, *rest)


async def test_metadata_that_are_none(network: MemoryNetwork, capsys: Capture) -> None:
    for wrong in ("token", "=token"):
        with pytest.raises(SystemExit):
            await run(network, "ls", ADDRESS, "--metadata", wrong)
        assert f"'{wrong}' is not NAME=VALUE" in capsys.readouterr().err
    with pytest.raises(UsageError, match="reserved"):
        await run(network, "ls", ADDRESS, "--metadata", "mrpc-key=1")
    with pytest.raises(UsageError, match="--metadata names token twice"):
        await run(network, "ls", ADDRESS, "--metadata", "token=1", "--metadata", "token=2")


async def test_call_with_raw_bytes(network: MemoryNetwork, capsys: Capture) -> None:
    for written, shown in (('"text"', "text"), ('{"base64": "/w=="}', {"base64": "/w=="})):
        assert await run(network, "call", ADDRESS, "ledger/echo", written, "--json") == 0
        assert json.loads(capsys.readouterr().out)["result"] == shown
    with pytest.raises(UsageError, match="takes raw bytes"):
        await run(network, "call", ADDRESS, "ledger/echo", "5")
    with pytest.raises(UsageError, match="base64 is malformed"):
        await run(network, "call", ADDRESS, "ledger/echo", '{"base64": "x"}')


@pytest.mark.parametrize(
    ("method", "request_json", "kind", "words"),
    [
        ("ledger/nope", "1", RpcError, "has no such method; it has balance"),
        ("nope/nope", "1", RpcError, "no such service here; there is ledger"),
        ("ledger", "1", ContractError, "service/method"),
        ("ledger/post", "{", UsageError, "not JSON"),
        ("ledger/fail", '"\\ud800"', UsageError, "the argument cannot be sent"),
        ("ledger/echo", '"\\ud800"', UsageError, "the argument cannot be sent"),
        ("ledger/fail", None, InvalidArgument, "argument how is missing"),
        ("mrpc.reflection/services", '"all"', UsageError, "services takes no argument"),
        (
            "ledger/balance",
            '{"account": "a", "currencey": "USD"}',
            UsageError,
            "balance has no argument 'currencey'; it has account, currency",
        ),
        ("ledger/post", '{"account": 5}', RpcError, "account: Input should be a valid string"),
    ],
)
async def test_wrong_calls_get_a_sentence(
    network: MemoryNetwork, method: str, request_json: str | None, kind: type[Exception], words: str
) -> None:
    request = [] if request_json is None else [request_json]
    with pytest.raises(kind, match=words):
        await run(network, "call", ADDRESS, method, *request)


async def test_ls(network: MemoryNetwork, capsys: Capture) -> None:
    assert await run(network, "ls", ADDRESS) == 0
    out = capsys.readouterr().out
    assert "ledger (version 3)" in out
    assert "  ledger/post(entry: Entry) -> Balance   # timeout 10 s" in out
    assert "ledger/sleep(seconds: float) -> str   # timeout 0.05 s" in out
    assert "mrpc.reflection" not in out
    assert await run(network, "ls", ADDRESS, "--schema", "--all") == 0
    out = capsys.readouterr().out
    assert "mrpc.reflection/services() -> list[" in out
    assert '"title": "Entry"' in out
    assert await run(network, "ls", ADDRESS, "--json") == 0
    (ledger,) = json.loads(capsys.readouterr().out)
    assert (ledger["name"], len(ledger["methods"])) == ("ledger", 8)


async def test_ping(network: MemoryNetwork, capsys: Capture) -> None:
    assert await run(network, "ping", ADDRESS, "--count", "50", "--interval", "0") == 0
    out = capsys.readouterr().out
    assert re.search(r"^50 pings of 64 bytes to 127\.0\.0\.1:7000 by memory$", out, re.MULTILINE)
    assert "█" in out
    assert re.search(r"p99\.9 [\d.]+ µs", out)
    assert await run(network, "ping", ADDRESS, "--count", "5", "--interval", "0", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["count"], facts["lost"]) == (5, 0)
    assert facts["min"] <= facts["p50"] <= facts["p99.9"] <= facts["max"]
    for option, value in (("--count", "0"), ("--interval", "nan"), ("--interval", "inf")):
        with pytest.raises(UsageError, match="--count from 1, --interval from 0"):
            await run(network, "ping", ADDRESS, option, value)


async def test_pings_of_which_none_comes_back_are_json_too(
    network: MemoryNetwork, capsys: Capture
) -> None:
    pings = 0

    async def only_the_first(call: CallInfo, request: dict[str, Any], following: Next) -> Any:
        nonlocal pings
        pings += 1
        if pings > 1:
            raise NotFound("no more")
        return await following(request)

    address = "127.0.0.1:7001"
    async with serve(ShopServer(), address, via=network, middleware=[only_the_first]):
        argv = ["ping", address, "--count", "3", "--interval", "0", "--json"]
        assert await run(network, *argv) == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == {"count": 0, "lost": 3, "transport": "memory"}
    assert "3 of 3 failed, the last: " in said.err


async def test_ctrl_c_prints_the_pings_until_then(
    network: MemoryNetwork, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    sixth = asyncio.Event()
    pings = 0

    async def six(call: CallInfo, request: dict[str, Any], following: Next) -> Any:
        nonlocal pings
        pings += 1
        if pings == 6:  # the first of them opens the flow
            sixth.set()
            await asyncio.sleep(3600)
        return await following(request)

    address = "127.0.0.1:7001"
    async with serve(ShopServer(), address, via=network, middleware=[six]):
        argv = ("ping", address, "--interval", "0", "--json")
        running = asyncio.create_task(run(network, *argv))
        await sixth.wait()
        running.cancel()  # as asyncio.Runner does at Ctrl-C
        with pytest.raises(asyncio.CancelledError):
            await running
    said = capsys.readouterr()
    assert json.loads(said.out)["count"] == 4
    assert "pings: 0 of 1,000" in said.err
    assert said.err.endswith(CLEAR_LINE)


BUILT_IN = ["ledger", "mrpc.fates", "mrpc.health", "mrpc.reflection", "mrpc.statistics"]

MODULE = """
from tests.machnet_rpc.ledger import LedgerBook
from machnet_rpc import Server

book = LedgerBook()
several = [book]
server = Server(book)
number = 5

def made():
    return LedgerBook()

async def made_slowly():
    return [LedgerBook()]

def needs(x):
    return x
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"shop_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / f"{name}_broken.py").write_text("import no_such_module_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


async def test_what_serve_takes(module: str) -> None:
    for name in ("book", "several", "server", "made", "made_slowly", "LedgerBook"):
        server = await server_of(f"{module}:{name}")
        assert [contract.name for contract in server.contracts] == BUILT_IN


@pytest.mark.parametrize(
    ("target", "kind", "words"),
    [
        ("{}", UsageError, "write module:name"),
        ("{}:nope", UsageError, "has no nope"),
        ("{}x:book", UsageError, "there is no module"),
        ("{}_broken:book", UsageError, "no_such_module_at_all"),
        ("{}:number", ContractError, "int is no service"),
        ("{}:needs", UsageError, "cannot be called without arguments"),
    ],
)
async def test_what_serve_does_not_take(
    module: str, target: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        await server_of(target.format(module))


def test_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        mrpc.main(["--version"])
    assert ended.value.code == 0
    said = rf"machnet-rpc {re.escape(version('machnet-rpc'))} \((dpdk, )?loopback, udp\)\n"
    assert re.fullmatch(said, capsys.readouterr().out)


@pytest.mark.parametrize(
    ("argv", "status", "words"),
    [
        (["ls", "nowhere"], 2, "'nowhere' is not an address"),
        (["serve", "nothing"], 2, "write module:name"),
        (["serve", "json:loads", "--json"], 2, "cannot be called"),
        (["sim", "run", "no.json", "--json"], 2, "mrpc: no.json: No such file or directory\n"),
    ],
)
def test_errors_go_to_stderr_with_a_status(
    argv: list[str], status: int, words: str, capsys: Capture
) -> None:
    assert mrpc.main(argv) == status
    said = capsys.readouterr()
    assert said.err.startswith("mrpc: ")
    assert words in said.err
    assert bool(said.out) == ("--json" in argv)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["ping", ADDRESS, "--timeout", "0"], "'0' is not a number of seconds above 0"),
        (["ping", ADDRESS, "--timeout", "5s"], "'5s' is not a number of seconds above 0"),
        (["bench", ADDRESS, "a/b", "--rate", "nan"], "'nan' is not a number of calls a second"),
        (["engine", "--cores", "0,0"], "'0,0' are not processors, each once"),
        (["engine", "--cores", "all"], "'all' are not processors, each once"),
    ],
)
def test_a_value_that_is_none_says_what_would_be(
    argv: list[str], words: str, capsys: Capture
) -> None:
    with pytest.raises(SystemExit, match="2"):
        mrpc.main(argv)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["ping", ADDRESS, "--timeout", "0", "--json"], "argument --timeout: '0' is not"),
        (["call", "--json", ADDRESS], "arguments are required: SERVICE/METHOD"),
        (["ls", ADDRESS, "--json", "--nothing"], "unrecognized arguments: --nothing"),
        (["schema", "check", "--json"], "arguments are required: LOCK"),
        (["schema", "check"], None),
    ],
)
def test_wrong_usage_is_json_too(argv: list[str], words: str | None, capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="2"):
        mrpc.main(argv)
    said = capsys.readouterr()
    assert "usage: mrpc" in said.err
    if words is None:
        assert said.out == ""
    else:
        assert words in json.loads(said.out)["error"]["message"]


def test_doctor(capsys: Capture) -> None:
    status = mrpc.main(["doctor", "--json"])
    findings = json.loads(capsys.readouterr().out)
    assert status == int(any(finding["level"] == "missing" for finding in findings))
    assert mrpc.main(["doctor"]) == status
    out = capsys.readouterr().out
    assert all(f" {finding['name']} " in out for finding in findings)


def test_the_doctors_table_names_what_mends() -> None:
    lines = table([Finding("a", "ok", "fine"), Finding("long", "missing", "x " * 60, "do this")])
    assert lines[0] == "✓ a     fine"
    assert lines[1].startswith("✗ long  x x")
    assert lines[2].startswith("        x")
    assert lines[3] == "        → do this"
    assert all(len(line) <= 96 for line in lines)


def test_percentiles_are_samples_that_were_seen() -> None:
    latencies = Latencies([1e-6 * n for n in range(1, 1001)])
    assert latencies.summary() == {
        "min": 1.0,
        "max": 1000.0,
        "p50": 500.0,
        "p90": 900.0,
        "p99": 990.0,
        "p99.9": 999.0,
    }
    assert Latencies([5e-6]).summary()["p99.9"] == 5.0


@pytest.mark.parametrize("samples", [[1e-6], [1e-6] * 9, [1e-6, 1e-3, 1.0], [0.0, 1e-6]])
def test_bars_count_every_sample_once(samples: list[float]) -> None:
    lines = bars(Latencies(samples))
    assert sum(int(line.rsplit(" ", 1)[1]) for line in lines) == len(samples)
    assert any("█" * 40 in line for line in lines)
