"""Made-up order flow, for machines without a recording: a seed is a stream.

Prices wander; orders come near the middle, and shrink, leave or trade at rates like those of the
recorded hour. Executions take the best price and the earliest order there, as real ones do.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from examples.trading.book import Book
from examples.trading.ladder import Side
from examples.trading.lobster import TICK, Kind, Message

if TYPE_CHECKING:
    from collections.abc import Iterator

MIDDLE_TICKS = 58_500
RESTING_MAX = 400
LOT = 100


def messages(count: int, seed: int) -> Iterator[Message]:
    """`count` messages."""
    random, book = Random(seed), Book()
    resting: list[int] = []  # may name orders that have left; they are dropped when drawn
    middle = MIDDLE_TICKS
    for number in range(1, count + 1):
        middle += random.choice((-1, 0, 0, 0, 1))
        point = random.random()
        victim = _drawn(random, book, resting) if point < 0.45 or len(book) > RESTING_MAX else None
        if victim is not None:
            yield _amended(random, book, number, victim)
        elif point < 0.5 and len(book):
            yield _executed(random, book, number)
        else:
            yield _placed(random, book, number, middle)
            resting.append(number)


def _drawn(random: Random, book: Book, resting: list[int]) -> int | None:
    """Any order that still rests."""
    while resting:
        at = random.randrange(len(resting))
        resting[at], resting[-1] = resting[-1], resting[at]
        if resting[-1] in book:
            return resting[-1]
        resting.pop()
    return None


def _amended(random: Random, book: Book, number: int, victim: int) -> Message:
    order = book.order(victim)
    if order.size > 1 and random.random() < 0.02:
        size = random.randrange(1, order.size)
        kind = Kind.PARTIAL_CANCEL
    else:
        size, kind = order.size, Kind.DELETE
    message = Message(number, kind, victim, size, order.price_ticks * TICK, order.side)
    book.cancel(victim, size)
    return message


def _executed(random: Random, book: Book, number: int) -> Message:
    side = random.choice([side for side in Side if book.best(side) is not None])
    first = next(book.levels(side)).first
    assert first is not None, "a level is never empty"
    size = random.randint(1, first.size)
    message = Message(number, Kind.EXECUTION, first.order_id, size, first.price_ticks * TICK, side)
    book.market(number, side.opposite, size)
    return message


def _placed(random: Random, book: Book, number: int, middle: int) -> Message:
    side = random.choice(list(Side))
    price = middle - side * (1 + int(random.expovariate(0.1)))
    opposite = book.best(side.opposite)
    if opposite is not None and (opposite - price) * side <= 0:
        price = opposite - side  # a recording shows only what came to rest
    size = random.choice((18, LOT, LOT, LOT, 2 * LOT))
    book.limit(number, side, price, size)
    return Message(number, Kind.NEW, number, size, price * TICK, side)
