"""kill -9 of the engine under load, again and again: who was told when, and what became of calls.

One server and several clients, each with a channel of its own, in one process; the engine is
another. `python -m tests.e2e.engine_kills --kills 200` prints the figures. Every call carries a
number and the process id of the engine that it was made through; the server notes both.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import machnet_rpc
from machnet_rpc import Client, RpcError, Server, rpc, service
from machnet_rpc._aio.flows import FlowKeeper
from machnet_rpc._transports.sidecar import SidecarLink
from tests.e2e.processes import MRPC, Running
from transport_engine.errors import TransportError

ENGINE: Final = (
    '[engine]\ndriver = "udp"\nport = 0\n[control]\nsocket = "{socket}"\ndirect = {direct}\n'
)
CLIENTS: Final = 4
WINDOW: Final = 8  # calls of one client under way
SIZES: Final = (0, 64, 1024, 100_000)
TIMEOUT_SECONDS: Final = 20.0
BACK_SECONDS_MAX: Final = 20.0
LULL_SECONDS_MAX: Final = 0.05
CALLS_BETWEEN: Final = 50  # at least, from one kill to the next
ANY_ENGINE: Final = 0  # of a call that waits for one


@service("e2e.Epochs", version=1)
class Epochs:
    """Says through which engine it was reached."""

    @rpc(timeout=TIMEOUT_SECONDS)
    async def visit(self, number: int, engine: int, ballast: bytes) -> int:
        """The process id of the server's engine."""
        raise NotImplementedError


@dataclass(slots=True)
class Notes:
    """What was seen."""

    told_ms: list[float] = field(default_factory=list)
    back_ms: list[float] = field(default_factory=list)  # after the next engine was ready
    outcomes: Counter[str] = field(default_factory=Counter)
    executed: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    made: int = 0
    ended: int = 0


