"""The command line and clients against real processes: started, called, stopped, killed."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from machnet_rpc import Client, RpcError, connect
from tests.machnet_rpc.ledger import Ledger

ROOT = Path(__file__).parents[2]
TARGET = "tests.machnet_rpc.ledger:LedgerBook"
DEADLINE_SECONDS = 2.0


class Served:
    """A `mrpc serve` process."""

    def __init__(self, listen: str) -> None:
        self.process = subprocess.Popen(
            [*mrpc("serve", TARGET, "--listen", listen, "--grace", "2", "--json")],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.facts = json.loads(self.process.stdout.readline())
        self.address: str = self.facts["address"]

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        status = self.process.wait(timeout=10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


def mrpc(*argv: str) -> list[str]:
    return [sys.executable, "-m", "machnet_rpc.cli", *argv]


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        mrpc(*argv), cwd=ROOT, check=False, capture_output=True, text=True, timeout=30
    )


@pytest.fixture(autouse=True)
def _no_sidecar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keeps to engines of our own, whatever runs on this machine."""
    monkeypatch.setenv("MRPC_SOCKET", str(tmp_path / "none.sock"))


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served("127.0.0.1:0")
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.end(signal.SIGKILL)


def test_serve_call_ls_ping(served: Served) -> None:
    assert served.facts["services"] == [
        "ledger",
        "mrpc.fates",
        "mrpc.health",
        "mrpc.reflection",
        "mrpc.statistics",
    ]
    called = run("call", served.address, "ledger/post", '{"account": "a", "amount": 5}')
    assert (called.returncode, called.stderr) == (0, "")
    assert json.loads(called.stdout) == {"account": "a", "amount": "5"}
    raw = run("call", served.address, "ledger/echo", '"as it is"')
    assert raw.stdout == "as it is"
    assert "ledger/echo(data: bytes) -> bytes" in run("ls", served.address).stdout
    pinged = run("ping", served.address, "--count", "20", "--interval", "0", "--json")
    assert json.loads(pinged.stdout)["count"] == 20
    failed = run("call", served.address, "ledger/fail", '"not found"')
    assert failed.returncode == 1
    assert "no such row (NOT_FOUND, stage: reply seen, executed: yes). Insert it first." in (
        failed.stderr
    )
    assert served.end(signal.SIGTERM) == 0


def test_two_servers_on_one_port(served: Served) -> None:
    again = run("serve", TARGET, "--listen", served.address)
    assert again.returncode == 3
    assert "in use" in again.stderr
    assert "Traceback" not in again.stderr


@pytest.mark.parametrize(
    ("argv", "status", "words"),
    [
        (["serve", TARGET, "--listen", "127.0.0.1"], 2, "write host:port"),
        (["serve", TARGET, "--listen", "192.0.2.1:7000"], 2, "calls are not encrypted yet"),
        (["serve", TARGET, "--listen", "192.0.2.1:7000"], 2, "mrpc engine --config FILE"),
        (["serve", TARGET, "--require", "bypass"], 3, "mrpc doctor"),
        (["ls", "127.0.0.1:7000", "--engine", "/nowhere/engine.sock"], 3, "`mrpc engine` starts"),
        (["engine", "--config", "/nowhere/engine.toml"], 2, "/nowhere/engine.toml cannot be read"),
        (["serve", "no_such_module:x"], 2, "there is no module no_such_module"),
    ],
)
def test_wrong_usage_gets_a_sentence(argv: list[str], status: int, words: str) -> None:
    done = run(*argv)
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


async def test_kill_of_the_server_ends_calls_in_time_and_a_new_one_is_used() -> None:
    first = Served("127.0.0.1:0")
    second: Served | None = None
    async with connect(first.address, timeout=DEADLINE_SECONDS) as client:
        try:
            assert await client.stub(Ledger).echo(b"up") == b"up"
            calls = [asyncio.ensure_future(timed(client)) for _ in range(20)]
            await asyncio.sleep(0)
            first.end(signal.SIGKILL)
            calls += [asyncio.ensure_future(timed(client)) for _ in range(20)]
            for took, executed in await asyncio.gather(*calls):
                assert took < DEADLINE_SECONDS + 0.5
                assert executed in ("no", "maybe")
            second = Served(first.address)
            assert await until_answered(client) == b"again"
        finally:
            for served in (first, second):
                if served is not None and served.process.poll() is None:
                    served.end(signal.SIGKILL)


async def timed(client: Client) -> tuple[float, str]:
    """How long a call took that cannot be answered, and whether it says that it ran."""
    started = time.monotonic()
    with pytest.raises(RpcError) as caught:
        await client.stub(Ledger).sleep.using(timeout=DEADLINE_SECONDS)(60)
    return time.monotonic() - started, caught.value.executed


async def until_answered(client: Client) -> bytes:
    """The first calls may still meet the dead flow; each says so within its deadline."""
    for _ in range(20):
        try:
            return await client.stub(Ledger).echo(b"again")
        except RpcError:
            continue
    raise AssertionError("the restarted server was never reached")


async def test_a_signal_lets_calls_end_and_a_second_one_does_not(served: Served) -> None:
    async with connect(served.address, timeout=20.0) as client:
        first = asyncio.ensure_future(client.stub(Ledger).sleep(0.3))
        second = asyncio.ensure_future(client.stub(Ledger).sleep(19.0))
        assert await client.stub(Ledger).echo(b"up") == b"up"
        served.process.send_signal(signal.SIGTERM)
        assert (await first).startswith("127.0.0.1")
        began = time.monotonic()
        assert await asyncio.to_thread(served.end, signal.SIGTERM) == -signal.SIGTERM
        assert time.monotonic() - began < 1.0
        second.cancel()
