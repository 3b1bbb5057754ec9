"""kill -9 of servers and clients that call each other straight: what became of calls and memory.

`python -m tests.e2e.direct_kills --kills 100` prints the figures. One sidecar, one server and two
clients, each a process; whoever is killed is replaced by a fork. Clients and servers write each
call's fate into journals, which outlive them, and at the end the journals must agree.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from machnet_rpc import RpcError, connect, rpc, serve, service
from tests.e2e.processes import MRPC, Running
from transport_engine.errors import TransportError

ENGINE: Final = "[engine]\nport = 0\n[control]\n"
CLIENTS: Final = 2
WINDOW: Final = 16  # calls of one client under way
SIZES: Final = (0, 64, 1024, 1024, 100_000)
TIMEOUT_SECONDS: Final = 5.0
PROGRESS: Final = 30  # answers between two kills
WAIT_SECONDS_MAX: Final = 20.0
LULL_SECONDS_MAX: Final = 0.01
ENTRY: Final = struct.Struct("<Qc7x")  # a call's number and what became of it
MADE, ANSWERED, REFUSED_NO, REFUSED_MAYBE, REFUSED_YES, ELSEWHERE = (
    b"m", b"a", b"n", b"?", b"y", b"e",
)  # fmt: skip
FATES: Final = {"no": REFUSED_NO, "maybe": REFUSED_MAYBE, "yes": REFUSED_YES}


@service("e2e.Kills", version=1)
class Kills:
    """Notes in a journal that it ran."""

    @rpc(timeout=TIMEOUT_SECONDS)
    async def visit(self, number: int, ballast: bytes) -> int:
        """The number."""
        raise NotImplementedError


class KillsServer(Kills):
    """Writes first, then answers."""

    def __init__(self, journal: int) -> None:
        self._journal = journal

    @rpc
    async def visit(self, number: int, ballast: bytes) -> int:
        os.write(self._journal, ENTRY.pack(number, MADE))
        if number % 5 == 0:
            await asyncio.sleep(0.001)
        return number


# -- the processes that are killed --


async def serve_until_killed(folder: Path, address: str) -> None:
    """A server that comes back on the port of the one before it."""
    journal = os.open(folder / "executed", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        try:
            async with serve(KillsServer(journal), address, via=folder / "engine.sock"):
                await asyncio.Event().wait()
        except TransportError:  # the port is not free yet
            await asyncio.sleep(0.002)


async def call_until_told(folder: Path, address: str, client_number: int) -> None:
    """Calls without a pause until the file `over` is there."""
    journal = os.open(folder / "fates", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    numbers = iter(range(client_number << 32, (client_number + 1) << 32))

    async def call_on() -> None:
        for number in numbers:
            if (folder / "over").exists():
                return
            os.write(journal, ENTRY.pack(number, MADE))
            try:
                assert await visit(number, bytes(SIZES[number % len(SIZES)])) == number
            except RpcError as error:
                fate = FATES[error.executed]
            else:
                fate = ANSWERED if client.transport.rung == "direct" else ELSEWHERE
            os.write(journal, ENTRY.pack(number, fate))

    async with connect(address, via=folder / "engine.sock") as client:
        visit = client.stub(Kills).visit
        async with asyncio.TaskGroup() as group:
            for _ in range(WINDOW):
                group.create_task(call_on())


def forked(work: Callable[[], Any]) -> int:
    """A child that does this and ends; its process id."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            asyncio.run(work())
            status = 0
        finally:
            os._exit(status)
    return pid


# -- who kills them --


