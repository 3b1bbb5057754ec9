"""The desk against a model: sessions that come, go, resend, race, trade and end, in any order.

The model keeps every command, answer and report for ever, and says what is gone by counting. It
shares the words of `orders.py` with the desk, and the reference book stands for the book.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from examples.trading.desk import (
    Desk,
    DeskError,
    DeskLimits,
    IdAheadError,
    IdForgottenError,
    IdReusedError,
    ReportsGoneError,
    TooManySessionsError,
)
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
    SessionState,
    What,
)

from .reference_book import ReferenceBook

SECOND = 1_000_000_000
LIMITS = DeskLimits(
    orders_max=5,
    sessions_max=3,
    ended_max=2,
    silence_ns=10 * SECOND,
    answers_max=4,
    reports_max=9,
)
NAMES = st.sampled_from(["a", "b", "c", "d", "e", "f"])
PRICES, SIZES = st.integers(0, 4), st.integers(0, 4)
SIDES = st.sampled_from(list(Side))


@dataclass
class Client:
    """What one session was told, and what it may still ask."""

    next_id: int = 1
    newest: int = 0
    said: dict[int, tuple[Command, Answer]] = field(default_factory=dict)  # since it has its place
    reports: list[Report] = field(default_factory=list)  # since it has its place
    open: dict[int, int] = field(default_factory=dict)  # by command, the order's id in the book
    heard_ns: int = 0

    def told(self, *facts: object) -> Report:
        self.newest += 1
        self.reports.append(Report(self.newest, *facts))  # type: ignore[arg-type]
        return self.reports[-1]


class Trading(RuleBasedStateMachine):
    """Every rule asks the desk, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(LIMITS)
        self.attended: set[str] = set()
        self.desk.attended = self.attended
        self.book = ReferenceBook(orders_max=LIMITS.orders_max)
        self.seated: dict[str, Client] = {}  # the longest silent first
        self.ended: dict[str, SessionState] = {}
        self.least = SessionState(1, 0)  # where a session begins of which nothing is known
        self.orders = 0
        self.now_ns = 0

    # What the model says.

    def state(self, name: str) -> SessionState:
        client = self.seated.get(name)
        if client is not None:
            return SessionState(client.next_id, client.newest)
        return self.ended.get(name, self.least)

    def hear(self, name: str) -> None:
        client = self.seated.pop(name)
        client.heard_ns = self.now_ns
        self.seated[name] = client

    def may_end(self) -> str | None:
        """Who gives up its place, if anybody may."""
        for name, client in self.seated.items():
            if not client.open and name not in self.attended:
                return name if self.now_ns - client.heard_ns >= LIMITS.silence_ns else None
        return None

    def seat(self, name: str) -> None:
        if name in self.seated:
            return
        at = self.state(name)  # whoever gives up its place now is another one
        if len(self.seated) == LIMITS.sessions_max:
            gone = self.may_end()
            assert gone is not None, "the desk gave a place that it had not"
            self.ended[gone] = self.state(gone)
            del self.seated[gone]
            if len(self.ended) > LIMITS.ended_max:
                first = self.ended.pop(next(iter(self.ended)))
                least = self.least
                self.least = SessionState(
                    max(least.next_id, first.next_id), max(least.newest, first.newest)
                )
        self.ended.pop(name, None)
        self.seated[name] = Client(at.next_id, at.newest)

    def has_place(self, name: str) -> bool:
        is_full = len(self.seated) == LIMITS.sessions_max
        return name in self.seated or not is_full or self.may_end() is not None

    def events_of(self, name: str, command: Command) -> tuple[int, list[Event]]:
        """The command at the reference book; also the id of its order there."""
        if isinstance(command, NewOrder):
            side, price, size = command.side, command.price_ticks, command.size
            if price is None:
                return self.orders, self.book.market(self.orders, side, size)
            now = command.immediate
            return self.orders, self.book.limit(self.orders, side, price, size, immediate=now)
        order_id = self.seated[name].open.get(command.order)
        if order_id is None:
            return 0, [Rejected(0, Reason.UNKNOWN)]
        if isinstance(command, CancelOrder):
            return order_id, self.book.cancel(order_id, command.size)
        return order_id, self.book.replace(order_id, command.price_ticks, command.size)

    def expected(self, name: str, command: Command) -> Answer:
        """What the next command is answered; its makers are told, too."""
        self.orders += 1
        self.seat(name)
        self.hear(name)
        client = self.seated[name]
        order = command.id if isinstance(command, NewOrder) else command.order
        order_id, events = self.events_of(name, command)
        own: list[Report] = []
        for event in events:
            own.append(client.told(order, *self.facts(event, order_id)))
            if isinstance(event, Traded):
                self.tell_maker(event)
        if self.book.find(order_id):
            client.open[order] = order_id
        else:
            client.open.pop(order, None)
        client.next_id += 1
        client.said[command.id] = (command, Answer(command.id, own))
        return client.said[command.id][1]

    def facts(self, event: Event, order_id: int) -> tuple[object, ...]:
        match event:
            case Accepted():
                return What.ACCEPTED, event.price_ticks, event.size, event.size
            case Traded():
                return What.FILLED, event.price_ticks, event.size, event.taker_left
            case Canceled():
                return What.CANCELED, None, event.size, event.left, event.reason.value
            case Replaced():
                return What.REPLACED, event.price_ticks, event.size, event.size
            case Rejected():
                resting = self.book.find(order_id)
                left = resting.size if resting else 0
                return What.REJECTED, None, 0, left, event.reason.value

    def tell_maker(self, event: Traded) -> None:
        for name, client in list(self.seated.items()):
            for order, order_id in list(client.open.items()):
                if order_id == event.maker_id:
                    client.told(order, What.FILLED, event.price_ticks, event.size, event.maker_left)
                    if not event.maker_left:
                        del client.open[order]
                    self.hear(name)
                    return
        raise AssertionError("a trade with an order of nobody")

    # What is done.

    def send(self, command: Command) -> None:
        """The next command of its session."""
        name = command.session
        command = replace(command, id=self.state(name).next_id)
        if not self.has_place(name):
            with pytest.raises(TooManySessionsError):
                self.desk.execute(command, self.now_ns)
            return
        answer = self.desk.execute(command, self.now_ns)
        assert answer == self.expected(name, command)

    @rule(name=NAMES, side=SIDES, price=st.none() | PRICES, size=SIZES, immediate=st.booleans())
    def place(self, name: str, side: Side, price: int | None, size: int, immediate: bool) -> None:
        self.send(NewOrder(name, 0, side, price, size, immediate))

    @rule(name=NAMES, order=st.integers(0, 9), size=st.none() | SIZES)
    def cancel(self, name: str, order: int, size: int | None) -> None:
        self.send(CancelOrder(name, 0, order, size))

    @rule(name=NAMES, order=st.integers(0, 9), price=PRICES, size=SIZES)
    def replace(self, name: str, order: int, price: int, size: int) -> None:
        self.send(ReplaceOrder(name, 0, order, price, size))

    @precondition(lambda self: any(client.open for client in self.seated.values()))
    @rule(data=st.data(), price=PRICES, size=st.none() | SIZES)
    def change_what_is_open(self, data: st.DataObject, price: int, size: int | None) -> None:
        owners = [(name, order) for name, each in self.seated.items() for order in each.open]
        name, order = data.draw(st.sampled_from(owners))
        if data.draw(st.booleans()):
            self.send(CancelOrder(name, 0, order, size))
        else:
            self.send(ReplaceOrder(name, 0, order, price, size or 1))

    @rule(name=NAMES, back=st.integers(1, 8), is_other=st.booleans())
    def send_again(self, name: str, back: int, is_other: bool) -> None:
        client, number = self.seated.get(name), self.state(name).next_id - back
        kept = list(client.said)[-LIMITS.answers_max :] if client else []
        known = client.said[number] if client and number in kept else None
        command = known[0] if known else CancelOrder(name, number, 1)
        if is_other:
            command = CancelOrder(name, number, 99, 98)  # no other rule names that
        if known and not is_other:
            assert self.desk.execute(command, self.now_ns) == known[1]
            self.hear(name)
            return
        refused: type[DeskError] = IdReusedError if known else IdForgottenError
        with pytest.raises(refused if number > 0 else DeskError):
            self.desk.execute(command, self.now_ns)

    @rule(name=NAMES, ahead=st.integers(1, 3))
    def send_early(self, name: str, ahead: int) -> None:
        command = NewOrder(name, self.state(name).next_id + ahead, Side.BUY, 4, 4)
        with pytest.raises(IdAheadError):
            self.desk.execute(command, self.now_ns)

    @rule(name=NAMES)
    def leave(self, name: str) -> None:
        self.desk.leave(name, self.now_ns)
        client = self.seated.get(name)
        if client is None or not client.open:
            return
        for order, order_id in client.open.items():
            (canceled,) = self.book.cancel(order_id)
            assert isinstance(canceled, Canceled)
            client.told(order, What.CANCELED, None, canceled.size, 0, "disconnected")
        client.open.clear()
        self.hear(name)

    @rule(name=NAMES)
    def attend_or_not(self, name: str) -> None:
        self.attended ^= {name}

    @rule(seconds=st.integers(1, 11))
    def wait(self, seconds: int) -> None:
        self.now_ns += seconds * SECOND

    @rule(name=NAMES, back=st.integers(0, 12), limit=st.integers(0, 5))
    def read_reports(self, name: str, back: int, limit: int) -> None:
        client, newest = self.seated.get(name), self.state(name).newest
        after = max(newest - back, 0)
        kept = client.reports[-LIMITS.reports_max :] if client else []
        if after < newest - len(kept):
            with pytest.raises(ReportsGoneError):
                self.desk.reports(name, after, limit)
            return
        page = self.desk.reports(name, after, limit)
        assert page.newest == newest
        assert page.reports == [each for each in kept if each.sequence > after][:limit]

    # What always holds.

    @invariant()
    def books_are_equal(self) -> None:
        self.desk.audit()
        snapshot = self.desk.snapshot(100)
        assert snapshot.commands == self.orders
        for side, levels in ((Side.BUY, snapshot.bids), (Side.SELL, snapshot.asks)):
            sizes: dict[int, list[int]] = {}
            for price, _, size in self.book.queue(side):
                sizes.setdefault(price, []).append(size)
            assert levels == [PriceLevel(price, each) for price, each in sizes.items()]

    @invariant()
    def sessions_stand_where_they_were_told(self) -> None:
        for name in "abcdef":
            assert self.desk.state(name) == self.state(name)
            client = self.seated.get(name)
            assert self.desk.has_orders(name) == bool(client and client.open)


TestTrading = Trading.TestCase
TestTrading.settings = settings(max_examples=60, stateful_step_count=50)
