"""Plays recorded order flow against an order gateway and checks every answer.

Beside the gateway it keeps a desk of its own, which sees the same commands; every answer, and in
the end the book, must be equal.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from examples.load import LoadResult, Meter, run_load
from examples.trading.contract import Gateway
from examples.trading.desk import Desk, IdAheadError
from examples.trading.lobster import Cancel, Message, Place, steps
from examples.trading.orders import (
    Answer,
    CancelOrder,
    Command,
    NewOrder,
    ReplaceOrder,
    What,
)
from machnet_rpc import RpcError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

ATTEMPTS_MAX = 6
ATTEMPT_PAUSE = 0.005  # seconds; doubles
DEPTH = 1_000_000
TAIL = 100  # reports compared at the end


class NotAnsweredError(Exception):
    """A command failed as often as it may be sent."""


@dataclass(frozen=True, slots=True)
class Played:
    """What a load measured, and what the check of its answers found."""

    load: LoadResult
    answers: int  # that were compared
    wrong: int
    fills: int  # that answers tell of; not those left to `reports`
    sent_again: int
    levels: int  # of the final book, on both sides
    book_is_equal: bool

    @property
    def is_right(self) -> bool:
        """Every answer and the final book are as they must be."""
        return self.wrong == 0 and self.book_is_equal


def commands(messages: Iterable[Message], session: str) -> Iterator[Command]:
    """The commands of a session that does all that `messages` tell of."""
    requests = (step.request for step in steps(messages))
    for number, request in enumerate((r for r in requests if r is not None), 1):
        yield command_of(request, session, number)


def command_of(request: Place | Cancel, session: str, number: int) -> Command:
    """A request as the gateway takes it."""
    if isinstance(request, Cancel):
        return CancelOrder(session, number, request.order_id, request.size)
    return NewOrder(
        session, number, request.side, request.price_ticks, request.size, request.immediate
    )


class Player:
    """A client that knows what it ought to be answered."""

    def __init__(self, gateway: Gateway) -> None:
        self.meter = Meter()
        self.desk = Desk()
        self.answers = self.wrong = self.fills = self.sent_again = 0
        self._gateway = gateway
        self._under_way: dict[int, None] = {}  # numbers, the earliest first
        self._early: dict[int, asyncio.Event] = {}  # by number: waiting for its turn

    async def perform(self, command: Command) -> None:
        """Send one command; must be called in the order of the commands."""
        expected = self.desk.execute(command)
        self._under_way[command.id] = None
        answer = await self.meter.call(self._answer(command))
        was_earliest = self._is_earliest(command)
        del self._under_way[command.id]
        if was_earliest and self._early:
            self._call_early()
            await asyncio.sleep(0)  # they go before the next command
        self.answers += 1
        self.wrong += answer != expected
        self.fills += sum(report.what is What.FILLED for report in answer.reports)

    async def played(self, load: LoadResult, session: str) -> Played:
        """The result of a load, after a last look at the book and the reports."""
        expected, snapshot = self.desk.snapshot(DEPTH), await self._gateway.snapshot(DEPTH)
        after = max(self.desk.state(session).newest - TAIL, 0)
        reports = await self._gateway.reports(session, after, TAIL)
        return Played(
            load=load,
            answers=self.answers,
            wrong=self.wrong + (reports != self.desk.reports(session, after, TAIL)),
            fills=self.fills,
            sent_again=self.sent_again,
            levels=len(snapshot.bids) + len(snapshot.asks),
            book_is_equal=snapshot == expected,
        )

    async def _answer(self, command: Command) -> Answer:
        """Send until there is an answer: its number makes that safe, whatever became of it."""
        attempts = 0
        last = ""
        if self._early:  # this one would come too early as well, and the next one, and so on
            await self._turn(command)
        while attempts < ATTEMPTS_MAX:
            try:
                return await self._send(command)
            except (RpcError, IdAheadError) as error:
                last = str(error)
                self.meter.note_error(error)
                self.sent_again += 1
                if isinstance(error, IdAheadError) and not self._is_earliest(command):
                    await self._turn(command)
                    continue
            await asyncio.sleep(ATTEMPT_PAUSE * 2**attempts)
            attempts += 1
        raise NotAnsweredError(f"no answer to {command} after {ATTEMPTS_MAX} attempts: {last}")

    async def _turn(self, command: Command) -> None:
        """Wait until the earliest, which was lost, is answered."""
        turn = self._early[command.id] = asyncio.Event()
        await turn.wait()

    def _call_early(self) -> None:
        """Let those go, in their order, before which nothing is missing any more."""
        for number in self._under_way:
            turn = self._early.pop(number, None)
            if turn is None:
                break
            turn.set()

    def _is_earliest(self, command: Command) -> bool:
        return next(iter(self._under_way)) == command.id

    def _send(self, command: Command) -> Awaitable[Answer]:
        if isinstance(command, NewOrder):
            return self._gateway.place(command)
        if isinstance(command, ReplaceOrder):
            return self._gateway.replace(command)
        return self._gateway.cancel(command)


class SessionInUseError(Exception):
    """The session has executed commands already; a replay needs a new one, and an empty book."""


async def play(
    gateway: Gateway,
    messages: Iterable[Message],
    *,
    session: str,
    window: int,
    progress: Callable[[int], None] | None = None,
) -> Played:
    """Send all commands behind `messages`, `window` of them under way at a time.

    Errors: SessionInUseError, NotAnsweredError, RpcError.
    """
    # Also opens the connection, so that from the first command on sending order is arrival order.
    state, book = await gateway.session(session), await gateway.snapshot(1)
    if state.next_id != 1 or book.commands:
        raise SessionInUseError(f"the gateway has seen {book.commands} commands; start a new one")
    player = Player(gateway)
    load = await run_load(
        commands(messages, session),
        player.perform,
        window=window,
        meter=player.meter,
        progress=progress,
    )
    return await player.played(load, session)