class Siege:
    """One engine and the processes that call each other by it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._address = f"127.0.0.1:{free_port()}"
        self._server = 0  # process ids
        self._clients: set[int] = set()
        self._numbers = 0  # of clients so far

    def run(self, kills: int) -> dict[str, Any]:
        """Kills that many processes; returns what the journals say."""
        config = self._folder / "engine.toml"
        config.write_text(f'{ENGINE}socket = "{self._folder / "engine.sock"}"\n')
        engine = Running([*MRPC, "engine", "--json", "--config", str(config)])
        try:
            engine.line()
            before = descriptors(engine.pid)
            self._server = self._start_server()
            self._clients = {self._start_client() for _ in range(CLIENTS)}
            started = time.monotonic()
            for _ in range(kills):
                self._await_answers()
                self._kill_one()
            seconds = time.monotonic() - started
            statuses = self._end()
            after = settled(engine.pid, before)
        finally:
            for pid in (self._server, *self._clients):
                end(pid)
            engine.stop()
        return {
            "kills": kills,
            "seconds": round(seconds, 1),
            "clients_that_ended_badly": sum(status != 0 for status in statuses),
            "descriptors_more": after - before,
            **judged(self._folder),
        }

    def _start_server(self) -> int:
        return forked(lambda: serve_until_killed(self._folder, self._address))

    def _start_client(self) -> int:
        self._numbers += 1
        number = self._numbers
        return forked(lambda: call_until_told(self._folder, self._address, number))

    def _await_answers(self) -> None:
        """Until some calls more have ended, so that every kill meets a load."""
        wanted = self._size() + 2 * PROGRESS * ENTRY.size
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while self._size() < wanted:
            assert time.monotonic() < deadline, "no call ends any more"
            time.sleep(0.001)
        time.sleep(self._random.uniform(0, LULL_SECONDS_MAX))

    def _size(self) -> int:
        path = self._folder / "fates"
        return path.stat().st_size if path.exists() else 0

    def _kill_one(self) -> None:
        victim = self._random.choice([self._server, *sorted(self._clients)])
        end(victim)
        if victim == self._server:
            self._server = self._start_server()
        else:
            self._clients.remove(victim)
            self._clients.add(self._start_client())

    def _end(self) -> list[int]:
        """Has the clients end by themselves, then ends the server; the clients' statuses."""
        (self._folder / "over").touch()
        statuses = [os.waitpid(pid, 0)[1] for pid in self._clients]
        self._clients.clear()
        end(self._server)
        self._server = 0
        return statuses


def end(pid: int) -> None:
    """Kills a child, if there is one."""
    if pid > 0:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def free_port() -> int:
    """A UDP port of loopback that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def settled(pid: int, before: int) -> int:
    """Descriptors of the engine once it has seen that everybody is gone; bounded."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while descriptors(pid) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    return descriptors(pid)


def descriptors(pid: int) -> int:
    """That a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def entries(path: Path) -> Iterator[tuple[int, bytes]]:
    """What a journal holds."""
    data = path.read_bytes()
    yield from ENTRY.iter_unpack(data[: len(data) // ENTRY.size * ENTRY.size])


def judged(folder: Path) -> dict[str, Any]:
    """Holds what clients were told against what servers did."""
    executed = Counter(number for number, _ in entries(folder / "executed"))
    made: Counter[int] = Counter()
    ended: Counter[int] = Counter()
    fates: Counter[str] = Counter()
    wrong: list[str] = []
    for number, fate in entries(folder / "fates"):
        if fate == MADE:
            made[number] += 1
            continue
        ended[number] += 1
        fates[fate.decode()] += 1
        if fate == REFUSED_NO and executed[number]:
            wrong.append(f"call {number} said that it had not run, and had")
        if fate in (ANSWERED, ELSEWHERE) and executed[number] != 1:
            wrong.append(f"call {number} was answered, and ran {executed[number]} times")
    wrong += [f"call {number} ran {times} times" for number, times in executed.items() if times > 1]
    wrong += [f"call {number} ended {times} times" for number, times in ended.items() if times > 1]
    return {
        "calls": len(made),
        "without_an_end": len(made.keys() - ended.keys()),  # whose client was killed
        "answered": fates["a"] + fates["e"],
        "answered_straight": fates["a"],
        "failed_no": fates["n"],
        "failed_maybe": fates["?"],
        "failed_yes": fates["y"],
        "wrong": wrong[:10],
    }


def main() -> int:
    """Runs what the command line asks for; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = Siege(Path(folder), arguments.seed).run(arguments.kills)
    print(json.dumps(figures))
    return 1 if figures["wrong"] or figures["descriptors_more"] > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
