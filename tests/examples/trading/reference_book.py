"""The slowest order book that is obviously right: one list in order of arrival, searched whole.

Shares no code with the book under test but the names of sides and events.
"""

from __future__ import annotations

from dataclasses import dataclass

from examples.trading.events import Accepted, Canceled, Event, Reason, Rejected, Replaced, Traded
from examples.trading.ladder import Side


@dataclass
class Resting:
    """One order."""

    order_id: int
    side: Side
    price_ticks: int
    size: int


class ReferenceBook:
    """Every question is answered by looking at every order."""

    def __init__(self, orders_max: int = 1_000_000) -> None:
        self.arrived: list[Resting] = []
        self.orders_max = orders_max

    def find(self, order_id: int) -> Resting | None:
        """The resting order of that id."""
        return next((order for order in self.arrived if order.order_id == order_id), None)

    def queue(self, side: Side) -> list[tuple[int, int, int]]:
        """(price, order id, size) of one side in the order in which they will trade."""
        own = [order for order in self.arrived if order.side == side]
        own.sort(key=lambda order: -order.price_ticks * side)  # stable: arrival decides ties
        return [(order.price_ticks, order.order_id, order.size) for order in own]

    def limit(
        self, order_id: int, side: Side, price_ticks: int, size: int, *, immediate: bool = False
    ) -> list[Event]:
        """As Book.limit."""
        if not (0 < price_ticks <= 2**40 and 0 < size < 2**31):
            return [Rejected(order_id, Reason.INVALID)]
        if self.find(order_id):
            return [Rejected(order_id, Reason.DUPLICATE)]
        if not immediate and len(self.arrived) >= self.orders_max:
            return [Rejected(order_id, Reason.FULL)]
        events: list[Event] = [Accepted(order_id, side, price_ticks, size)]
        left = self.trade(order_id, side, price_ticks, size, events)
        if left and immediate:
            events.append(Canceled(order_id, left, 0, Reason.UNFILLED))
        elif left:
            self.arrived.append(Resting(order_id, side, price_ticks, left))
        return events

    def market(self, order_id: int, side: Side, size: int) -> list[Event]:
        """As Book.market."""
        anything = 2**41 if side == Side.BUY else -1
        if not 0 < size < 2**31:
            return [Rejected(order_id, Reason.INVALID)]
        if self.find(order_id):
            return [Rejected(order_id, Reason.DUPLICATE)]
        events: list[Event] = [Accepted(order_id, side, None, size)]
        left = self.trade(order_id, side, anything, size, events)
        if left:
            events.append(Canceled(order_id, left, 0, Reason.UNFILLED))
        return events

    def cancel(self, order_id: int, size: int | None = None) -> list[Event]:
        """As Book.cancel."""
        order = self.find(order_id)
        if order is None:
            return [Rejected(order_id, Reason.UNKNOWN)]
        off = order.size if size is None else size
        if off < 1 or off > order.size:
            return [Rejected(order_id, Reason.INVALID)]
        order.size -= off
        self.arrived = [other for other in self.arrived if other.size]
        return [Canceled(order_id, off, order.size, Reason.REQUESTED)]

    def replace(self, order_id: int, price_ticks: int, size: int) -> list[Event]:
        """As Book.replace."""
        order = self.find(order_id)
        if order is None:
            return [Rejected(order_id, Reason.UNKNOWN)]
        if not (0 < price_ticks <= 2**40 and 0 < size < 2**31):
            return [Rejected(order_id, Reason.INVALID)]
        if price_ticks == order.price_ticks and size <= order.size:
            order.size = size
            return [Replaced(order_id, price_ticks, size, True)]
        self.arrived.remove(order)
        events: list[Event] = [Replaced(order_id, price_ticks, size, False)]
        left = self.trade(order_id, order.side, price_ticks, size, events)
        if left:
            self.arrived.append(Resting(order_id, order.side, price_ticks, left))
        return events

    def trade(
        self, taker_id: int, side: Side, price_ticks: int, size: int, events: list[Event]
    ) -> int:
        """Take the best order that meets the price until there is none; returns what is left."""
        while size:
            best: Resting | None = None
            for order in self.arrived:
                if order.side == side:
                    continue
                meets = (price_ticks - order.price_ticks) * side >= 0
                if meets and (best is None or (best.price_ticks - order.price_ticks) * side > 0):
                    best = order
            if best is None:
                return size
            traded = min(size, best.size)
            size -= traded
            best.size -= traded
            if not best.size:
                self.arrived.remove(best)
            events.append(
                Traded(taker_id, best.order_id, best.price_ticks, traded, size, best.size)
            )
        return 0
