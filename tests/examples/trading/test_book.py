"""The book against examples that one can check by eye, and against the reference book."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from examples.trading.book import PRICE_TICKS_MAX, SIZE_MAX, Book
from examples.trading.events import Accepted, Canceled, Event, Reason, Rejected, Replaced, Traded
from examples.trading.ladder import Side

from .reference_book import ReferenceBook

BUY, SELL = Side.BUY, Side.SELL


def queue(book: Book, side: Side) -> list[tuple[int, int, int]]:
    """(price, order id, size) of one side in the order in which they will trade."""
    return [
        (level.price_ticks, order.order_id, order.size)
        for level in book.levels(side)
        for order in level
    ]


def test_better_price_trades_first_then_earlier_order() -> None:
    book = Book()
    book.limit(1, SELL, 101, 5)
    book.limit(2, SELL, 100, 5)
    book.limit(3, SELL, 100, 5)
    assert book.limit(4, BUY, 101, 12) == [
        Accepted(4, BUY, 101, 12),
        Traded(4, 2, 100, 5, 7, 0),
        Traded(4, 3, 100, 5, 2, 0),
        Traded(4, 1, 101, 2, 0, 3),
    ]
    assert queue(book, SELL) == [(101, 1, 3)]
    assert queue(book, BUY) == []


def test_limit_rests_with_what_it_could_not_trade() -> None:
    book = Book()
    book.limit(1, BUY, 99, 4)
    book.limit(2, SELL, 98, 10)
    assert queue(book, SELL) == [(98, 2, 6)]
    assert book.best(BUY) is None
    assert book.best(SELL) == 98
    assert 1 not in book
    assert 2 in book


def test_immediate_and_market_orders_never_rest() -> None:
    book = Book()
    book.limit(1, SELL, 100, 3)
    assert book.limit(2, BUY, 99, 3, immediate=True)[1:] == [Canceled(2, 3, 0, Reason.UNFILLED)]
    assert book.market(3, BUY, 5)[1:] == [
        Traded(3, 1, 100, 3, 2, 0),
        Canceled(3, 2, 0, Reason.UNFILLED),
    ]
    assert len(book) == 0


def test_partial_cancel_keeps_the_place() -> None:
    book = Book()
    book.limit(1, SELL, 100, 5)
    book.limit(2, SELL, 100, 5)
    assert book.cancel(1, 4) == [Canceled(1, 4, 1, Reason.REQUESTED)]
    assert queue(book, SELL) == [(100, 1, 1), (100, 2, 5)]
    assert book.cancel(1, 2) == [Rejected(1, Reason.INVALID)]
    assert book.cancel(1) == [Canceled(1, 1, 0, Reason.REQUESTED)]
    assert book.cancel(1) == [Rejected(1, Reason.UNKNOWN)]


def test_replace_keeps_the_place_only_when_it_shrinks() -> None:
    book = Book()
    book.limit(1, BUY, 100, 5)
    book.limit(2, BUY, 100, 5)
    assert book.replace(1, 100, 3) == [Replaced(1, 100, 3, True)]
    assert queue(book, BUY) == [(100, 1, 3), (100, 2, 5)]
    assert book.replace(1, 100, 3) == [Replaced(1, 100, 3, True)]  # the same again
    assert queue(book, BUY) == [(100, 1, 3), (100, 2, 5)]
    assert book.replace(1, 100, 4) == [Replaced(1, 100, 4, False)]
    assert queue(book, BUY) == [(100, 2, 5), (100, 1, 4)]


def test_replace_may_trade() -> None:
    book = Book()
    book.limit(1, BUY, 100, 5)
    book.limit(2, SELL, 102, 2)
    assert book.replace(1, 103, 6) == [Replaced(1, 103, 6, False), Traded(1, 2, 102, 2, 4, 0)]
    assert queue(book, BUY) == [(103, 1, 4)]


def test_refusals_change_nothing() -> None:
    book = Book(orders_max=1)
    book.limit(1, BUY, 100, 5)
    assert book.limit(1, BUY, 100, 5) == [Rejected(1, Reason.DUPLICATE)]
    assert book.limit(2, BUY, 100, 5) == [Rejected(2, Reason.FULL)]
    assert book.replace(2, 100, 5) == [Rejected(2, Reason.UNKNOWN)]
    for price, size in ((0, 1), (PRICE_TICKS_MAX + 1, 1), (1, 0), (1, SIZE_MAX + 1), (-1, -1)):
        assert book.limit(3, SELL, price, size) == [Rejected(3, Reason.INVALID)]
        assert book.replace(1, price, size) == [Rejected(1, Reason.INVALID)]
    assert queue(book, BUY) == [(100, 1, 5)]


def test_a_full_book_still_trades() -> None:
    book = Book(orders_max=1)
    book.limit(1, BUY, 100, 5)
    assert book.market(2, SELL, 5)[1] == Traded(2, 1, 100, 5, 0, 0)
    assert book.limit(3, BUY, 100, 5) == [Accepted(3, BUY, 100, 5)]


# Few ids, prices and sizes, so that random requests meet each other.
ids = st.integers(1, 12)
sides = st.sampled_from([BUY, SELL])
prices = st.integers(0, 8)
sizes = st.integers(0, 6)
requests = st.one_of(
    st.tuples(st.just("limit"), ids, sides, prices, sizes, st.booleans()),
    st.tuples(st.just("market"), ids, sides, sizes),
    st.tuples(st.just("cancel"), ids, st.none() | sizes),
    st.tuples(st.just("replace"), ids, prices, sizes),
)


def ask(book: Book | ReferenceBook, request: tuple[object, ...]) -> list[Event]:
    """Apply one generated request."""
    match request:
        case ("limit", int(order), Side() as side, int(price), int(size), bool(immediate)):
            return book.limit(order, side, price, size, immediate=immediate)
        case ("market", int(order), Side() as side, int(size)):
            return book.market(order, side, size)
        case ("cancel", int(order), None | int() as size):
            return book.cancel(order, size)
        case ("replace", int(order), int(price), int(size)):
            return book.replace(order, price, size)
        case _:
            raise AssertionError(request)


@settings(max_examples=400)
@given(st.lists(requests, max_size=60), st.integers(1, 10))
def test_random_requests_equal_the_reference(
    stream: list[tuple[object, ...]], orders_max: int
) -> None:
    book, reference = Book(orders_max=orders_max), ReferenceBook(orders_max=orders_max)
    for request in stream:
        assert ask(book, request) == ask(reference, request)
        book.audit()
        for side in (BUY, SELL):
            assert queue(book, side) == reference.queue(side)