class EpochsServer(Epochs):
    """Notes who came by what way."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self.server: Server | None = None

    @rpc
    async def visit(self, number: int, engine: int, ballast: bytes) -> int:
        assert self.server is not None
        here = engine_pid(self.server._link)
        self._notes.executed[number] += 1
        if engine not in (ANY_ENGINE, here):
            self._notes.wrong.append(f"call {number} crossed from engine {engine} to {here}")
        await asyncio.sleep(0.0 if number % 3 else 0.002)
        return here


class Siege:
    """The applications, and one engine after the other."""

    def __init__(self, folder: Path, seed: int, *, direct: bool) -> None:
        self.notes = Notes()
        self._random = random.Random(seed)
        self._socket = folder / "engine.sock"
        self._config = folder / "engine.toml"
        self._config.write_text(ENGINE.format(socket=self._socket, direct=str(direct).lower()))
        self._killed_at = self._ready_at = 0.0
        self._missing = 0  # applications that are not back yet
        self._back = asyncio.Event()
        self._untold = 0
        self._told = asyncio.Event()
        self._is_over = False
        self._calls_until_kill = 0
        self._is_time = asyncio.Event()

    async def run(self, kills: int) -> Notes:
        """Kills that many engines; returns what was seen."""
        engine = await self._started()
        handler = EpochsServer(self.notes)
        server = handler.server = Server(handler)
        try:
            await server.listen("127.0.0.1:0", via=self._socket)
            clients = [
                machnet_rpc.connect(server.address, via=self._socket) for _ in range(CLIENTS)
            ]
            for client in clients:
                await client.open()
            self._watch(server, lambda: server._reattaching)
            for client in clients:
                self._watch(client._keeper, restoring_of(client._keeper))
            async with asyncio.TaskGroup() as group:
                for client in clients * WINDOW:
                    group.create_task(self._call_on(client))
                for _ in range(kills):
                    engine = await self._replaced(engine)
                self._is_over = True
            for client in clients:
                await client.close()
            await server.close()
        finally:
            engine.stop()
        return self.notes

    async def _started(self) -> Running:
        argv = [*MRPC, "engine", "--json", "--config", str(self._config)]
        engine = await asyncio.to_thread(Running, argv)
        await asyncio.to_thread(engine.line)
        self._ready_at = time.monotonic()
        return engine

    async def _replaced(self, engine: Running) -> Running:
        """Kills an engine in the midst of calls; returns the next, once everybody is back."""
        self._calls_until_kill = CALLS_BETWEEN
        self._is_time.clear()
        await self._is_time.wait()
        await asyncio.sleep(self._random.uniform(0.0, LULL_SECONDS_MAX))
        self._missing = self._untold = CLIENTS + 1
        self._told.clear()
        self._back.clear()
        self._ready_at = 0.0
        self._killed_at = time.monotonic()
        engine.process.kill()
        async with asyncio.timeout(BACK_SECONDS_MAX):
            await self._told.wait()  # to start a process holds this one up
        following = asyncio.create_task(self._started())
        await asyncio.to_thread(engine.kill)
        assert engine.process.stdout is not None
        engine.process.stdout.close()
        engine = await following
        async with asyncio.timeout(BACK_SECONDS_MAX):
            await self._back.wait()
        return engine

    def _watch(self, owner: Any, restoring: Callable[[], Any]) -> None:
        """Notes when an application was told, and when it was back."""
        on_lost = owner.on_link_lost

        def on_back(_: object) -> None:
            late = time.monotonic() - self._ready_at if self._ready_at else 0.0
            self.notes.back_ms.append(late * 1e3)
            self._missing -= 1
            if self._missing == 0:
                self._back.set()

        def on_link_lost(error: TransportError) -> None:
            self.notes.told_ms.append((time.monotonic() - self._killed_at) * 1e3)
            self._untold -= 1
            if self._untold == 0:
                self._told.set()
            on_lost(error)
            restoring().add_done_callback(on_back)

        owner.on_link_lost = on_link_lost

    async def _call_on(self, client: Client) -> None:
        notes = self.notes
        visit = client.stub(Epochs).visit
        while not self._is_over:
            notes.made += 1
            number = notes.made
            size = SIZES[number % len(SIZES)]
            through = engine_of(client)
            started = time.monotonic()
            try:
                answered_by = await visit(number, through, bytes(size))
            except RpcError as error:
                outcome = f"failed, executed {error.executed}"
                if error.executed == "no" and notes.executed[number]:
                    notes.wrong.append(f"call {number} was executed, and said that it was not")
            else:
                outcome = "answered"
                if notes.executed[number] != 1:
                    notes.wrong.append(f"call {number} was executed {notes.executed[number]} times")
                if through not in (ANY_ENGINE, answered_by):
                    notes.wrong.append(f"the answer to {number} crossed to {through}")
            if time.monotonic() - started > TIMEOUT_SECONDS + 1.0:
                notes.wrong.append(f"call {number} ended after its deadline")
            notes.outcomes[outcome] += 1
            notes.ended += 1
            self._calls_until_kill -= 1
            if self._calls_until_kill <= 0:
                self._is_time.set()


def engine_pid(link: object) -> int:
    """Of the engine behind a sidecar's link."""
    assert isinstance(link, SidecarLink)
    return link.engine.pid


def engine_of(client: Client) -> int:
    """Of the engine through which a call that is made now travels."""
    keeper = client._keeper
    connection, pump = keeper.connection, keeper.pump
    is_ready = connection is not None and connection.is_usable and pump is not None
    return engine_pid(pump.link) if is_ready and pump and not pump.port.outbox.full else ANY_ENGINE


def restoring_of(keeper: FlowKeeper) -> Callable[[], Any]:
    """What brings a client back, when it is asked."""
    return lambda: keeper._restoring


def summary(notes: Notes) -> dict[str, Any]:
    """The figures."""

    def spread(values_ms: list[float]) -> dict[str, float]:
        ordered = sorted(values_ms)
        return {
            "p50": round(statistics.median(ordered), 1),
            "p99": round(ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)], 1),
            "max": round(ordered[-1], 1),
        }

    repeated = [number for number, times in notes.executed.items() if times > 1]
    return {
        "told_ms": spread(notes.told_ms),
        "back_ms": spread(notes.back_ms),
        "calls": notes.made,
        "calls_ended": notes.ended,
        "outcomes": dict(notes.outcomes),
        "executed_twice": len(repeated),
        "wrong": notes.wrong[:10],
    }


def main() -> int:
    """Runs what the command line asks for; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--direct", action="store_true", help="past the engine")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        siege = Siege(Path(folder), arguments.seed, direct=arguments.direct)
        notes = asyncio.run(siege.run(arguments.kills))
    print(json.dumps(summary(notes)))
    return 1 if notes.wrong or notes.made != notes.ended else 0


if __name__ == "__main__":
    sys.exit(main())
