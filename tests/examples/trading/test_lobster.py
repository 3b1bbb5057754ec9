"""The player on made-up lines, and the book after every event of a real hour."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from examples.data import LOBSTER_HOUR, data_directory, find
from examples.trading.book import Book
from examples.trading.ladder import Side
from examples.trading.lobster import (
    Cancel,
    FormatError,
    Kind,
    Message,
    Place,
    Replay,
    Tally,
    apply,
    parse,
    read,
    steps,
)

from .reference_book import ReferenceBook
from .test_book import queue

if TYPE_CHECKING:
    from pathlib import Path


def test_parse_keeps_every_digit_of_the_time() -> None:
    line = "34200.00426064,1,16113584,18,5853200,1\n"
    assert parse(line) == Message(34_200_004_260_640, Kind.NEW, 16113584, 18, 5853200, Side.BUY)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1.0,1,2,3,400", "6 columns"),
        ("1.0,9,2,3,400,1", "9"),
        ("1.0,1,2,3,450,1", "450 is not a whole number of ticks"),
        ("1.0,1,2,3,400,0", "0"),
        ("", "6 columns"),
        ("1.0,1,ü,3,400,1", "invalid literal"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "messages.csv"
    path.write_text(f"1.5,1,7,10,400,1\n{line}\n", encoding="latin-1")
    with pytest.raises(FormatError, match=rf"messages\.csv, line 2: .*{says}"):
        list(read(path))


def test_a_line_without_an_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "messages.csv"
    path.write_bytes(b"1.5,1,7,10,400,1\n1.5,1,7,10,400," + b"1" * (64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=r"messages\.csv, line 2: a line has less than"):
            list(read(path))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1 << 20


def test_executions_become_immediate_orders_of_the_other_side() -> None:
    replay = Replay()
    replay.step(Message(0, Kind.NEW, 77, 10, 40_000, Side.SELL))
    step = replay.step(Message(1, Kind.EXECUTION, 77, 4, 40_000, Side.SELL))
    assert step.request == Place(2, Side.BUY, 400, 4, immediate=True)
    assert step.maker_id == 1
    step = replay.step(Message(2, Kind.PARTIAL_CANCEL, 77, 1, 40_000, Side.SELL))
    assert step.request == Cancel(1, 1)
    assert replay.step(Message(3, Kind.EXECUTION, 78, 4, 40_000, Side.SELL)).request is None
    assert replay.step(Message(4, Kind.HIDDEN_EXECUTION, 0, 4, 40_050, Side.SELL)).request is None
    assert replay.step(Message(5, Kind.DELETE, 79, 4, 40_000, Side.BUY)).request == Cancel(0, None)


def test_an_execution_out_of_turn_is_counted() -> None:
    messages = [
        Message(0, Kind.NEW, 77, 10, 40_000, Side.SELL),
        Message(1, Kind.NEW, 78, 10, 40_000, Side.SELL),
        Message(2, Kind.EXECUTION, 78, 10, 40_000, Side.SELL),
        Message(3, Kind.EXECUTION, 78, 10, 40_000, Side.SELL),
    ]
    book, tally = Book(), Tally()
    for step in steps(messages):
        assert step.request is not None
        tally.note(step, apply(book, step.request))
    assert (tally.executions, tally.executions_agreed) == (2, 1)


def test_book_equals_reference_after_every_event_of_the_hour() -> None:
    path = find(LOBSTER_HOUR)
    if path is None:
        pytest.skip(f"no real order flow: {data_directory() / LOBSTER_HOUR} is absent")
    book, reference, tally = Book(), ReferenceBook(), Tally()
    for step in steps(read(path)):
        if step.request is None:
            tally.note(step, [])
            continue
        events = apply(book, step.request)
        request = step.request
        if isinstance(request, Cancel):
            expected = reference.cancel(request.order_id, request.size)
        else:
            expected = reference.limit(
                request.order_id,
                request.side,
                request.price_ticks,
                request.size,
                immediate=request.immediate,
            )
        assert events == expected, step
        tally.note(step, events)
        for side in Side:
            assert queue(book, side) == reference.queue(side), step
        if tally.messages % 1000 == 0:
            book.audit()
    assert tally == Tally(
        messages=91_997,
        requests=89_784,
        executions=4_055,
        executions_agreed=3_989,
        executions_unknown=12,
        executions_hidden=2_201,
        crossed=1,
        refused=76,
    )
