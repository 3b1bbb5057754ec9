"""A keyed contract, an implementation whose callers lose their flows, and a store in SQLite."""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

from machnet_rpc import current_call, rpc, service
from machnet_rpc.context import CURRENT


class SoldOut(Exception):
    """Declared by the contract."""


@service("shop", errors=[SoldOut])
class Shop:
    @rpc(timeout=5.0, idempotent="keyed")
    async def place(self, item: str, count: int = 1) -> str:
        raise NotImplementedError


class ShopServer(Shop):
    """Notes what was placed; `cuts` of the calls lose their flow once they were."""

    def __init__(self) -> None:
        self.placed: list[str] = []
        self.keys: list[str | None] = []
        self.cuts = 0
        self.raises: Callable[[], Exception] | None = None
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.ended = 0

    @rpc
    async def place(self, item: str, count: int = 1) -> str:
        self.placed.append(item)
        self.keys.append(current_call().key)
        if self.cuts:
            self.cuts -= 1
            call = CURRENT.get()
            assert call is not None
            call.connection.close()
        await self.may_end.wait()
        if self.raises is not None:
            raise self.raises()
        self.ended += 1
        return f"{count} {item} as order {len(self.placed)}"


class Replies:
    """A ReplyStore, and orders in the same transactions."""

    def __init__(self, path: str = ":memory:") -> None:
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.execute("create table if not exists orders (item)")
        self.database.execute("create table if not exists replies (key primary key, reply)")
        self.found = 0
        self.committed = 0
        self.is_broken = False

    async def find(self, key: str) -> bytes | None:
        self.found += 1
        self._check()
        row: tuple[bytes] | None
        row = self.database.execute("select reply from replies where key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    async def commit(self, key: str, reply: bytes) -> None:
        self.committed += 1
        self._check()
        self.database.execute("insert into replies values (?, ?)", (key, reply))

    def orders(self) -> list[Any]:
        return [item for (item,) in self.database.execute("select item from orders")]

    def _check(self) -> None:
        if self.is_broken:
            raise sqlite3.OperationalError("disk I/O error")


class StoredShop(Shop):
    """Commits each order with its reply."""

    def __init__(self, replies: Replies) -> None:
        self._database = replies.database
        self.cuts = 0
        self.ran = 0

    @rpc
    async def place(self, item: str, count: int = 1) -> str:
        self.ran += 1
        call, receipt = current_call(), f"{count} {item}"
        self._database.execute("begin immediate")
        try:
            self._database.execute("insert into orders values (?)", (item,))
            row = (call.key, call.reply_to_store(receipt))
            self._database.execute("insert into replies values (?, ?)", row)
            if item == "nothing":
                raise SoldOut("there is no nothing")
        except BaseException:
            self._database.execute("rollback")
            raise
        self._database.execute("commit")
        if self.cuts:
            self.cuts -= 1
            current = CURRENT.get()
            assert current is not None
            current.connection.close()
            await asyncio.sleep(0.001)
        return receipt
