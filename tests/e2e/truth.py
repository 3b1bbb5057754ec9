"""Whether `executed` is true: calls under kill -9 of everybody, held against the server's journal.

`python -m tests.e2e.truth --calls 100000` prints what failed calls said, by rung. Server, clients
and engines are processes; a random one is killed again and again, in the midst of calls, and
replaced. A handler writes into a file that it runs, before anything else; a client writes what it
is told. Half of the handlers end at once, the others wait for 1 to 20 ms, as those of a database
do, and each client has 32 calls under way: so most calls that a kill ends are in handlers.
"""

import argparse
import asyncio
import json
import os
import random
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from machnet_rpc import RpcError, connect, rpc, serve, service
from tests.e2e.direct_kills import end, forked, free_port
from tests.e2e.processes import MRPC, Running, stand_still
from transport_engine.config import EngineConfig
from transport_engine.errors import TransportError
from transport_engine.starts_file import default_folder

RUNGS: Final = {"direct": 1, "sidecar": 2, "inline": 0}  # and how many engines there are
CLIENTS: Final = 2
WINDOW: Final = 32  # calls of one client under way
TIMEOUT_SECONDS: Final = 10.0
CALLS_BETWEEN: Final = 250  # that end between two kills
WAIT_SECONDS_MAX: Final = 30.0
LULL_SECONDS_MAX: Final = 0.02
UNMADE: Final = ("connecting", "encoding")  # stages of calls that were never under way
ENTRY: Final = struct.Struct("<Q8s24s")  # a call's number, what it was told, and the stage


@service("e2e.Truth", version=1)
class Truth:
    """Notes in a journal that it runs."""

    @rpc(timeout=TIMEOUT_SECONDS)
    async def visit(self, number: int, wait_seconds: float) -> int:
        """The number."""
        raise NotImplementedError


class TruthServer(Truth):
    """Writes first."""

    def __init__(self, journal: int) -> None:
        self._journal = journal

    @rpc
    async def visit(self, number: int, wait_seconds: float) -> int:
        note(self._journal, number, "runs")
        if wait_seconds:
            await asyncio.sleep(wait_seconds)
        return number


def note(journal: int, number: int, fate: str, stage: str = "") -> None:
    """One line that outlives this process."""
    os.write(journal, ENTRY.pack(number, fate.encode(), stage.encode()))


