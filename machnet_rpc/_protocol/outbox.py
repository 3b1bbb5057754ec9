"""Packed records on their way into a channel's ring, and the truth about which have left.

A message may be withdrawn until its first record is taken; then the rest must follow, because the
pieces of a message stand next to each other in a ring.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from machnet_rpc._protocol import records

BYTES_MAX: Final = 8 << 20
BURST_BYTES: Final = 256 << 10


class Ticket:
    """What becomes of one message: `sent` once all of it is in the ring, `started` before that.

    Setting `gone` withdraws the message if none of it has been taken yet.
    """

    __slots__ = ("gone", "sent", "started")

    def __init__(self) -> None:
        self.gone = False
        self.started = False
        self.sent = False


class Post(Protocol):
    """Sends or queues one message. A ticket that is `gone` withdraws what has not left."""

    def __call__(self, ticket: Ticket, payload: bytes | memoryview, /, *fields: int) -> None:
        """`fields`: kind, flow, call_id, method_id, remaining_ns, flags, lane, status."""
        ...


def _nothing() -> None:
    """Whoever drains the outbox looks by itself."""


class Outbox:
    """The queue of one channel, in the order in which its flows wrote.

    Being over `bytes_max` is not an error: whoever may wait should, until `full` is false.
    Owner: `on_filled` tells whoever drains it that there is something, for the first record only.
    """

    __slots__ = ("_bytes_max", "_on_filled", "_records", "full", "size_bytes")

    def __init__(
        self, bytes_max: int = BYTES_MAX, on_filled: Callable[[], None] = _nothing
    ) -> None:
        self._bytes_max = bytes_max
        self._on_filled = on_filled
        self._records: deque[tuple[bytes, Ticket, bool]] = deque()
        self.size_bytes = 0
        self.full = False

    def __bool__(self) -> bool:
        return bool(self._records)

    def post(self, ticket: Ticket, payload: bytes | memoryview, /, *fields: int) -> None:
        """Queues a message. `fields` are those of `Post`, in their order."""
        kind, flow, call_id, method_id, remaining_ns, flags, lane, status, *rest = fields
        start = rest[0] if rest else 0  # so much of it has left already
        left = len(payload) - start
        parts = records.pieces(
            kind,
            flow,
            call_id,
            payload,
            method_id=method_id,
            remaining_ns=remaining_ns,
            flags=flags,
            lane=lane,
            status=status,
            start=start,
        )
        for record in parts:
            left -= records.PAYLOAD_MAX
            self.put(record, ticket, last=left <= 0)

    def put(self, record: bytes, ticket: Ticket, *, last: bool = True) -> None:
        """Queues one record; `last` says that it completes the ticket's message."""
        if not self._records:
            self._on_filled()
        self._records.append((record, ticket, last))
        self.size_bytes += len(record)
        self.full = self.size_bytes >= self._bytes_max

    def burst(self) -> bytes:
        """What to offer to the ring now: whole records, about BURST_BYTES of them."""
        queued = self._records
        self._skip_withdrawn()
        if len(queued) == 1:
            return queued[0][0]
        taken: list[bytes] = []
        size = 0
        inside = bool(queued) and queued[0][1].started  # of a message whose start was taken
        for record, ticket, last in queued:
            if ticket.gone and not inside:
                break  # `took` counts from the front: the next burst skips it
            inside = not last
            taken.append(record)
            size += len(record)
            if size >= BURST_BYTES:
                break
        return b"".join(taken)

    def took(self, size_bytes: int) -> None:
        """The ring took this much of the last burst: some number of whole records."""
        self.size_bytes -= size_bytes
        self.full = self.size_bytes >= self._bytes_max
        while size_bytes > 0:
            record, ticket, last = self._records.popleft()
            size_bytes -= len(record)
            ticket.started = not last
            ticket.sent = last

    def sweep(self) -> None:
        """Frees what withdrawn messages hold, wherever in the queue they stand."""
        kept: list[tuple[bytes, Ticket, bool]] = []
        inside = bool(self._records) and self._records[0][1].started
        for item in self._records:
            if inside or not item[1].gone:
                kept.append(item)
            inside = inside and not item[2]
        self._records = deque(kept)
        self.size_bytes = sum(len(record) for record, _, _ in kept)
        self.full = self.size_bytes >= self._bytes_max

    def _skip_withdrawn(self) -> None:
        queued = self._records
        while queued and queued[0][1].gone and not queued[0][1].started:
            self.size_bytes -= len(queued.popleft()[0])
            self.full = self.size_bytes >= self._bytes_max
