"""Messages on their way into a channel's ring, and the truth about which have left.

They wait as they were given, and become records when there is room for those. A message may be
withdrawn until its first record is taken; then the rest must follow, because the pieces of a
message stand next to each other in a ring.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from machnet_rpc._native import crossing
from machnet_rpc._protocol import records
from transport_engine.channel import RECORD

BYTES_MAX: Final = 8 << 20
BURST_BYTES: Final = 256 << 10
_FIELDS: Final = 9  # of a `Post`


# What a view may be of that waits here: nobody changes it.
LASTING: Final = (bytes,) if crossing is None else (bytes, crossing.Received)


class Ticket:
    """What becomes of one message: `sent` once all of it is in the ring, `started` before that.

    Setting `gone` withdraws the message if none of it has been taken yet.
    """

    __slots__ = ("gone", "sent", "started")

    def __init__(self) -> None:
        self.gone: bool = False
        self.started: bool = False
        self.sent: bool = False


class Post(Protocol):
    """Sends or queues one message. A ticket that is `gone` withdraws what has not left."""

    def __call__(self, ticket: Ticket, payload: bytes | memoryview, /, *fields: int) -> None:
        """`fields`: kind, flow, call_id, method_id, remaining_ns, flags, lane, status, priority."""
        ...


class Put(Protocol):
    """Has a ring take what it has room for."""

    def __call__(self, ticket: Ticket, payload: bytes | memoryview, /, *fields: int) -> int:
        """`fields`: those of `Post`, and the offset from which on the payload has not left.

        Returns the new offset; one beyond the payload's end when all of it has left.
        """
        ...


class _Message:
    """What waits of one message."""

    __slots__ = ("fields", "offset", "payload", "ticket")

    def __init__(
        self, ticket: Ticket, payload: bytes | memoryview, fields: tuple[int, ...], offset: int
    ) -> None:
        self.ticket = ticket
        self.payload = payload
        self.fields = fields
        self.offset = offset  # so much of the payload has left

    @property
    def is_withdrawn(self) -> bool:
        return self.ticket.gone and self.offset == 0

    @property
    def size_bytes(self) -> int:
        """Of the records that have not left."""
        left = len(self.payload) - self.offset
        count = max(-(-left // records.PAYLOAD_MAX), 1)
        return count * RECORD.size + left + -left % 8

    def pieces(self) -> Iterator[bytes]:
        kind, flow, call_id, method_id, remaining_ns, flags, lane, status, priority = self.fields
        return records.pieces(
            kind,
            flow,
            call_id,
            self.payload,
            method_id=method_id,
            remaining_ns=remaining_ns,
            flags=flags,
            lane=lane,
            priority=priority,
            status=status,
            start=self.offset,
        )


def _nothing() -> None:
    """Whoever drains the outbox looks by itself."""


class Outbox:
    """The queue of one channel, in the order in which its flows wrote.

    Shape: `drain` where messages cross in C; else `burst`, and `took` for what the ring took of it.
    Being over BYTES_MAX is not an error: whoever may wait should, until `full` is false.
    Whoever sets `gone` on the ticket of a message that may wait here sets `has_withdrawn`, too.
    Owner: `on_filled` tells whoever drains it of each message: it may sleep until there is room,
    and this one's time may be over before.
    """

    __slots__ = (
        "_messages",
        "_on_filled",
        "full",
        "has_withdrawn",
        "size_bytes",
    )

    def __init__(self, on_filled: Callable[[], None] = _nothing) -> None:
        self._on_filled = on_filled
        self._messages: deque[_Message] = deque()
        self.size_bytes: int = 0
        self.full: bool = False
        self.has_withdrawn: bool = False  # since the last sweep

    def __bool__(self) -> bool:
        return bool(self._messages)

    def post(self, ticket: Ticket, payload: bytes | memoryview, /, *fields: int) -> None:
        """Queues a message. `fields` are those of `Post`, in their order.

        One more is the offset from which on it has not left.
        """
        self._on_filled()
        offset = fields[_FIELDS] if len(fields) > _FIELDS else 0
        message = _Message(ticket, lasting(payload), fields[:_FIELDS], offset)
        self._messages.append(message)
        self._grow(message.size_bytes)

    def drain(self, put: Put) -> int:
        """Has `put` take what the ring has room for; returns the bytes of its records."""
        messages = self._messages
        before = self.size_bytes
        skipped = self._skip_withdrawn()
        while messages:
            message = messages[0]
            reached = put(message.ticket, message.payload, *message.fields, message.offset)
            if reached == message.offset:
                break
            self._moved(message, reached)
            if reached <= len(message.payload):
                break
            skipped += self._skip_withdrawn()
        return before - self.size_bytes - skipped

    def burst(self) -> bytes:
        """What to offer to the ring now: whole records, about BURST_BYTES of them."""
        self._skip_withdrawn()
        taken: list[bytes] = []
        size = 0
        for message in self._messages:
            if message.is_withdrawn:
                break  # `took` counts from the front: the next burst skips it
            for record in message.pieces():
                taken.append(record)
                size += len(record)
                if size >= BURST_BYTES:
                    return b"".join(taken)
        return b"".join(taken)

    def took(self, size_bytes: int) -> None:
        """The ring took this much of the last burst: some number of whole records."""
        while size_bytes > 0:
            message = self._messages[0]
            part = min(len(message.payload) - message.offset, records.PAYLOAD_MAX)
            size_bytes -= RECORD.size + part + -part % 8
            end = message.offset + part
            self._moved(message, end + 1 if end == len(message.payload) else end)

    def sweep(self) -> None:
        """Frees what withdrawn messages hold, wherever in the queue they stand."""
        if not self.has_withdrawn:
            return  # each call that waits for room asks, and the queue is long then
        self.has_withdrawn = False
        self._messages = deque(each for each in self._messages if not each.is_withdrawn)
        self.size_bytes = 0
        self._grow(sum(each.size_bytes for each in self._messages))

    def _moved(self, message: _Message, reached: int) -> None:
        """The first message has left up to there."""
        ticket, before = message.ticket, message.size_bytes
        if reached > len(message.payload):
            self._messages.popleft()
            ticket.started = False
            ticket.sent = True
            self._grow(-before)
        else:
            message.offset = reached
            ticket.started = True
            self._grow(message.size_bytes - before)

    def _skip_withdrawn(self) -> int:
        skipped = 0
        while self._messages and self._messages[0].is_withdrawn:
            skipped += self._messages.popleft().size_bytes
        self._grow(-skipped)
        return skipped

    def _grow(self, by_bytes: int) -> None:
        self.size_bytes += by_bytes
        self.full = self.size_bytes >= BYTES_MAX


def lasting(payload: bytes | memoryview) -> bytes | memoryview:
    """The payload as nobody can change or release it, however long it is needed."""
    if type(payload) is bytes:
        return payload
    view = memoryview(payload)
    return view if type(view.obj) in LASTING else bytes(view)
