"""Packs records by hand, as an application would, for the tests beside it."""

from transport_engine._native import lib
from transport_engine.channel import FIELDS, RECORD, RecordTuple

WHOLE = lib.TE_FIRST | lib.TE_LAST


def head_of(payload: bytes = b"", **fields: int) -> RecordTuple:
    """A header for a whole message; `fields` replace what it says."""
    values = {
        "kind": lib.TE_REQUEST,
        "flags": WHOLE,
        "size_bytes": len(payload),
        "total_bytes": len(payload),
    } | fields
    return tuple(values.get(name, 0) for name in FIELDS)


def packed(payload: bytes = b"", **fields: int) -> bytes:
    """A record as it lies in a ring."""
    padding = bytes(-len(payload) % lib.TE_RECORD_ALIGN)
    return RECORD.pack(*head_of(payload, **fields)) + payload + padding


def field(head: RecordTuple, name: str) -> int:
    """One field of a header by name."""
    return head[FIELDS.index(name)]
