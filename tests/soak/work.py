"""The processes that `make soak` watches: `python -m tests.soak.work ROLE`.

A server says its two addresses, a client each `--every` seconds what became of its calls, in one
line of JSON. All end on SIGTERM.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import uvloop

from machnet_rpc import (
    Client,
    DeadlineExceeded,
    NotFound,
    RpcError,
    Unavailable,
    connect,
    serve,
    sync,
)
from tests.machnet_rpc.cancels import QuietBook, QuietDesk
from tests.machnet_rpc.ledger import Entry, Frozen, Ledger
from tests.machnet_rpc.tap import Drop, Tap
from transport_engine.config import EngineConfig

WORKERS: Final = 8  # calls of one client under way
PAUSE_SECONDS_MAX: Final = 0.004  # between two calls of a worker
CALLS_OF_A_CONNECTION: Final = 50_000  # after which a client connects anew
CALLS_OF_A_VISIT: Final = 200
SIZES: Final = (0, 1, 64, 1000, 1000, 1000, 4000, 70_000, 1 << 20)
SIZE_WEIGHTS: Final = (50, 50, 200, 200, 200, 200, 100, 10, 1)
TIMEOUT_SECONDS: Final = 20.0
SHORT_SECONDS: Final = 0.003
LATE_SECONDS: Final = 1.0  # beyond its deadline
ACCOUNTS: Final = 16
BALLAST: Final = random.Random(0).randbytes(2 << 20)  # calls send pieces of it


@dataclass(slots=True)
class Notes:
    """What became of calls since it was last told."""

    calls: int = 0
    late: int = 0
    wrong: Counter[str] = field(default_factory=Counter[str])
    took_us: list[float] = field(default_factory=list[float])

    def ended(self, kind: str, began: float, limit_seconds: float, problem: str | None) -> None:
        """Notes one call; `began` by time.perf_counter()."""
        took = time.perf_counter() - began
        self.calls += 1
        self.late += took > limit_seconds + LATE_SECONDS
        if problem is not None:
            self.wrong[f"{kind}: {problem}"[:200]] += 1
        if kind == "echo":
            self.took_us.append(took * 1e6)

    def tell(self) -> None:
        """Prints it and begins anew."""
        took = sorted(self.took_us)
        shares = {"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999}
        quantiles = {name: took[int(len(took) * share)] for name, share in shares.items() if took}
        said = {"calls": self.calls, "late": self.late, "wrong": dict(self.wrong)} | quantiles
        print(json.dumps(said), flush=True)
        self.calls = self.late = 0
        self.wrong, self.took_us = Counter(), []


def piece(rng: random.Random) -> bytes:
    """Some bytes, of one of the sizes."""
    (size,) = rng.choices(SIZES, SIZE_WEIGHTS)
    start = rng.randrange(len(BALLAST) - size)
    return BALLAST[start : start + size]


# -- the server --


async def be_server(socket: Path) -> None:
    """Serves by the sidecar and by an engine of its own until SIGTERM."""
    services = [QuietBook(), QuietDesk()]
    async with (
        serve(services, "127.0.0.1:0", via=socket) as beside,
        serve(services, "127.0.0.1:0", via=EngineConfig()) as inside,
    ):
        print(json.dumps({"beside": beside.address, "inside": inside.address}), flush=True)
        await terminated()


async def terminated() -> None:
    """Returns on SIGTERM."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    await asked.wait()


# -- clients --

Call = Callable[[Client, random.Random], Awaitable[str | None]]  # what was wrong, or None


async def _echo(client: Client, rng: random.Random) -> str | None:
    data = piece(rng)
    answer = await client.stub(Ledger).echo.using(timeout=TIMEOUT_SECONDS)(data)
    return None if answer == data else "other bytes"


async def _post(client: Client, rng: random.Random) -> str | None:
    entry = Entry(account=f"a{rng.randrange(ACCOUNTS)}", amount=Decimal(1), tags=["soak"])
    balance = await client.stub(Ledger).post(entry)
    return None if balance.account == entry.account else f"balance of {balance.account}"


async def _fail(client: Client, rng: random.Random) -> str | None:
    try:
        answer = await client.stub(Ledger).fail(rng.choice(["not found", "declared"]))
    except (NotFound, Frozen):
        return None
    return f"answered {answer}"


async def _miss_deadline(client: Client, rng: random.Random) -> str | None:
    try:
        await client.stub(Ledger).sleep.using(timeout=SHORT_SECONDS)(rng.uniform(1, 2))
    except DeadlineExceeded:
        return None
    except Unavailable as error:  # the time was over before a new connection was there
        return None if error.stage == "connecting" else repr(error)
    return "answered"


async def _cancel(client: Client, rng: random.Random) -> str | None:
    sleep = client.stub(Ledger).sleep.using(timeout=TIMEOUT_SECONDS)
    task = asyncio.create_task(sleep(5.0))
    await asyncio.sleep(rng.random() * SHORT_SECONDS)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return None
    return "answered"


async def _note(client: Client, rng: random.Random) -> str | None:
    await client.stub(Tap).note("soak", rng.random() * SHORT_SECONDS)
    return None


async def _read_all(client: Client, rng: random.Random) -> str | None:
    count, size = rng.choice([(0, 0), (3, 10), (100, 1000)])
    numbers = [int.from_bytes(item[:4], "big") async for item in client.stub(Tap).run(count, size)]
    return None if numbers == list(range(count)) else f"items {numbers[:10]}"


