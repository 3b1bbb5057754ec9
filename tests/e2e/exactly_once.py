"""Keyed calls over a wire that loses and doubles packets, to a server that is killed all the time.

`python -m tests.e2e.exactly_once --calls 100000` prints what became of them. The server commits
what a call does and its reply in one transaction (SQLite); nothing there would keep it from doing
both twice. Client and server have a sidecar each, on loopback; every fifth kill is of the server's.
Exit status 1 if a call was not executed once, or its reply was lost or another one.
"""

import argparse
import asyncio
import json
import random
import sqlite3
import sys
import tempfile
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import machnet_rpc
from machnet_rpc import Client, RpcError, current_call, rpc, service
from tests.e2e.processes import Fleet, Running
from transport_engine import read_stats

ENGINE: Final = (
    'driver = "udp"\naddress = "127.0.0.1"\nport = 0\n'
    "[engine.faults]\nloss = {rate}\nduplicate = {rate}\nseed = {seed}"
)
TIMEOUT_SECONDS: Final = 120.0
LULL_SECONDS_MAX: Final = 0.02
ENGINE_KILLS: Final = 5  # one of so many kills is of the engine
PROGRESS_SECONDS: Final = 5.0
SLOW: Final = 8  # one of so many handlers waits before its transaction, and another one after it
SLOW_SECONDS: Final = 0.002


@service("e2e.Ledger")
class Ledger:
    """Books, and says under which number it did."""

    @rpc(timeout=TIMEOUT_SECONDS, idempotent="keyed")
    async def book(self, number: int) -> int:
        """The number of the entry."""
        raise NotImplementedError


class LedgerServer(Ledger):
    """Entries and replies in one database. It is the store of its own replies."""

    def __init__(self, path: Path) -> None:
        self._database = opened(path)

    @rpc
    async def book(self, number: int) -> int:
        if number % SLOW == 0:
            await asyncio.sleep(SLOW_SECONDS)
        call, execute = current_call(), self._database.execute
        execute("begin immediate")
        entry = execute("insert into entries (number) values (?)", (number,)).lastrowid
        assert entry is not None
        execute("insert into replies values (?, ?)", (call.key, call.reply_to_store(entry)))
        execute("commit")
        if number % SLOW == 1:
            await asyncio.sleep(SLOW_SECONDS)
        return entry

    async def find(self, key: str) -> bytes | None:
        row: tuple[bytes] | None
        row = self._database.execute("select reply from replies where key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    async def commit(self, key: str, reply: bytes) -> None:
        self._database.execute("insert into replies values (?, ?)", (key, reply))


def opened(path: Path) -> sqlite3.Connection:
    """The database, in which nothing has to be unique; a kill of the process loses no commit."""
    database = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "pragma journal_mode = wal",
        "pragma synchronous = off",
        "create table if not exists entries (entry integer primary key, number integer)",
        "create table if not exists replies (key text, reply blob)",
        "create index if not exists by_key on replies (key)",
    ):
        database.execute(statement)
    return database


