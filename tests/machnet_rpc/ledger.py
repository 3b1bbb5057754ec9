"""The contract that tests call, and an implementation that notes what it does."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal

from pydantic import BaseModel, Field

from machnet_rpc import NotFound, current_call, rpc, service


class Entry(BaseModel):
    account: str
    amount: Decimal
    tags: list[str] = Field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Balance:
    account: str
    amount: Decimal


@dataclass
class Overdrawn(Exception):
    """Declared by the contract, so it travels as what it is."""

    account: str
    missing: Decimal


class Frozen(Exception):
    """Declared too; its data are its arguments."""


class Undeclared(Exception):
    pass


@service("ledger", version=3, errors=[Frozen])
class Ledger:
    @rpc(errors=[Overdrawn])
    async def post(self, entry: Entry) -> Balance:
        raise NotImplementedError

    @rpc(idempotent=True)
    async def balance(self, account: str, currency: str = "EUR") -> Balance | None:
        raise NotImplementedError

    @rpc(idempotent=True)
    async def echo(self, data: bytes) -> bytes:
        raise NotImplementedError

    @rpc(lane=15)
    async def repeat(self, data: bytes, times: int) -> bytes:
        raise NotImplementedError

    @rpc
    async def nothing(self) -> None:
        raise NotImplementedError

    @rpc(timeout=0.05)
    async def sleep(self, seconds: float) -> str:
        raise NotImplementedError

    @rpc
    async def fail(self, how: str) -> int:
        raise NotImplementedError

    @rpc
    async def remaining(self) -> float | None:
        raise NotImplementedError


class LedgerBook(Ledger):
    """Notes in `journal` what starts, ends and is cancelled."""

    def __init__(self) -> None:
        self.amounts: dict[str, Decimal] = {}
        self.journal: list[str] = []

    @rpc
    async def post(self, entry: Entry) -> Balance:
        amount = self.amounts.get(entry.account, Decimal(0)) + entry.amount
        if amount < 0:
            raise Overdrawn(entry.account, -amount)
        self.amounts[entry.account] = amount
        return Balance(entry.account, amount)

    @rpc
    async def balance(self, account: str, currency: str = "EUR") -> Balance | None:
        amount = self.amounts.get(account)
        return None if amount is None else Balance(f"{account}/{currency}", amount)

    @rpc
    async def echo(self, data: bytes) -> bytes:
        return data

    @rpc
    async def repeat(self, data: bytes, times: int) -> bytes:
        self.journal.append(data[:8].decode())
        return data * times

    @rpc
    async def nothing(self) -> None:
        self.journal.append("nothing")

    @rpc
    async def sleep(self, seconds: float) -> str:
        self.journal.append("start")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.journal.append("cancelled")
            raise
        self.journal.append("end")
        return current_call().peer

    @rpc
    async def fail(self, how: str) -> int:
        match how:
            case "not found":
                raise NotFound("no such row", next_step="Insert it first.")
            case "declared":
                raise Frozen("until", 2027)
            case "undeclared":
                raise Undeclared("secret?")
            case "cancelled":
                raise asyncio.CancelledError("by itself")
            case "wrong result":
                return "text"  # type: ignore[return-value]
            case "exit":
                raise SystemExit(3)
            case _:
                return 0

    @rpc
    async def remaining(self) -> float | None:
        return current_call().remaining