async def _leave_early(client: Client, rng: random.Random) -> str | None:
    wanted = rng.randrange(5)
    async with client.stub(Tap).run(1000, 100) as items:
        async for item in items:
            if int.from_bytes(item[:4], "big") == wanted:
                return None
    return "ended"


async def _drops(count: int) -> AsyncIterator[Drop]:
    for number in range(count):
        yield Drop(number)


async def _send_all(client: Client, rng: random.Random) -> str | None:
    count = rng.choice([0, 5, 100])
    total = await client.stub(Tap).total(_drops(count))
    return None if total == count * (count - 1) // 2 else f"total {total}"


async def _talk(client: Client, rng: random.Random) -> str | None:
    count = rng.choice([0, 5, 50])
    heard = [drop.number async for drop in client.stub(Tap).echo(_drops(count), "x")]
    return None if heard == list(range(count)) else f"heard {heard[:10]}"


CALLS: Final[dict[Call, int]] = {  # and how often each is made
    _echo: 60,
    _post: 10,
    _fail: 5,
    _miss_deadline: 2,
    _cancel: 4,
    _note: 4,
    _read_all: 4,
    _leave_early: 3,
    _send_all: 4,
    _talk: 4,
}


async def _work(client: Client, rng: random.Random, notes: Notes, calls: int) -> None:
    """So many calls of all kinds, a pause after each."""
    kinds, weights = list(CALLS), list(CALLS.values())
    for _ in range(calls):
        (call,) = rng.choices(kinds, weights)
        limit = SHORT_SECONDS if call is _miss_deadline else TIMEOUT_SECONDS
        began = time.perf_counter()
        try:
            problem = await call(client, rng)
        except RpcError as error:
            problem = repr(error)
        notes.ended(call.__name__.strip("_"), began, limit, problem)
        await asyncio.sleep(rng.random() * PAUSE_SECONDS_MAX)


async def be_client(address: str, via: Any, every_seconds: float) -> None:
    """Calls until SIGTERM, and connects anew now and then."""
    notes, rng = Notes(), random.Random(os.getpid())

    async def call_on() -> None:
        while True:
            async with connect(address, via=via) as client, asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(_work(client, rng, notes, CALLS_OF_A_CONNECTION // WORKERS))

    async def tell() -> None:
        while True:
            await asyncio.sleep(every_seconds)
            notes.tell()

    calling, telling = asyncio.create_task(call_on()), asyncio.create_task(tell())
    stopped = asyncio.create_task(terminated())
    await asyncio.wait([calling, telling, stopped], return_when=asyncio.FIRST_COMPLETED)
    for task in (calling, telling):
        if task.done():
            task.result()  # it failed
        task.cancel()
    await asyncio.wait([calling, telling])
    notes.tell()


async def be_visitor(address: str, via: Any) -> None:
    """A few calls, and then waits to be ended, one way or another."""
    notes = Notes()
    async with connect(address, via=via) as client:
        await _work(client, random.Random(os.getpid()), notes, CALLS_OF_A_VISIT)
        notes.tell()
        await terminated()


def _blocking_calls(client: sync.Client, rng: random.Random) -> list[Callable[[], str | None]]:
    """One call of each kind; each returns what was wrong, or None."""
    one, fails = client.method(Ledger.echo), client.method(Ledger.fail)
    items = client.method(Tap.run)

    def echo() -> str | None:
        data = piece(rng)
        return None if one(data) == data else "other bytes"

    def fail() -> str | None:
        try:
            return f"answered {fails('not found')}"
        except NotFound:
            return None

    def read_all() -> str | None:
        numbers = [int.from_bytes(item[:4], "big") for item in items(20, 100)]
        return None if numbers == list(range(20)) else f"items {numbers[:10]}"

    def many() -> str | None:
        datas = [piece(rng)[:1000] for _ in range(8)]
        return None if client.call_many(Ledger.echo, datas) == datas else "other bytes"

    return [echo, echo, fail, read_all, many]


def be_blocking(address: str, via: Any, every_seconds: float) -> None:
    """The blocking client, until SIGTERM."""
    notes, rng = Notes(), random.Random(os.getpid())
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    told = time.monotonic()
    while not asked:
        with sync.connect(address, via=via) as client:
            calls = _blocking_calls(client, rng)
            for _ in range(CALLS_OF_A_CONNECTION):
                call = rng.choice(calls)
                began = time.perf_counter()
                try:
                    problem = call()
                except RpcError as error:
                    problem = repr(error)
                notes.ended(call.__name__, began, TIMEOUT_SECONDS, problem)
                if time.monotonic() > told + every_seconds:
                    told = time.monotonic()
                    notes.tell()
                if asked:
                    break
                time.sleep(rng.random() * PAUSE_SECONDS_MAX)
    notes.tell()


def main() -> None:
    """Plays the role that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["server", "client", "blocking", "visitor"])
    parser.add_argument("--address", default="")
    parser.add_argument("--engine", type=Path, help="the sidecar; else an engine of its own")
    parser.add_argument("--every", type=float, default=10.0)
    given = parser.parse_args()
    via = given.engine or EngineConfig()
    match given.role:
        case "server":
            uvloop.run(be_server(given.engine))
        case "client":
            uvloop.run(be_client(given.address, via, given.every))
        case "visitor":
            uvloop.run(be_visitor(given.address, via))
        case _:
            be_blocking(given.address, via, given.every)


if __name__ == "__main__":
    main()
