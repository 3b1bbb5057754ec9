"""One timing wheel for all the deadlines of a pump: starting and stopping a timer is O(1).

Deadlines never fire early, and at most one tick late.
Units: nanoseconds on the clock of whoever calls; it must not go backwards.
Source: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 6
"""

from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from machnet_rpc._native import crossing

TICK_NS: Final = 1_000_000
SLOTS: Final = 4096


class Timed(Protocol):
    """What a wheel holds: anything hashable by identity that knows when it is due."""

    @property
    def deadline_ns(self) -> int: ...


T = TypeVar("T", bound=Timed)


class Deadlines(Generic[T]):
    """The pending deadlines; an item's `deadline_ns` must not change while it is in here."""

    __slots__ = ("_earliest_tick", "_items", "_slots")

    def __init__(self) -> None:
        self._earliest_tick = 0  # nothing is due before this tick; often earlier than the truth
        self._items = 0
        self._slots: list[set[T]] = [set() for _ in range(SLOTS)]

    def __len__(self) -> int:
        return self._items

    def add(self, item: T) -> None:
        """Starts the item's timer; one that is due already fires on the next `expire`."""
        tick = -(-item.deadline_ns // TICK_NS)
        if self._items == 0 or tick < self._earliest_tick:
            self._earliest_tick = tick
        self._slots[tick % SLOTS].add(item)
        self._items += 1

    def discard(self, item: T) -> None:
        """Stops the item's timer, if it runs."""
        slot = self._slots[-(-item.deadline_ns // TICK_NS) % SLOTS]
        if item in slot:
            slot.remove(item)
            self._items -= 1

    def expire(self, now_ns: int) -> list[T]:
        """Takes out the items whose deadline has passed, the earliest tick first."""
        now_tick = now_ns // TICK_NS
        if self._items == 0 or now_tick < self._earliest_tick:
            return []
        expired: list[T] = []
        for tick in range(max(self._earliest_tick, now_tick - SLOTS + 1), now_tick + 1):
            slot = self._slots[tick % SLOTS]
            if slot:  # it may also hold items of later revolutions
                due = [item for item in slot if item.deadline_ns <= now_ns]
                slot.difference_update(due)
                expired += due
        self._items -= len(expired)
        self._earliest_tick = self._occupied_after(now_tick)
        return expired

    def next_ns(self) -> int | None:
        """When to call `expire` next: not after the first deadline; None when there is none."""
        return self._earliest_tick * TICK_NS if self._items else None

    def _occupied_after(self, tick: int) -> int:
        tick += 1
        if self._items:
            while not self._slots[tick % SLOTS]:
                tick += 1
        return tick


if not TYPE_CHECKING and crossing is not None:
    Deadlines = crossing.Deadlines
