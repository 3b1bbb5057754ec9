"""Recorded order flow in LOBSTER's format, as requests to a matching engine.

A line of a message file says what happened *to a resting order*; this module says what somebody
must have asked for so that it happened. New orders, partial cancels and deletes translate one to
one. The execution of a visible order becomes an immediate order of the other side, of that size
and at that price: a book with price–time priority then has to find the named order by itself.
Executions of hidden orders and halts leave the visible book alone.

The files hold neither the orders that rested before they begin nor those outside the recorded
levels, so some events name an order that was never seen. A cancel of one is asked for all the same
(and refused); an execution of one is left out, because it would trade with somebody else.

Source: LOBSTER, "Output structure" (message file), lobsterdata.com; prices there are in 1/10,000 of
a dollar.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from examples.trading.events import Event, Rejected, Traded
from examples.trading.ladder import Side

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from examples.trading.book import Book

TICK = 100  # one cent
LINE_CHARACTERS_MAX = 256


class Kind(IntEnum):
    """The second column of a message file."""

    NEW = 1
    PARTIAL_CANCEL = 2
    DELETE = 3
    EXECUTION = 4
    HIDDEN_EXECUTION = 5
    CROSS_TRADE = 6
    HALT = 7


@dataclass(frozen=True, slots=True)
class Message:
    """One line; `side` is that of the resting order."""

    time_ns: int
    kind: Kind
    order: int
    size: int
    price: int
    side: Side


@dataclass(frozen=True, slots=True)
class Place:
    """Ask for a new order; `immediate`: trade now or not at all."""

    order_id: int
    side: Side
    price_ticks: int
    size: int
    immediate: bool


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask to take `size` (None: all) off the order that was placed as `order_id`."""

    order_id: int
    size: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """A message and the request behind it; `maker_id`: the order that ought to trade."""

    message: Message
    request: Place | Cancel | None
    maker_id: int | None = None


@dataclass(slots=True)
class Tally:
    """How well a replay agrees with the record."""

    messages: int = 0
    requests: int = 0
    executions: int = 0
    executions_agreed: int = 0  # the whole size traded with the order that the file names
    executions_unknown: int = 0  # of an order that the file never introduced
    executions_hidden: int = 0
    crossed: int = 0  # new orders that should have rested but traded
    refused: int = 0  # mostly cancels of orders from before the file begins

    def note(self, step: Step, events: list[Event]) -> None:
        """Count one step and what the book answered to it."""
        self.messages += 1
        kind = step.message.kind
        if step.request is None:
            self.executions_hidden += kind is Kind.HIDDEN_EXECUTION
            self.executions_unknown += kind is Kind.EXECUTION
            return
        self.requests += 1
        self.refused += isinstance(events[0], Rejected)
        trades = [event for event in events if isinstance(event, Traded)]
        if kind is Kind.EXECUTION:
            self.executions += 1
            makers = [trade.maker_id for trade in trades]
            traded = sum(trade.size for trade in trades)
            self.executions_agreed += makers == [step.maker_id] and traded == step.message.size
        else:
            self.crossed += bool(trades)


class FormatError(ValueError):
    """A line that is not a LOBSTER message; says which line and what is wrong with it."""


@dataclass(slots=True)
class Replay:
    """Turns messages into requests whose order ids are 1, 2, 3 … in the order of the requests.

    Own ids, because an immediate order has none in the file, and because ids that only grow are
    what a gateway can remember in bounded memory.
    """

    requests: int = 0
    _placed: dict[int, int] = field(default_factory=dict)

    def step(self, message: Message) -> Step:
        """The request behind the next message, if there is one."""
        if message.kind is Kind.NEW:
            return Step(message, self._place(message, message.side, immediate=False))
        placed = self._placed.get(message.order)
        if message.kind is Kind.EXECUTION and placed is not None:
            request = self._place(message, message.side.opposite, immediate=True)
            return Step(message, request, placed)
        if message.kind in (Kind.PARTIAL_CANCEL, Kind.DELETE):
            self.requests += 1
            size = message.size if message.kind is Kind.PARTIAL_CANCEL else None
            return Step(message, Cancel(0 if placed is None else placed, size))
        return Step(message, None)

    def _place(self, message: Message, side: Side, *, immediate: bool) -> Place:
        self.requests += 1
        if not immediate:
            self._placed[message.order] = self.requests
        return Place(self.requests, side, message.price // TICK, message.size, immediate)


def apply(book: Book, request: Place | Cancel) -> list[Event]:
    """Ask a book in this process."""
    if isinstance(request, Cancel):
        return book.cancel(request.order_id, request.size)
    return book.limit(
        request.order_id,
        request.side,
        request.price_ticks,
        request.size,
        immediate=request.immediate,
    )


def steps(messages: Iterable[Message]) -> Iterator[Step]:
    """All requests behind `messages`, in their order."""
    replay = Replay()
    return (replay.step(message) for message in messages)


def read(path: Path) -> Iterator[Message]:
    """The messages of a file, one line at a time.

    Errors: FormatError, OSError.
    """
    with path.open(encoding="ascii", errors="replace") as lines:
        pieces = iter(lambda: lines.readline(LINE_CHARACTERS_MAX), "")
        for number, line in enumerate(pieces, 1):
            try:
                yield parse(line)
            except ValueError as error:
                raise FormatError(f"{path}, line {number}: {error}") from error


def parse(line: str) -> Message:
    """One line of a message file.

    Errors: ValueError.
    """
    if len(line) >= LINE_CHARACTERS_MAX:
        raise ValueError(f"a line has less than {LINE_CHARACTERS_MAX} characters")
    columns = line.split(",")
    if len(columns) != 6:
        raise ValueError(f"6 columns expected, found {len(columns)}")
    seconds, _, fraction = columns[0].partition(".")
    message = Message(
        time_ns=int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, "0") or "0"),
        kind=Kind(int(columns[1])),
        order=int(columns[2]),
        size=int(columns[3]),
        price=int(columns[4]),
        side=Side(int(columns[5])),
    )
    if message.price % TICK and message.kind in (Kind.NEW, Kind.EXECUTION):
        raise ValueError(f"price {message.price} is not a whole number of ticks of {TICK}")
    return message
