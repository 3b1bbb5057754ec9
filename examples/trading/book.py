"""A limit order book with price–time priority for one instrument: a pure matching engine.

Integer ticks, no clock, no I/O, no accounts: the same requests give the same events everywhere.
An order trades at the price of the resting order that it meets, best price first, and within a
price first come first.

Source: Nasdaq TotalView-ITCH 5.0, "Modify Order Messages", for what keeps an order's place: a
partial cancel does, a replace does not; here a replace that only lowers the size keeps it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.trading.events import Accepted, Canceled, Event, Reason, Rejected, Replaced, Traded
from examples.trading.ladder import Ladder, Level, Order, Side

if TYPE_CHECKING:
    from collections.abc import Iterator

PRICE_TICKS_MAX = 2**40
SIZE_MAX = 2**31 - 1
ORDERS_MAX = 1_000_000


class Book:
    """Two ladders and the rule that they never cross.

    Owner: the caller chooses order ids; one that has left the book may be used again.
    Errors: none are raised; what cannot be done is answered by `Rejected`.
    """

    def __init__(self, *, orders_max: int = ORDERS_MAX) -> None:
        self._orders_max = orders_max
        self._orders: dict[int, Order] = {}
        self._bids = Ladder(Side.BUY)
        self._asks = Ladder(Side.SELL)

    def __len__(self) -> int:
        return len(self._orders)

    def __contains__(self, order_id: int) -> bool:
        return order_id in self._orders

    def order(self, order_id: int) -> Order:
        """A resting order; look, do not change.

        Errors: KeyError.
        """
        return self._orders[order_id]

    def limit(
        self, order_id: int, side: Side, price_ticks: int, size: int, *, immediate: bool = False
    ) -> list[Event]:
        """Trade up to `price_ticks`; the rest rests, or is canceled at once if `immediate`."""
        refusal = self._refusal(order_id, size, price_ticks)
        if refusal is None and not immediate and len(self._orders) >= self._orders_max:
            refusal = Reason.FULL
        if refusal is not None:
            return [Rejected(order_id, refusal)]
        events: list[Event] = [Accepted(order_id, side, price_ticks, size)]
        left = self._match(order_id, side, price_ticks, size, events)
        if left and immediate:
            events.append(Canceled(order_id, left, 0, Reason.UNFILLED))
        elif left:
            self._rest(Order(order_id, side, price_ticks, left))
        return events

    def market(self, order_id: int, side: Side, size: int) -> list[Event]:
        """Trade at any price; what finds nobody is canceled."""
        refusal = self._refusal(order_id, size, 1)
        if refusal is not None:
            return [Rejected(order_id, refusal)]
        events: list[Event] = [Accepted(order_id, side, None, size)]
        left = self._match(order_id, side, None, size, events)
        if left:
            events.append(Canceled(order_id, left, 0, Reason.UNFILLED))
        return events

    def cancel(self, order_id: int, size: int | None = None) -> list[Event]:
        """Take `size` off a resting order, which keeps its place, or (None) all of it."""
        order = self._orders.get(order_id)
        if order is None:
            return [Rejected(order_id, Reason.UNKNOWN)]
        if size is None:
            size = order.size
        if not 0 < size <= order.size:
            return [Rejected(order_id, Reason.INVALID)]
        self._reduce(order, size)
        return [Canceled(order_id, size, order.size, Reason.REQUESTED)]

    def replace(self, order_id: int, price_ticks: int, size: int) -> list[Event]:
        """Give a resting order a new price and open size.

        It keeps its place if only its size goes down; otherwise it comes in anew, and may trade.
        """
        order = self._orders.get(order_id)
        if order is None:
            return [Rejected(order_id, Reason.UNKNOWN)]
        if not (0 < price_ticks <= PRICE_TICKS_MAX and 0 < size <= SIZE_MAX):
            return [Rejected(order_id, Reason.INVALID)]
        kept = price_ticks == order.price_ticks and size <= order.size
        events: list[Event] = [Replaced(order_id, price_ticks, size, kept)]
        if kept:
            if size < order.size:
                self._ladder(order.side).reduce(order, order.size - size)
            return events
        self._reduce(order, order.size)
        left = self._match(order_id, order.side, price_ticks, size, events)
        if left:
            self._rest(Order(order_id, order.side, price_ticks, left))
        return events

    def levels(self, side: Side) -> Iterator[Level]:
        """The levels of one side, best first; look, do not change, and not across requests."""
        return iter(self._ladder(side))

    def best(self, side: Side) -> int | None:
        """The best price of one side, in ticks."""
        level = self._ladder(side).best
        return None if level is None else level.price_ticks

    def audit(self) -> None:
        """Check that the book is consistent with itself.

        Errors: AssertionError, for a bug in the matching engine.
        """
        resting = self._bids.audit() + self._asks.audit()
        assert resting == len(self._orders) <= self._orders_max, "orders lost or found"
        for level in (*self._bids, *self._asks):
            assert all(self._orders[order.order_id] is order for order in level)
        bid, ask = self.best(Side.BUY), self.best(Side.SELL)
        assert bid is None or ask is None or bid < ask, "the book is crossed"

    def _ladder(self, side: Side) -> Ladder:
        return self._bids if side is Side.BUY else self._asks

    def _refusal(self, order_id: int, size: int, price_ticks: int) -> Reason | None:
        if not (0 < price_ticks <= PRICE_TICKS_MAX and 0 < size <= SIZE_MAX):
            return Reason.INVALID
        return Reason.DUPLICATE if order_id in self._orders else None

    def _rest(self, order: Order) -> None:
        self._orders[order.order_id] = order
        self._ladder(order.side).add(order)

    def _reduce(self, order: Order, size: int) -> None:
        self._ladder(order.side).reduce(order, size)
        if order.size == 0:
            del self._orders[order.order_id]

    def _match(
        self, taker_id: int, side: Side, price_ticks: int | None, size: int, events: list[Event]
    ) -> int:
        """Trade with the other side while prices meet; returns what is left of `size`."""
        ladder = self._asks if side is Side.BUY else self._bids
        while size and ladder.best is not None:
            if price_ticks is not None and not ladder.crosses(price_ticks):
                break
            maker = ladder.best.first
            assert maker is not None, "a level is never empty"
            traded = min(size, maker.size)
            size -= traded
            self._reduce(maker, traded)
            events.append(
                Traded(taker_id, maker.order_id, maker.price_ticks, traded, size, maker.size)
            )
        return size

    def __repr__(self) -> str:
        bid, ask = self.best(Side.BUY), self.best(Side.SELL)
        return f"<Book {len(self)} orders, {bid} / {ask}>"
