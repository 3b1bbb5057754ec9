"""Messages as records of a channel: packed and cut on the way out, joined on the way in.

The layout and the enumerators are those of the public C header, as the native module reports them.
Source: docs/channel.md
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

from transport_engine._native import lib
from transport_engine.channel import RECORD

REQUEST: Final[int] = lib.TE_REQUEST
REPLY: Final[int] = lib.TE_REPLY
CANCEL: Final[int] = lib.TE_CANCEL
ITEM: Final[int] = lib.TE_ITEM
END: Final[int] = lib.TE_END
CREDIT: Final[int] = lib.TE_CREDIT
GOAWAY: Final[int] = lib.TE_GOAWAY
PROGRESS: Final[int] = lib.TE_PROGRESS
LAST_WORD: Final[int] = lib.TE_LAST_WORD
APP_KIND_LAST: Final[int] = lib.TE_APP_KIND_LAST
FLOW_OPENED: Final[int] = lib.TE_FLOW_OPENED
FLOW_ACCEPTED: Final[int] = lib.TE_FLOW_ACCEPTED
FLOW_CLOSED: Final[int] = lib.TE_FLOW_CLOSED
FLOW_CLOSE: Final[int] = lib.TE_FLOW_CLOSE

FIRST: Final[int] = lib.TE_FIRST
LAST: Final[int] = lib.TE_LAST
WHOLE: Final[int] = lib.TE_FIRST | lib.TE_LAST
ERROR: Final[int] = lib.TE_ERROR
METADATA: Final[int] = lib.TE_METADATA

FIRST_PRIORITY: Final = 0
USUAL_PRIORITY: Final[int] = lib.TE_PRIORITY_USUAL
LAST_PRIORITY: Final[int] = lib.TE_PRIORITIES - 1

PAYLOAD_MAX: Final[int] = lib.TE_RECORD_PAYLOAD_MAX
MESSAGE_BYTES_MAX: Final[int] = lib.TE_MESSAGE_BYTES_MAX

Head: TypeAlias = tuple[int, ...]
"""A record's header, its fields in the order of `FIELDS`."""

FIELDS: Final = (
    "call_id",
    "method_id",
    "remaining_ns",
    "flow",
    "size_bytes",
    "offset_bytes",
    "total_bytes",
    "kind",
    "flags",
    "lane",
    "priority",
    "status",
    "progress",
    "zero",
)
"""The header's fields as `pack` and `Connection.receive` take them; a test holds them to C's."""

CALL_ID: Final = FIELDS.index("call_id")
METHOD_ID: Final = FIELDS.index("method_id")
REMAINING: Final = FIELDS.index("remaining_ns")
FLOW: Final = FIELDS.index("flow")
OFFSET: Final = FIELDS.index("offset_bytes")
TOTAL: Final = FIELDS.index("total_bytes")
KIND: Final = FIELDS.index("kind")
FLAGS: Final = FIELDS.index("flags")
PRIORITY: Final = FIELDS.index("priority")
STATUS: Final = FIELDS.index("status")

_PADDING: Final = tuple(bytes(-size % lib.TE_RECORD_ALIGN) for size in range(lib.TE_RECORD_ALIGN))
_pack = RECORD.pack


def pack(
    kind: int,
    flow: int,
    call_id: int,
    payload: bytes | memoryview = b"",
    *,
    method_id: int = 0,
    remaining_ns: int = 0,
    flags: int = 0,
    lane: int = 0,
    priority: int = 0,
    status: int = 0,
) -> bytes:
    """One record that carries a whole message; `pieces` is for those longer than PAYLOAD_MAX."""
    size = len(payload)
    head = _pack(
        call_id,
        method_id,
        remaining_ns,
        flow,
        size,
        0,
        size,
        kind,
        flags | WHOLE,
        lane,
        priority,
        status,
        0,
        0,
    )
    return head + payload + _PADDING[size & 7] if size else head


def pieces(
    kind: int,
    flow: int,
    call_id: int,
    payload: bytes | memoryview,
    *,
    method_id: int = 0,
    remaining_ns: int = 0,
    flags: int = 0,
    lane: int = 0,
    priority: int = 0,
    status: int = 0,
    start: int = 0,
) -> Iterator[bytes]:
    """The records of a message of any length, in the order in which they must be sent.

    `start` is the offset of the first that is wanted.
    """
    total = len(payload)
    view = memoryview(payload)
    for offset in range(start, max(total, 1), PAYLOAD_MAX):
        part = view[offset : offset + PAYLOAD_MAX]
        size = len(part)
        place = (FIRST if offset == 0 else 0) | (LAST if offset + size == total else 0)
        head = _pack(
            call_id,
            method_id,
            remaining_ns,
            flow,
            size,
            offset,
            total,
            kind,
            flags | place,
            lane,
            priority,
            status,
            0,
            0,
        )
        yield b"".join((head, part, _PADDING[size & 7]))


class Joiner:
    """Puts the pieces of a channel's messages back together; holds at most one unfinished message.

    Pieces of one message stand next to each other in a ring, so a piece that does not continue
    the unfinished message means that the rest of it will never come.
    """

    __slots__ = ("_flow", "_parts", "_size")

    def __init__(self) -> None:
        self._flow = -1
        self._size = 0
        self._parts: list[bytes] = []

    def join(self, head: Head, payload: bytes) -> bytes | None:
        """The whole payload when `head` is the last record of a message, else None."""
        flags = head[FLAGS]
        if flags & WHOLE == WHOLE or head[KIND] > APP_KIND_LAST:
            self._parts.clear()
            return payload
        if flags & FIRST:
            self._parts.clear()
            self._size = 0
            self._flow = head[FLOW]
        elif not self._parts or head[FLOW] != self._flow or head[OFFSET] != self._size:
            self._parts.clear()
            return None
        self._parts.append(payload)
        self._size += len(payload)
        if not flags & LAST:
            return None
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole if len(whole) == head[TOTAL] else None
