"""The table of what reads what is what the codecs do, for each kind and each two of them."""

import dataclasses
import datetime as dt
import math
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from idl import CodecError, ValueCodec
from idl.reading import Reading, Severity
from idl.shapes import Definitions, Shape
from idl.value_codecs import StructCodec

NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
# Of each kind some values that others would refuse or mistake; integers of 64 bits, as msgspec has.
VALUES: dict[str, tuple[type, list[Any]]] = {
    "bool": (bool, [True, False]),
    "int": (int, [0, 1, -5, 2**53 + 1, 2**63 - 1]),
    "float": (float, [0.0, 1.5, math.inf, 1e300, 0.1]),
    "str": (str, ["", "abc", "5", "\x00é"]),
    "bytes": (bytes, [b"", b"abc", b"\xff"]),
    "none": (type(None), [None]),
    "datetime": (dt.datetime, [NOON.replace(tzinfo=None), NOON]),
    "date": (dt.date, [dt.date(2026, 1, 1)]),
    "time": (dt.time, [dt.time(1, 2, 3, 4), dt.time(1, 2, tzinfo=dt.UTC)]),
    "timedelta": (dt.timedelta, [dt.timedelta(0), dt.timedelta(days=-3, microseconds=1)]),
    "decimal": (Decimal, [Decimal("1.50"), Decimal("1e400"), Decimal(3)]),
    "uuid": (UUID, [UUID(int=5)]),
}
CODECS = {"pydantic": ValueCodec, "msgspec": StructCodec}


def holder(style: str, annotation: Any) -> Any:
    fields = [("v", annotation)]
    if style == "msgspec":
        return msgspec.defstruct("Holder", fields)
    return dataclasses.make_dataclass("Holder", fields)


def happens(reader: str, writer: str, read: str, written: str) -> Severity:
    """What becomes of the values: all equal, all taken, or not all taken."""
    source, target = holder(writer, VALUES[written][0]), holder(reader, VALUES[read][0])
    encoder, decoder = CODECS[writer](source), CODECS[reader](target)
    worst: Severity = "compatible"
    for value in VALUES[written][1]:
        try:
            arrived = decoder.decode(encoder.encode(source(value))).v
        except CodecError:
            return "breaking"
        if arrived != value or type(arrived) is not type(value):
            worst = "risky"
    return worst


@pytest.mark.parametrize("reader", CODECS)
@pytest.mark.parametrize("writer", CODECS)
@pytest.mark.parametrize("read", VALUES)
def test_verdicts_are_what_the_codecs_do(reader: str, writer: str, read: str) -> None:
    none = Definitions()
    for written in VALUES:
        strict, from_struct = reader == "msgspec", writer == "msgspec"
        reading = Reading("it", none, "it", none, strict=strict, from_struct=from_struct)
        problems = reading.value(Shape(read), Shape(written), "")
        told: Severity = problems[0].severity if problems else "compatible"
        happened = happens(reader, writer, read, written)
        if told == "compatible" and happened == "risky":
            happened = "compatible" if (written, read) in WIDER else happened
        if told == "breaking" and happened == "risky":
            happened = "breaking" if (written, read) == ("bool", "timedelta") else happened
        assert told == happened, f"{written} as {read}"


WIDER = {("bool", "int"), ("bool", "float"), ("int", "decimal")}  # equal, and of another type