def journal_at(path: Path) -> int:
    """A file to which lines of many processes go whole."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


# -- the processes that are killed --


async def serve_until_killed(folder: Path, address: str, engine: Path | None) -> None:
    """A server that comes back on the port of the one before it."""
    journal = journal_at(folder / "executed")
    while True:
        try:
            async with serve(TruthServer(journal), address, via=engine or EngineConfig()):
                await asyncio.Event().wait()
        except TransportError:  # the port is not free yet, or there is no engine
            await asyncio.sleep(0.005)


async def call_until_told(folder: Path, address: str, engine: Path | None, client: int) -> None:
    """Calls without a pause until the file `over` is there."""
    journal = journal_at(folder / "told")
    numbers = iter(range(client << 32, (client + 1) << 32))
    rng = random.Random(client)

    async def call_on() -> None:
        for number in numbers:
            if (folder / "over").exists():
                return
            wait_seconds = rng.uniform(0.001, 0.020) if number % 2 else 0.0
            try:
                assert await visit(number, wait_seconds) == number
            except RpcError as error:
                note(journal, number, error.executed, error.stage)
            else:
                note(journal, number, "answer")

    while True:
        try:
            async with connect(address, via=engine or EngineConfig()) as connected:
                visit = connected.stub(Truth).visit
                async with asyncio.TaskGroup() as group:
                    for _ in range(WINDOW):
                        group.create_task(call_on())
            return
        except TransportError:  # there is no engine yet
            await asyncio.sleep(0.005)


# -- who kills them --


@dataclass(slots=True)
class Verdict:
    """What the journals say."""

    rung: str
    calls: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)  # by executed, of calls under way
    stages: Counter[str] = field(default_factory=Counter)
    unmade: int = 0  # failures of calls that never left
    wrong: list[str] = field(default_factory=list)

    @property
    def maybe(self) -> float:
        """The share of failures that do not know."""
        return self.failures["maybe"] / max(self.failures.total(), 1)

    def figures(self) -> dict[str, Any]:
        """For a line of JSON."""
        return {
            "rung": self.rung,
            "calls": self.calls,
            "kills": dict(self.kills),
            "failures": dict(self.failures),
            "stages": dict(self.stages),
            "never_left": self.unmade,
            "maybe": f"{self.maybe:.1%}",
            "wrong": len(self.wrong),
            "wrong_first": self.wrong[:5],
        }


class Siege:
    """The processes of one rung."""

    def __init__(self, folder: Path, rung: str, seed: int) -> None:
        self._folder = folder
        self._verdict = Verdict(rung)
        self._random = random.Random(seed)
        self._address = f"127.0.0.1:{free_port()}"
        self._sockets = [folder / f"engine{number}.sock" for number in range(RUNGS[rung])]
        self._engines: dict[int, Running] = {}
        self._server = 0  # process ids
        self._clients: set[int] = set()
        self._numbers = 0  # of clients so far
        self.victims: list[str] = []  # who is killed; nobody named: everybody

    def run(self, calls: int) -> Verdict:
        """Kills until that many calls have ended."""
        try:
            self.start()
            while len(self._clients) < CLIENTS:
                self._start_client()
            while self._ended() < calls:
                self._await_calls()
                self._kill_one()
                self._show(calls)
            (self._folder / "over").touch()
            for pid in self._clients:
                os.waitpid(pid, 0)
            self._clients.clear()
        finally:
            self.stop()
        judge(self._folder, self._verdict)
        return self._verdict

    def start(self) -> tuple[str, Path | EngineConfig]:
        """Starts engines and the server: its address, and how a client gets there."""
        for number in range(len(self._sockets)):
            self._start_engine(number)
        self._start_server()
        return self._address, self._sockets[-1] if self._sockets else EngineConfig()

    def stop_server(self) -> None:
        """It stands still from then on."""
        stand_still(self._server)

    def replace_server(self, *, with_engine: bool = False) -> None:
        """Kills it, and its engine before it has said anything, and starts the next ones."""
        if with_engine:
            self._engines[0].kill()
        end(self._server)
        if with_engine:
            self._replace_engine(0)
        self._start_server()

    def stop(self) -> None:
        """Ends all of it."""
        for pid in (self._server, *self._clients):
            end(pid)
        for engine in self._engines.values():
            engine.stop()
        for left in default_folder().glob(f"{self._address}.*"):
            left.unlink()

    def _start_engine(self, number: int) -> None:
        socket = self._sockets[number]
        config = socket.with_suffix(".toml")
        config.write_text(f'[engine]\ndriver = "udp"\nport = 0\n[control]\nsocket = "{socket}"\n')
        engine = Running([*MRPC, "engine", "--json", "--config", str(config)])
        self._engines[number] = engine
        engine.line()

    def _replace_engine(self, number: int) -> None:
        engine = self._engines.pop(number)
        engine.kill()
        assert engine.process.stdout is not None
        engine.process.stdout.close()
        self._start_engine(number)

    def _start_server(self) -> None:
        engine = self._sockets[0] if self._sockets else None
        self._server = forked(lambda: serve_until_killed(self._folder, self._address, engine))

    def _start_client(self) -> None:
        self._numbers += 1
        number, engine = self._numbers, self._sockets[-1] if self._sockets else None
        self._clients.add(
            forked(lambda: call_until_told(self._folder, self._address, engine, number))
        )

    def _ended(self) -> int:
        path = self._folder / "told"
        return path.stat().st_size // ENTRY.size if path.exists() else 0

    def _await_calls(self) -> None:
        wanted = self._ended() + CALLS_BETWEEN
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while self._ended() < wanted:
            assert time.monotonic() < deadline, "no call ends any more"
            time.sleep(0.002)
        time.sleep(self._random.uniform(0, LULL_SECONDS_MAX))

    def _kill_one(self) -> None:
        victims = ["server", "client", *map(str, self._engines)]
        victim = self._random.choice([each for each in victims if each in self.victims] or victims)
        match victim:
            case "server":
                self.replace_server()
            case "client":
                pid = self._random.choice(sorted(self._clients))
                end(pid)
                self._clients.remove(pid)
                self._start_client()
            case _:
                self._replace_engine(int(victim))
                victim = f"engine {victim}"
        self._verdict.kills[victim] += 1

    def _show(self, calls: int) -> None:
        if sys.stderr.isatty():
            done, rung = self._ended(), self._verdict.rung
            sys.stderr.write(
                f"\r{rung}: {done} of {calls} calls, {self._verdict.kills.total()} kills "
            )


def entries(path: Path) -> Iterator[tuple[int, str, str]]:
    """What a journal holds."""
    data = path.read_bytes()
    for number, fate, stage in ENTRY.iter_unpack(data[: len(data) // ENTRY.size * ENTRY.size]):
        yield number, fate.rstrip(b"\0").decode(), stage.rstrip(b"\0").decode()


def judge(folder: Path, verdict: Verdict) -> None:
    """Holds what clients were told against what servers did."""
    executed = Counter(number for number, _, _ in entries(folder / "executed"))
    for number, fate, stage in entries(folder / "told"):
        verdict.calls += 1
        times = executed[number]
        if fate == "answer":
            is_wrong = times != 1
        else:
            is_wrong = (fate == "no" and times > 0) or (fate == "yes" and times == 0)
            if stage in UNMADE:
                verdict.unmade += 1
            else:
                verdict.failures[fate] += 1
                verdict.stages[f"{fate}, {stage}"] += 1
        if is_wrong:
            verdict.wrong.append(f"call {number}: {fate} ({stage}), and ran {times} times")


def main() -> int:
    """Runs what the command line asks for; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000, help="of all rungs together")
    parser.add_argument("--rung", choices=list(RUNGS), action="append")
    parser.add_argument("--victim", action="append", default=[], help="server, client, 0 or 1")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rungs = arguments.rung or list(RUNGS)
    are_true = True
    for rung in rungs:
        with tempfile.TemporaryDirectory() as folder:
            siege = Siege(Path(folder), rung, arguments.seed)
            siege.victims = arguments.victim
            verdict = siege.run(arguments.calls // len(rungs))
        print(json.dumps(verdict.figures()))
        are_true = are_true and not verdict.wrong
    return 0 if are_true else 1


if __name__ == "__main__":
    sys.exit(main())