@dataclass(slots=True)
class Outcome:
    """What became of the calls, and what was done to them."""

    calls: int = 0
    executed_twice: int = 0
    not_executed: int = 0
    lost_replies: int = 0
    wrong_replies: int = 0
    kills: int = 0
    engine_kills: int = 0
    retries: int = 0
    packets_lost: int = 0
    packets_doubled: int = 0
    seconds: float = 0.0
    errors: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        broken = self.executed_twice, self.not_executed, self.lost_replies, self.wrong_replies
        return self.calls > 0 and not any(broken)

    def as_dict(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


class Trial:
    """One client, and one server after the other."""

    def __init__(self, fleet: Fleet, calls: int, kills: int, rate: float) -> None:
        self.outcome = Outcome(calls=calls)
        self._fleet = fleet
        self._engine: Running
        self._kills = kills
        self._rate = rate
        self._random = random.Random(calls)
        self._path = fleet.folder / "ledger.db"
        self._numbers = iter(range(calls))
        self._replies: dict[int, int] = {}
        self._ended = 0
        self._next_kill = self._between = calls // (kills + 1)
        self._is_time = asyncio.Event()
        self._is_over = False
        opened(self._path).close()

    async def run(self, window: int) -> Outcome:
        """Makes the calls, so many at once."""
        started = time.monotonic()
        ours, theirs = self._started("client", 1), self._started("server", 2)
        self._engine = self._fleet.latest
        address, server = await self._served(theirs, "127.0.0.1:0")
        async with machnet_rpc.connect(address, via=ours) as client, asyncio.TaskGroup() as group:
            telling = group.create_task(self._tell())
            killing = group.create_task(self._kill(theirs, address, server))
            async with asyncio.TaskGroup() as callers:
                for _ in range(window):
                    callers.create_task(self._call(client))
            self._is_over = True
            self._is_time.set()
            await killing
            telling.cancel()
            await self._count_packets(ours, theirs)
            retries = client._retries
            assert retries is not None
            self.outcome.retries = retries.made
        self._judge()
        self.outcome.seconds = round(time.monotonic() - started, 1)
        return self.outcome

    async def _call(self, client: Client) -> None:
        book = client.stub(Ledger).book
        for number in self._numbers:
            try:
                self._replies[number] = await book(number)
            except RpcError as error:
                self.outcome.lost_replies += 1
                self.outcome.errors.append(str(error))
                del self.outcome.errors[10:]
            self._ended += 1
            if self._ended >= self._next_kill:
                self._is_time.set()

    async def _kill(self, engine: Path, address: str, server: Running) -> None:
        """Kills the server, or its engine, after every so many calls, and starts the next."""
        outcome = self.outcome
        while outcome.kills + outcome.engine_kills < self._kills:
            await self._is_time.wait()
            if self._is_over:
                return
            await asyncio.sleep(self._random.uniform(0.0, LULL_SECONDS_MAX))
            if (outcome.kills + outcome.engine_kills + 1) % ENGINE_KILLS:
                outcome.kills += 1
                await asyncio.to_thread(server.kill)
                _, server = await self._served(engine, address)
            else:
                outcome.engine_kills += 1
                await self._count_packets(engine)
                await asyncio.to_thread(self._engine.kill)
                await asyncio.to_thread(self._fleet.engine_again, "server")
                self._engine = self._fleet.latest
            self._next_kill += self._between
            if self._ended < self._next_kill and not self._is_over:
                self._is_time.clear()

    def _started(self, name: str, seed: int) -> Path:
        """An engine that loses and doubles what arrives."""
        return self._fleet.engine(name, ENGINE.format(rate=self._rate, seed=seed))

    async def _served(self, engine: Path, address: str) -> tuple[str, Running]:
        """A server that accepts calls, and its address."""
        argv = [sys.executable, "-m", "tests.e2e.exactly_once", "--serve", address]
        argv += ["--engine", str(engine), "--database", str(self._path)]
        server = await asyncio.to_thread(self._fleet.start, argv)
        said = await asyncio.to_thread(server.line)
        return said["address"], server

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            kills = self.outcome.kills + self.outcome.engine_kills
            print(f"{self._ended} calls, {kills} kills", file=sys.stderr, flush=True)

    async def _count_packets(self, *engines: Path) -> None:
        for engine in engines:
            stats = await read_stats(engine)
            self.outcome.packets_lost += stats["faults_lost"]
            self.outcome.packets_doubled += stats["faults_duplicated"]

    def _judge(self) -> None:
        """Compares the replies with what stands in the database."""
        outcome = self.outcome
        booked: dict[int, list[int]] = {number: [] for number in range(outcome.calls)}
        database = opened(self._path)
        for entry, number in database.execute("select entry, number from entries"):
            booked[number].append(entry)
        database.close()
        outcome.executed_twice = sum(len(entries) > 1 for entries in booked.values())
        outcome.not_executed = sum(not entries for entries in booked.values())
        outcome.wrong_replies = sum(
            reply not in booked[number] for number, reply in self._replies.items()
        )


async def serve(address: str, engine: Path, database: Path) -> None:
    """Serves until the process ends."""
    ledger = LedgerServer(database)
    async with machnet_rpc.serve(ledger, address, via=engine, replies=ledger) as server:
        print(json.dumps({"address": server.address}), flush=True)
        await asyncio.Event().wait()


async def tried(folder: Path, calls: int, kills: int, rate: float, window: int) -> Outcome:
    """One trial, in processes of its own."""
    with Fleet(folder) as fleet:
        return await Trial(fleet, calls, kills, rate).run(window)


def main() -> int:
    """Runs what the command line asks for; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--kills", type=int, help="by default one for 1000 calls")
    parser.add_argument("--rate", type=float, default=0.05, help="of packets lost, and doubled")
    parser.add_argument("--window", type=int, default=64, help="calls under way at once")
    parser.add_argument("--serve", metavar="ADDRESS", help=argparse.SUPPRESS)
    parser.add_argument("--engine", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--database", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.serve, given.engine, given.database))
        return 0
    kills = max(given.calls // 1000, 1) if given.kills is None else given.kills
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(tried(Path(folder), given.calls, kills, given.rate, given.window))
    print(json.dumps(outcome.as_dict()))
    return 0 if outcome.is_exact else 1


if __name__ == "__main__":
    sys.exit(main())
