"""What a book answers: plain facts, in the order in which they happened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from examples.trading.ladder import Side


class Reason(StrEnum):
    """Why an order was refused, or left the book other than by trading."""

    REQUESTED = "requested"
    UNFILLED = "unfilled"  # what an immediate or market order could not trade at once
    INVALID = "invalid"  # a price or size out of range
    DUPLICATE = "duplicate"  # the order id rests already
    UNKNOWN = "unknown"  # no such order rests (any more)
    FULL = "full"  # the book holds as many orders as it may
    DISCONNECTED = "disconnected"  # the session's client has gone


@dataclass(frozen=True, slots=True)
class Accepted:
    """The order is in; `price_ticks` None: at any price."""

    order_id: int
    side: Side
    price_ticks: int | None
    size: int


@dataclass(frozen=True, slots=True)
class Traded:
    """`size` changed hands at the price of the resting order, the maker."""

    taker_id: int
    maker_id: int
    price_ticks: int
    size: int
    taker_left: int
    maker_left: int


@dataclass(frozen=True, slots=True)
class Canceled:
    """`size` of the order left without trading; `left` still rests."""

    order_id: int
    size: int
    left: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Replaced:
    """The order has a new price and open size; `kept`: it also kept its place in the queue."""

    order_id: int
    price_ticks: int
    size: int
    kept: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """The request changed nothing."""

    order_id: int
    reason: Reason


Event = Accepted | Traded | Canceled | Replaced | Rejected
