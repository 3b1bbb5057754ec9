"""The two halves of a stream: what one end may send, and what the other received.

Messages of a flow overtake each other, so items are numbered, and put in order within the credit.
Credit is absolute: so many items and bytes in all. A receiver holds no more than it admitted;
whatever the peer sends beyond that, twice or after the end is Broken, never memory.
Source: docs/streams.md
"""

from collections.abc import Callable
from typing import Final, NamedTuple


class Window(NamedTuple):
    """How much may be sent: in all, where it is a limit; at once, where it is a size."""

    items: int
    size_bytes: int  # of all items before one; so one item of any size may always follow


FIRST: Final = Window(64, 1 << 20)
"""What a server may send before the caller's first CREDIT. A caller waits for the server's."""

NOTHING: Final = Window(0, 0)


class Broken(Exception):
    """The peer broke the rules of streams; the sentence says how."""


def _nobody() -> None:
    """Nobody waits yet."""


class Sending:
    """What this end sends. `on_change` is told of new credit and of the end of the call."""

    __slots__ = ("count", "is_ended", "limit", "on_change", "size_bytes")

    def __init__(self, limit: Window) -> None:
        self.limit: Window = limit
        self.count: int = 0  # of items that were sent
        self.size_bytes: int = 0  # of their payloads
        self.is_ended: bool = False  # this end sends no more
        self.on_change: Callable[[], None] = _nobody

    @property
    def may_send(self) -> bool:
        items, size_bytes = self.limit
        return self.count < items and self.size_bytes < size_bytes and not self.is_ended

    def number(self, size_bytes: int) -> int:
        """Takes the credit for one item, and gives its number. `may_send` must hold."""
        number = self.count
        self.count = number + 1
        self.size_bytes += size_bytes
        return number

    def admit(self, limit: Window) -> None:
        """The receiver's new limit; an older one that comes late changes nothing."""
        items, size_bytes = self.limit
        self.limit = Window(max(items, limit.items), max(size_bytes, limit.size_bytes))
        self.on_change()


class Receiving:
    """What this end received and has not taken yet. `on_change` is told of items and of the end."""

    __slots__ = (
        "_due_bytes",
        "_due_items",
        "_early",
        "_highest",
        "_size",
        "_taken_bytes",
        "count",
        "is_low",
        "limit",
        "on_change",
        "received",
        "size_bytes",
        "taken",
    )

    def __init__(self, size: Window, limit: Window = NOTHING) -> None:
        self.limit: Window = limit
        self.taken: int = 0
        self.received: int = 0
        self.size_bytes: int = 0  # of all that was received
        self.count: int | None = None  # of all items, once the sender's end is known
        self.on_change: Callable[[], None] = _nobody
        self._size = size
        self._early: dict[int, bytes] = {}  # by number: received, and not taken
        self._highest = (-1, 0)  # number and bytes of the last item in order
        self._taken_bytes = 0
        self._due_items, self._due_bytes = self._dues()
        # Half a window of the limit has been taken.
        self.is_low: bool = self._due_items <= 0 or self._due_bytes <= 0

    @property
    def waiting(self) -> int:
        """Items that are held here."""
        return len(self._early)

    @property
    def is_whole(self) -> bool:
        """All items have arrived."""
        return self.received == self.count

    @property
    def is_done(self) -> bool:
        """All items have been taken."""
        return self.taken == self.count

    def put(self, number: int, payload: bytes) -> None:
        """An item arrived. Errors: Broken."""
        if number >= self.limit.items:
            raise Broken("an item came beyond the credit")
        if number < self.taken or number in self._early:
            raise Broken("an item came twice")
        if self.count is not None and number >= self.count:
            raise Broken("an item came after the end")
        highest = max(self._highest, (number, len(payload)))
        if self.size_bytes + len(payload) - highest[1] >= self.limit.size_bytes:
            raise Broken("items came beyond the credit in bytes")
        self._highest = highest
        self._early[number] = payload
        self.received += 1
        self.size_bytes += len(payload)
        if number == self.taken or self.received == self.count:
            self.on_change()

    def end(self, count: int) -> None:
        """The sender says how many items there are in all. Errors: Broken."""
        if count > self.limit.items or count <= self._highest[0]:
            raise Broken(f"the end says {count} items, which contradicts what came")
        if self.count is not None and self.count != count:
            raise Broken("there are two ends")
        self.count = count
        self.on_change()

    def take(self) -> bytes | None:
        """The next item in order, if it is there."""
        payload = self._early.pop(self.taken, None)
        if payload is not None:
            self.taken += 1
            self._taken_bytes += len(payload)
            self.is_low = self.taken >= self._due_items or self._taken_bytes >= self._due_bytes
        return payload

    def granted(self) -> Window | None:
        """The new limit to tell the sender, if it is low, and more may follow."""
        if self.count is not None or not self.is_low:
            return None
        items, size_bytes = self._size
        self.limit = Window(self.taken + items, self._taken_bytes + size_bytes)
        self._due_items, self._due_bytes = self._dues()
        self.is_low = False
        return self.limit

    def _dues(self) -> tuple[float, float]:
        """Items and bytes: when so many are taken, the limit is low."""
        items, size_bytes = self._size
        return self.limit.items - items / 2, self.limit.size_bytes - size_bytes / 2

    def drop(self) -> None:
        """Forgets what nobody will take."""
        self._early.clear()
