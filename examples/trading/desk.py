"""Sessions on top of a book: who asked for what, what was answered, what happened since.

A session numbers its commands 1, 2, 3 … and the desk executes them in that order, each once. So the
number makes resending safe: a command seen before gets its first answer again, and the same number
with another content is an error. Every table is bounded; pure, no clock, no wire.

Where all places are taken, the session ends that has been silent for longest, if nothing of it is
open and nobody attends it: its answers and reports go, its numbers stay, so that whoever comes
back goes on after the last one, and nothing that comes late is executed twice.

Source: the client table of B. Liskov and J. Cowling, "Viewstamped Replication Revisited", 2012,
§4.1, with more than one command under way; FIX 4.2's ClOrdID for the manners.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from examples.trading.book import ORDERS_MAX, Book
from examples.trading.events import Accepted, Canceled, Event, Reason, Rejected, Replaced, Traded
from examples.trading.ladder import Side
from examples.trading.orders import (
    Answer,
    CancelOrder,
    Command,
    NewOrder,
    PriceLevel,
    ReplaceOrder,
    Report,
    Reports,
    SessionState,
    Snapshot,
    What,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

SESSION_NAME_MAX = 64
PAGE_MAX = 1000  # reports in an answer, and in a page of them


@dataclass(frozen=True, slots=True)
class DeskLimits:
    """How much a desk remembers."""

    orders_max: int = ORDERS_MAX
    sessions_max: int = 1024
    ended_max: int = 65_536  # whose numbers are known
    silence_ns: int = 300_000_000_000  # without a command or a trade, before a session may end
    answers_max: int = 4096  # of each session, for commands that are sent again
    answered_max: int = 65_536  # reports in those, of each session
    reports_max: int = 65_536  # of each session, for `reports`


class DeskError(Exception):
    """A command that was not executed, now or ever before, unless the kind says otherwise."""


class IdReusedError(DeskError):
    """The id belongs to another command of this session."""


class IdForgottenError(DeskError):
    """The command was executed, or may have been if its session has ended; the answer is gone."""


class IdAheadError(DeskError):
    """Commands before this one are missing."""


class TooManySessionsError(DeskError):
    """The table of sessions is full, and none may end yet."""


class TakenOverError(DeskError):
    """Another client attends the session from now on."""


class ReportsGoneError(DeskError):
    """The reports asked for were dropped, oldest first."""


class _Session:
    __slots__ = (
        "_reports_max",
        "answered",
        "answers",
        "heard_ns",
        "name",
        "newest",
        "next_id",
        "order_ids",
        "reports",
    )

    def __init__(self, name: str, state: SessionState, reports_max: int) -> None:
        self.name = name
        self.heard_ns = 0
        self.next_id = state.next_id
        self.newest = state.newest
        self.answers: OrderedDict[int, tuple[Command, Answer]] = OrderedDict()
        self.answered = 0  # reports in the answers
        self.reports: dict[int, Report] = {}  # by sequence, the oldest first
        self._reports_max = reports_max
        self.order_ids: dict[int, int] = {}  # by command id, while they rest

    def report(
        self,
        order: int,
        what: What,
        price_ticks: int | None,
        size: int,
        left: int,
        *,
        reason: str = "",
    ) -> Report:
        self.newest += 1
        report = Report(self.newest, order, what, price_ticks, size, left, reason)
        self.reports[self.newest] = report
        self.reports.pop(self.newest - self._reports_max, None)
        return report


class Desk:
    """One book and all who trade on it.

    Errors: DeskError and its kinds; what the *book* refuses is a report, not an error.
    """

    def __init__(self, limits: DeskLimits | None = None) -> None:
        self.limits = limits or DeskLimits()
        self.commands = 0
        self.attended: Container[str] = ()  # names of sessions that do not end
        self.on_reports: Callable[[str], None] = lambda _: None  # a session has new ones
        self._book = Book(orders_max=self.limits.orders_max)
        self._sessions: OrderedDict[str, _Session] = OrderedDict()  # the longest silent first
        self._ended: OrderedDict[str, SessionState] = OrderedDict()  # the earliest first
        self._forgotten = SessionState(1, 0)  # not below that of any whose end is forgotten
        self._owners: dict[int, tuple[_Session, int]] = {}  # by order id, while they rest

    def next_id(self, session: str) -> int:
        """The id of the next command to be executed in `session`."""
        return self.state(session).next_id

    def execute(self, command: Command, now_ns: int = 0) -> Answer:
        """Execute the session's next command, or answer an earlier one again.

        Units: `now_ns` by any clock that does not go back.
        Errors: IdReusedError, IdForgottenError, IdAheadError, TooManySessionsError.
        """
        session = self._session(command.session)
        if command.id != session.next_id:
            answer = self._answered(session, command)
            self._hear(session, now_ns)
            return answer
        self._seat(session, now_ns)
        self.commands += 1
        order_id = self.commands  # unique for ever: one command makes at most one order
        if isinstance(command, NewOrder):
            order, events = command.id, self._place(order_id, command)
            self._owners[order_id] = (session, order)
            session.order_ids[order] = order_id
        else:
            order, (order_id, events) = command.order, self._amend(session, command)
        own = self._reports(session, order, order_id, events, now_ns)
        answer = Answer(command.id, own[:PAGE_MAX], more=max(len(own) - PAGE_MAX, 0))
        session.next_id += 1
        session.answers[command.id] = (command, answer)
        session.answered += len(answer.reports)
        limits = self.limits
        while len(session.answers) > limits.answers_max or session.answered > limits.answered_max:
            _, (_, oldest) = session.answers.popitem(last=False)
            session.answered -= len(oldest.reports)
        return answer

    def leave(self, name: str, now_ns: int = 0) -> None:
        """Cancel all that `session` has open, which its reports tell."""
        session = self._session(name)
        for order, order_id in list(session.order_ids.items()):
            size = self._open_size(order_id)
            self._book.cancel(order_id)
            self._forget(order_id)
            reason = Reason.DISCONNECTED.value
            session.report(order, What.CANCELED, None, size, 0, reason=reason)
            self._hear(session, now_ns)
            self.on_reports(name)

    def has_orders(self, name: str) -> bool:
        """Whether `session` has anything open."""
        return bool(self._session(name).order_ids)

    def state(self, name: str) -> SessionState:
        """Where `session` stands; it need not exist, or may have ended."""
        session = self._sessions.get(name)
        if session is None:
            return self._ended.get(name, self._forgotten)
        return SessionState(session.next_id, session.newest)

    def reports(self, name: str, after: int, limit: int) -> Reports:
        """Up to `limit` reports of `session` with a sequence above `after`.

        Errors: ReportsGoneError.
        """
        session = self._session(name)
        after = max(after, 0)
        first = session.newest - len(session.reports) + 1
        if after + 1 < first:
            raise ReportsGoneError(
                f"reports before {first} are gone; ask for those after {first - 1}"
            )
        last = min(after + min(limit, PAGE_MAX), session.newest)
        page = [session.reports[sequence] for sequence in range(after + 1, last + 1)]
        return Reports(page, session.newest)

    def snapshot(self, depth: int) -> Snapshot:
        """The best `depth` levels of both sides."""
        depth = min(depth, self.limits.orders_max)
        return Snapshot(self.commands, *(levels(self._book, side, depth) for side in Side))

    def audit(self) -> None:
        """Check that the tables agree with the book.

        Errors: AssertionError, for a bug in this module or in the book.
        """
        self._book.audit()
        assert len(self._owners) == len(self._book), "owners of orders that do not rest"
        for order_id, (session, order) in self._owners.items():
            assert order_id in self._book, "an owner of no order"
            assert session.order_ids[order] == order_id, "an order with two owners"
        held = sum(len(session.order_ids) for session in self._sessions.values())
        assert held == len(self._owners), "sessions hold orders that do not rest"
        assert not self._sessions.keys() & self._ended.keys(), "a session that is and has ended"
        heard = [session.heard_ns for session in self._sessions.values()]
        assert heard == sorted(heard), "sessions are not in the order of their silence"

    def _session(self, name: str) -> _Session:
        """Where it has no place in the table, one that stands where that name stands."""
        session = self._sessions.get(name)
        return session or _Session(name, self.state(name), self.limits.reports_max)

    def _seat(self, session: _Session, now_ns: int) -> None:
        """Give it its place in the table, which it takes with a command that is executed."""
        if session.name not in self._sessions:
            check_name(session.name)
            if len(self._sessions) >= self.limits.sessions_max:
                self._end_one(now_ns)
            self._ended.pop(session.name, None)
            self._sessions[session.name] = session
        self._hear(session, now_ns)

    def _hear(self, session: _Session, now_ns: int) -> None:
        session.heard_ns = now_ns
        self._sessions.move_to_end(session.name)

    def _end_one(self, now_ns: int) -> None:
        """End the session that has been silent for longest, of those that may end."""
        most = f"at most {self.limits.sessions_max} sessions"
        may_end = (
            each
            for each in self._sessions.values()
            if not each.order_ids and each.name not in self.attended
        )
        session = next(may_end, None)
        if session is None:
            raise TooManySessionsError(f"{most}, and each has an open order or is attended")
        wait_ns = session.heard_ns + self.limits.silence_ns - now_ns
        if wait_ns > 0:
            raise TooManySessionsError(f"{most}; ask again in {-(-wait_ns // 10**9)} s")
        del self._sessions[session.name]
        self._ended[session.name] = SessionState(session.next_id, session.newest)
        if len(self._ended) > self.limits.ended_max:
            _, ended = self._ended.popitem(last=False)
            next_id = max(ended.next_id, self._forgotten.next_id)
            self._forgotten = SessionState(next_id, max(ended.newest, self._forgotten.newest))

    def _answered(self, session: _Session, command: Command) -> Answer:
        if command.id < 1:
            raise DeskError(f"command {command.id} was never executed: they are numbered from 1")
        if command.id > session.next_id:
            raise IdAheadError(f"command {command.id} is early: {session.next_id} comes next")
        first = session.answers.get(command.id)
        if first is None:
            kept = f"the answer to command {command.id} is no longer kept"
            raise IdForgottenError(f"{kept}: {session.next_id} comes next")
        if first[0] != command:
            raise IdReusedError(f"id {command.id} was another command: {first[0]}")
        return first[1]

    def _place(self, order_id: int, command: NewOrder) -> list[Event]:
        side, size = command.side, command.size
        if command.price_ticks is None:
            return self._book.market(order_id, side, size)
        return self._book.limit(
            order_id, side, command.price_ticks, size, immediate=command.immediate
        )

    def _amend(
        self, session: _Session, command: CancelOrder | ReplaceOrder
    ) -> tuple[int, list[Event]]:
        order_id = session.order_ids.get(command.order)
        if order_id is None:
            return 0, [Rejected(0, Reason.UNKNOWN)]
        if isinstance(command, CancelOrder):
            return order_id, self._book.cancel(order_id, command.size)
        return order_id, self._book.replace(order_id, command.price_ticks, command.size)

    def _reports(
        self,
        session: _Session,
        order: int,
        order_id: int,
        events: Iterable[Event],
        now_ns: int,
    ) -> list[Report]:
        """Tell everybody concerned; returns what concerns `order`."""
        own: list[Report] = []
        for event in events:
            own.append(_own_report(session, order, event, self._open_size(order_id)))
            if isinstance(event, Traded):
                maker, maker_order = self._owners[event.maker_id]
                price, size, left = event.price_ticks, event.size, event.maker_left
                maker.report(maker_order, What.FILLED, price, size, left)
                self._hear(maker, now_ns)
                self.on_reports(maker.name)
                if not left:
                    self._forget(event.maker_id)
        if order_id in self._owners and order_id not in self._book:
            self._forget(order_id)
        self.on_reports(session.name)
        return own

    def _open_size(self, order_id: int) -> int:
        return self._book.order(order_id).size if order_id in self._book else 0

    def _forget(self, order_id: int) -> None:
        session, order = self._owners.pop(order_id)
        del session.order_ids[order]

    def __repr__(self) -> str:
        return f"<Desk {self.commands} commands, {len(self._sessions)} sessions, {self._book}>"


def check_name(session: str) -> None:
    """Errors: DeskError for what no session can be called."""
    if not 0 < len(session) <= SESSION_NAME_MAX:
        raise DeskError(f"session names have 1 to {SESSION_NAME_MAX} characters")


def levels(book: Book, side: Side, depth: int) -> list[PriceLevel]:
    """The best `depth` levels of one side."""
    return [
        PriceLevel(level.price_ticks, [order.size for order in level])
        for level in islice(book.levels(side), max(depth, 0))
    ]


def _own_report(session: _Session, order: int, event: Event, open_size: int) -> Report:
    """`open_size` is what a refused change leaves of the order."""
    match event:
        case Accepted():
            return session.report(order, What.ACCEPTED, event.price_ticks, event.size, event.size)
        case Traded():
            price, size, left = event.price_ticks, event.size, event.taker_left
            return session.report(order, What.FILLED, price, size, left)
        case Canceled():
            return session.report(
                order, What.CANCELED, None, event.size, event.left, reason=event.reason.value
            )
        case Replaced():
            return session.report(order, What.REPLACED, event.price_ticks, event.size, event.size)
        case Rejected():
            return session.report(
                order, What.REJECTED, None, 0, open_size, reason=event.reason.value
            )
