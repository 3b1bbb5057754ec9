"""What clients of the order gateway say and hear: plain data, the same on both ends of the wire."""

# No `from __future__ import annotations`: these hints are read at run time, to build codecs.
from dataclasses import dataclass
from enum import StrEnum

from examples.trading.ladder import Side


@dataclass(frozen=True, slots=True)
class NewOrder:
    """Buy or sell at `price_ticks` or better, or (None) at any price.

    What cannot trade at once rests, unless the order is `immediate` or has no price.
    """

    session: str
    id: int
    side: Side
    price_ticks: int | None
    size: int
    immediate: bool = False


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Take `size` (None: all that is left) off the order whose command had the id `order`."""

    session: str
    id: int
    order: int
    size: int | None = None


@dataclass(frozen=True, slots=True)
class ReplaceOrder:
    """Give the order `order` a new price and open size; it goes by its old id.

    `size` is what is open then, whatever was filled while the command was on its way: who wants no
    more than a total replaces by less, or cancels and looks at the answer first.
    """

    session: str
    id: int
    order: int
    price_ticks: int
    size: int


Command = NewOrder | CancelOrder | ReplaceOrder


class What(StrEnum):
    """What a report reports."""

    ACCEPTED = "accepted"
    FILLED = "filled"
    CANCELED = "canceled"
    REPLACED = "replaced"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Report:
    """One fact about one order of a session; `sequence` counts the session's reports from 1.

    `size` is what was accepted, filled, canceled; `left` is what is still open, also after a cancel
    or a replace that was rejected.
    """

    sequence: int
    order: int
    what: What
    price_ticks: int | None
    size: int
    left: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command did to its own order; the same however often the command is sent.

    `more`: how many reports of it are not in here; `reports` has them, after the last sequence.
    """

    id: int
    reports: list[Report]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Reports:
    """A stretch of a session's reports; go on after the last one's sequence."""

    reports: list[Report]
    newest: int


@dataclass(frozen=True, slots=True)
class SessionState:
    """Where a session stands: the id of its next command, its newest report."""

    next_id: int
    newest: int


@dataclass(frozen=True, slots=True)
class PriceLevel:
    """A price and the open sizes there, in the order in which they will trade."""

    price_ticks: int
    sizes: list[int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Both sides of the book, best prices first; `commands`: how many it has seen."""

    commands: int
    bids: list[PriceLevel]
    asks: list[PriceLevel]
