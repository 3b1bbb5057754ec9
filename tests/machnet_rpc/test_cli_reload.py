"""`mrpc serve --reload`: a change is served without a failed call, and a mistake is not served."""

import asyncio
import os
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from machnet_rpc import Client, connect
from machnet_rpc import cli as mrpc
from machnet_rpc.cli import reload
from machnet_rpc.cli.held import Held
from machnet_rpc.cli.reload import Reloader
from tests.e2e.processes import Running
from tests.machnet_rpc.waiting import until

SECONDS_MAX = 20.0
SECOND = 1_000_000_000  # of some day
UNCACHED = "PYTHONDONTWRITEBYTECODE"  # as some machines have it
MODULE = """
from machnet_rpc import rpc, service

@service("shop")
class Shop:
    @rpc
    async def version(self) -> int:
        raise NotImplementedError

class Open(Shop):
    @rpc
    async def version(self) -> int:
        return VERSION
"""


class Reloading:
    """A `mrpc serve --reload` process in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write(1)
        argv = [sys.executable, "-m", "machnet_rpc.cli", "serve", "shop:Open", "--reload"]
        argv += ["--listen", "127.0.0.1:0", "--grace", "2", "--json"]
        caching = {name: each for name, each in os.environ.items() if name != UNCACHED}
        with (folder / "stderr").open("w") as stderr:
            self.process = subprocess.Popen(
                argv, bufsize=0, cwd=folder, env=caching, stdout=subprocess.PIPE, stderr=stderr
            )
        self.running = Running.of(self.process)

    def write(self, version: object) -> None:
        """All in the same second, by which bytecode could not be told apart."""
        written = self.folder / "shop.py"
        written.write_text(MODULE.replace("VERSION", str(version)))
        os.utime(written, (SECOND, SECOND))

    @property
    def said(self) -> str:
        return (self.folder / "stderr").read_text()

    async def ready(self) -> str:
        """Where the next server listens."""
        address: str = (await self.next_value())["address"]
        return address

    async def next_value(self) -> dict[str, Any]:
        """What it prints next. Errors: AssertionError where it prints nothing in time."""
        try:
            return await asyncio.to_thread(self.running.line, SECONDS_MAX)
        except AssertionError as error:
            raise AssertionError(f"{error}; on stderr: {self.said}") from error


@pytest.fixture
def reloading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reloading]:
    monkeypatch.setenv("MRPC_SOCKET", str(tmp_path / "none.sock"))
    started = Reloading(tmp_path)
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.wait()
    assert started.process.stdout is not None
    started.process.stdout.close()


async def versions(client: Client, seen: list[int]) -> None:
    """Calls until it is cancelled; any failed call fails it."""
    while True:
        version = await client.call("shop/version")
        if not seen or seen[-1] != version:
            seen.append(version)
        await asyncio.sleep(0.001)


def test_changes_are_served_and_mistakes_are_not(reloading: Reloading) -> None:
    asyncio.run(changes(reloading))
    reloading.process.send_signal(signal.SIGINT)
    assert reloading.process.wait(SECONDS_MAX) == 0
    assert "Traceback" not in reloading.said


async def changes(reloading: Reloading) -> None:
    address = await reloading.ready()
    seen: list[int] = []
    async with connect(address, timeout=SECONDS_MAX) as client:
        calling = asyncio.create_task(versions(client, seen))
        await until(lambda: seen == [1], SECONDS_MAX)
        reloading.write(2)
        assert await reloading.ready() == address
        await until(lambda: seen == [1, 2] or calling.done(), SECONDS_MAX)
        reloading.write("syntax error (")
        await until(lambda: "served before stays" in reloading.said, SECONDS_MAX)
        assert "SyntaxError" in reloading.said
        assert "SyntaxError" in (await reloading.next_value())["error"]["message"]
        reloading.write(3)
        assert await reloading.ready() == address
        await until(lambda: seen == [1, 2, 3] or calling.done(), SECONDS_MAX)
        assert not calling.done(), calling.exception()
        calling.cancel()


def test_a_change_at_the_very_first_is_seen(reloading: Reloading) -> None:
    asyncio.run(changed_at_once(reloading))


async def changed_at_once(reloading: Reloading) -> None:
    address = await reloading.ready()
    reloading.write(20)
    assert await reloading.ready() == address
    async with connect(address, timeout=SECONDS_MAX) as client:
        assert await client.call("shop/version") == 20


def test_a_server_ends_in_order_with_whoever_held_it(reloading: Reloading) -> None:
    asyncio.run(orphaned(reloading))


async def orphaned(reloading: Reloading) -> None:
    address = await reloading.ready()
    async with connect(address, timeout=SECONDS_MAX) as client:
        assert await client.call("shop/version") == 1
        reloading.process.kill()
        reloading.process.wait()
        connection = client._keeper.connection
        assert connection is not None
        await until(lambda: not connection.is_usable, SECONDS_MAX)


async def test_it_ends_with_the_reader_of_its_output(reloading: Reloading) -> None:
    """As of `mrpc serve shop:Open --reload | head -1`."""
    await reloading.ready()
    assert reloading.process.stdout is not None
    reloading.process.stdout.close()
    assert await asyncio.to_thread(reloading.process.wait, SECONDS_MAX) == 0


async def test_who_is_ended_by_a_signal_has_the_status_that_shells_give_it() -> None:
    held = await Held.started(["shop:Open"])
    held.process.kill()
    assert await held.wait() == 128 + signal.SIGKILL


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7])
def test_ctrl_c_while_the_first_server_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MRPC_SOCKET", str(tmp_path / "none.sock"))
    (tmp_path / "shop.py").write_text(MODULE.replace("VERSION", "1"))
    words = ["serve", "shop:Open", "--listen", "127.0.0.1:0", "--reload"]
    reloader = Reloader(mrpc._parser().parse_args(words))

    async def interrupted() -> int:
        starting = asyncio.create_task(reloader.replace())
        await asyncio.sleep(seconds)
        reloader.on_signal()
        await starting
        return await reloader.end()

    assert asyncio.run(asyncio.wait_for(interrupted(), SECONDS_MAX)) == 0


def test_what_cannot_be_served_at_first_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MRPC_SOCKET", str(tmp_path / "none.sock"))
    done = subprocess.run(
        [sys.executable, "-m", "machnet_rpc.cli", "serve", "nothing:x", "--reload"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert done.returncode == 2
    assert "there is no module nothing" in done.stderr


def test_without_watchfiles_there_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert mrpc.main(["serve", "x:y", "--reload"]) == 2
    assert "pip install 'machnet-rpc[reload]'" in capsys.readouterr().err


def test_each_server_is_started_as_was_asked_for() -> None:
    way = {"engine": "/run/e.sock", "require": "bypass"}
    asked = Namespace(target="a:b", listen="127.0.0.1:0", grace=2.5, json=True, **way)
    words = "a:b --listen 127.0.0.1:0 --grace 2.5 --engine /run/e.sock --require bypass --json"
    assert reload._argv(asked) == words.split()
