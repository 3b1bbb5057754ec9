"""Made-up order flow: reproducible, and consistent enough that a book agrees with it."""

from __future__ import annotations

from collections import Counter

from examples.trading.book import Book
from examples.trading.lobster import Kind, Tally, apply, steps
from examples.trading.synthetic import messages


def test_a_book_agrees_with_every_message() -> None:
    book, tally = Book(), Tally()
    kinds: Counter[Kind] = Counter()
    for step in steps(messages(20_000, seed=1)):
        assert step.request is not None
        kinds[step.message.kind] += 1
        tally.note(step, apply(book, step.request))
    book.audit()
    assert tally.messages == tally.requests == 20_000
    assert tally.executions == tally.executions_agreed > 500
    assert (tally.crossed, tally.refused) == (0, 0)
    assert kinds[Kind.DELETE] > 5_000
    assert kinds[Kind.PARTIAL_CANCEL] > 50
    assert 100 < len(book) <= 500


def test_a_seed_is_a_stream() -> None:
    assert list(messages(100, seed=1)) == list(messages(100, seed=1))
    assert list(messages(100, seed=1)) != list(messages(100, seed=2))
