"""Calls that end at random points: `python -m tests.machnet_rpc.cancels --calls 1000000`.

Unary, one-way and streaming calls are cancelled after some steps of the event loop or some time,
left early, given too little time, or let end. Then nothing may be left: no call, future, stream,
deadline, task or queued message, on either side; and memory has stopped to grow.
"""

import argparse
import asyncio
import gc
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from machnet_rpc import Client, MemoryNetwork, RpcError, Server, connect, serve
from machnet_rpc._aio.handler_task import HandlerTask
from machnet_rpc._protocol.calls import IncomingCall, OutgoingCall
from machnet_rpc._protocol.stream_table import IncomingStream, OutgoingStream
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from tests.machnet_rpc.leftovers import nothing_left
from tests.machnet_rpc.tap import Drop, Tap, TapDesk
from tests.machnet_rpc.waiting import until
from transport_engine.config import EngineConfig

WORKERS = 64
STEPS_MAX = 25  # of the event loop before a call is cancelled
SECONDS_MAX = 0.002  # the same by the clock
LENGTHS = (0, 1, 2, 3, 5, 8, 13, 100)  # of streams
MOURNED = (OutgoingCall, IncomingCall, OutgoingStream, IncomingStream, HandlerTask, asyncio.Future)


class Storm:
    """Makes the calls, and counts how they end."""

    def __init__(self, client: Client, seed: int) -> None:
        self.ends: Counter[str] = Counter()
        self._client = client
        self._pick = random.Random(seed)
        self._made = 0

    async def run(self, calls: int) -> None:
        """So many calls more."""
        self._left = calls
        await asyncio.gather(*(self._work() for _ in range(WORKERS)))

    async def _work(self) -> None:
        while self._left > 0:
            self._left -= 1
            await self._one()

    async def _one(self) -> None:
        pick = self._pick
        timeout = pick.choice([pick.random() * SECONDS_MAX, 30.0])
        task = asyncio.ensure_future(self._call(timeout))
        fate = pick.randrange(3)
        if fate == 0:
            for _ in range(pick.randrange(STEPS_MAX)):
                await asyncio.sleep(0)
            task.cancel()
        elif fate == 1:
            asyncio.get_running_loop().call_later(pick.random() * SECONDS_MAX, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            self.ends["cancelled"] += 1
        except RpcError as error:
            self.ends[error.code.name] += 1
        else:
            self.ends["ended"] += 1

    def _call(self, timeout: float) -> Awaitable[object]:
        pick = self._pick
        ledger, tap = self._client.stub(Ledger), self._client.stub(Tap)
        calls: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: ledger.echo.using(timeout=timeout)(b"e" * pick.choice([0, 100, 70_000])),
            lambda: ledger.sleep.using(timeout=timeout)(pick.random() * SECONDS_MAX),
            lambda: tap.note.using(timeout=timeout)("", pick.random() * SECONDS_MAX),
            lambda: self._read(tap.run.using(timeout=timeout)(pick.choice(LENGTHS), 20)),
            lambda: tap.total.using(timeout=timeout)(self._drops()),
            lambda: tap.first.using(timeout=timeout)(self._drops()),
            lambda: self._read(tap.echo.using(timeout=timeout)(self._drops(), "y")),
        )
        return pick.choice(calls)()

    async def _read(self, items: Any) -> None:
        """Reads all, or leaves early: by the loop, or by the block."""
        leaves_after = self._pick.choice([0, 3, 1000])
        if self._pick.random() < 0.5:
            async for _ in items:
                leaves_after -= 1
                if leaves_after < 0:
                    break
            return
        async with items:
            async for _ in items:
                leaves_after -= 1
                if leaves_after < 0:
                    break

    async def _drops(self) -> AsyncIterator[Drop]:
        for number in range(self._pick.choice(LENGTHS)):
            if self._pick.random() < 0.05:
                await asyncio.sleep(0)
            yield Drop(number)


class QuietDesk(TapDesk):
    """Keeps no journal: it would grow."""

    def __init__(self) -> None:
        super().__init__()
        self.journal = Nothing()


class QuietBook(LedgerBook):
    """The same."""

    def __init__(self) -> None:
        super().__init__()
        self.journal = Nothing()


class Nothing(list[str]):
    """A journal without entries."""

    def append(self, entry: str, /) -> None:
        pass


def alive() -> Counter[str]:
    """What of each mourned kind there is, after what is garbage was collected."""
    gc.collect()
    return Counter(
        type(each).__name__ for each in gc.get_objects() if issubclass(type(each), MOURNED)
    )


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


async def storm(calls: int, seed: int, via: Via, rounds: int = 10) -> dict[str, Any]:
    """The calls in some rounds, and what was left after each."""
    async with (
        serve([QuietBook(), QuietDesk()], "127.0.0.1:0", via=via) as server,
        connect(server.address, via=via) as client,
    ):
        await client.stub(Ledger).nothing()
        await asyncio.sleep(0)
        before = alive()
        work = Storm(client, seed)
        memory: list[int] = []
        started = time.perf_counter()
        for _ in range(rounds):
            await work.run(calls // rounds)
            await _silence(client, server)
            gc.collect()
            memory.append(resident_bytes())
        seconds = time.perf_counter() - started
        left = alive() - before
        tasks = len(asyncio.all_tasks()) - 1
    return {
        "calls": sum(work.ends.values()),
        "ends": dict(work.ends),
        "left": dict(left),
        "tasks": tasks,
        "resident_mib": [round(each / (1 << 20), 1) for each in memory],
        "seconds": round(seconds, 1),
    }


async def _silence(client: Client, server: Server) -> None:
    await until(lambda: nothing_left(client, server), seconds=20)
    await asyncio.sleep(SECONDS_MAX)  # the timers that would have cancelled
    await asyncio.sleep(0)  # and the future of that sleep


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--via", choices=["memory", "inline"], default="inline")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    arguments = parser.parse_args()
    via: Via = MemoryNetwork() if arguments.via == "memory" else EngineConfig()
    factory = uvloop.new_event_loop if arguments.loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        report = runner.run(storm(arguments.calls, arguments.seed, via))
    print(json.dumps(report, indent=2))
    return 1 if report["left"] or report["tasks"] else 0


if __name__ == "__main__":
    sys.exit(main())
