"""One side of an order book: resting orders by price, and by arrival within a price.

Knows nothing of matching, of the other side, or of who owns an order.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator


class Side(IntEnum):
    """The sign makes prices comparable: a larger `price * side` is a better price."""

    BUY = 1
    SELL = -1

    @property
    def opposite(self) -> Side:
        """The side against which this one trades."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Order:
    """A resting order; a link in the queue of its level."""

    __slots__ = ("after", "before", "level", "order_id", "price_ticks", "side", "size")

    def __init__(self, order_id: int, side: Side, price_ticks: int, size: int) -> None:
        self.order_id = order_id
        self.side = side
        self.price_ticks = price_ticks
        self.size = size
        self.level: Level | None = None
        self.before: Order | None = None
        self.after: Order | None = None

    def __repr__(self) -> str:
        return f"<Order {self.order_id} {self.side.name} {self.size} @ {self.price_ticks}>"


class Level:
    """Orders of one price, first come first; any of them leaves in constant time."""

    __slots__ = ("first", "last", "orders", "price_ticks", "size")

    def __init__(self, price_ticks: int) -> None:
        self.price_ticks = price_ticks
        self.size = 0
        self.orders = 0
        self.first: Order | None = None
        self.last: Order | None = None

    def __iter__(self) -> Iterator[Order]:
        order = self.first
        while order is not None:
            yield order
            order = order.after

    def append(self, order: Order) -> None:
        """Queue `order` behind all others."""
        order.level, order.before, order.after = self, self.last, None
        if self.last is None:
            self.first = order
        else:
            self.last.after = order
        self.last = order
        self.size += order.size
        self.orders += 1

    def remove(self, order: Order) -> None:
        """Take `order` out, wherever it stands."""
        if order.before is None:
            self.first = order.after
        else:
            order.before.after = order.after
        if order.after is None:
            self.last = order.before
        else:
            order.after.before = order.before
        order.level = order.before = order.after = None
        self.size -= order.size
        self.orders -= 1

    def __repr__(self) -> str:
        return f"<Level {self.size} @ {self.price_ticks}, {self.orders} orders>"


class Ladder:
    """All resting orders of one side; `best` is the level that trades next."""

    def __init__(self, side: Side) -> None:
        self.side: Final = side
        self.best: Level | None = None
        self._levels: dict[int, Level] = {}
        # Ascending ranks instead of prices: on both sides the best stands last, and most levels
        # come and go near the best, so that inserting into a plain list moves only a few words.
        self._ranks: list[int] = []

    def __iter__(self) -> Iterator[Level]:
        side = self.side
        for rank in reversed(self._ranks):
            yield self._levels[rank * side]

    def __len__(self) -> int:
        return len(self._levels)

    def crosses(self, price_ticks: int) -> bool:
        """Whether an order of the other side with this limit would trade."""
        return (
            self.best is not None and self.best.price_ticks * self.side >= price_ticks * self.side
        )

    def add(self, order: Order) -> None:
        """Let `order` rest, behind all others of its price."""
        level = self._levels.get(order.price_ticks)
        if level is None:
            level = self._levels[order.price_ticks] = Level(order.price_ticks)
            rank = order.price_ticks * self.side
            insort(self._ranks, rank)
            if self.best is None or rank > self.best.price_ticks * self.side:
                self.best = level
        level.append(order)

    def remove(self, order: Order) -> None:
        """Take `order` out, and its level with it if it was the last one there."""
        level = order.level
        assert level is not None, "only resting orders leave"
        level.remove(order)
        if level.first is None:
            del self._levels[level.price_ticks]
            ranks = self._ranks
            del ranks[bisect_left(ranks, level.price_ticks * self.side)]
            if level is self.best:
                self.best = self._levels[ranks[-1] * self.side] if ranks else None

    def reduce(self, order: Order, size: int) -> None:
        """Take `size` off `order`, which keeps its place; it leaves when nothing is left."""
        level = order.level
        assert level is not None, "only resting orders shrink"
        assert 0 < size <= order.size, "the book checks sizes"
        if size == order.size:
            self.remove(order)
            order.size = 0
        else:
            order.size -= size
            level.size -= size

    def audit(self) -> int:
        """Check every link and total; returns the number of resting orders.

        Errors: AssertionError, for a bug in this module.
        """
        ranks = self._ranks
        assert ranks == sorted({price * self.side for price in self._levels}), "ranks drifted"
        best = self._levels[ranks[-1] * self.side] if ranks else None
        assert self.best is best, "best is stale"
        resting = 0
        for level in self:
            before: Order | None = None
            size = orders = 0
            for order in level:
                assert order.level is level, "an order in two levels"
                assert order.before is before, "broken link"
                assert order.side is self.side
                assert order.price_ticks == level.price_ticks
                assert order.size > 0, "an empty order rests"
                before, size, orders = order, size + order.size, orders + 1
            assert level.last is before, "torn level"
            assert orders > 0, "empty level"
            assert (level.size, level.orders) == (size, orders), "totals drifted"
            resting += orders
        return resting

    def __repr__(self) -> str:
        return f"<Ladder {self.side.name}: {len(self)} levels, best {self.best}>"
