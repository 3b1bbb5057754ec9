"""The halves of a stream: items in order within the credit, and nothing beyond it."""

import random

import pytest

from machnet_rpc._protocol.streams import FIRST, NOTHING, Broken, Receiving, Sending, Window

SIZE = Window(8, 1000)


def test_items_are_taken_in_order_whatever_the_order_of_arrival() -> None:
    numbers = list(range(8))
    random.Random(1).shuffle(numbers)
    receiving = Receiving(SIZE, SIZE)
    for number in numbers:
        receiving.put(number, bytes([number]))
    receiving.end(8)
    assert receiving.is_whole
    assert [receiving.take() for _ in range(8)] == [bytes([number]) for number in range(8)]
    assert receiving.is_done
    assert receiving.take() is None


def test_whoever_waits_is_told_only_of_what_can_be_taken() -> None:
    told: list[int] = []
    receiving = Receiving(SIZE, SIZE)
    receiving.on_change = lambda: told.append(receiving.received)
    receiving.put(1, b"")
    receiving.put(2, b"")
    assert told == []
    receiving.put(0, b"")
    assert told == [3]
    receiving.end(3)
    assert told == [3, 3]


def test_credit_comes_by_half_windows_and_ends_with_the_end() -> None:
    receiving = Receiving(SIZE, SIZE)
    limits: list[Window | None] = []
    for number in range(8):
        receiving.put(number, b"x")
        receiving.take()
        limits.append(receiving.granted())
    assert [limit and limit.items for limit in limits] == [
        None,
        None,
        None,
        12,
        None,
        None,
        None,
        16,
    ]
    receiving.end(9)
    receiving.put(8, b"")
    receiving.take()
    assert receiving.granted() is None


def test_large_items_are_bounded_by_bytes_and_any_size_passes_one_at_a_time() -> None:
    sending, receiving = Sending(SIZE), Receiving(SIZE, SIZE)
    for number in range(20):
        assert sending.may_send == (number == sending.count)
        receiving.put(sending.number(5000), bytes(5000))
        assert sending.limit.size_bytes <= sending.size_bytes
        receiving.take()
        limit = receiving.granted()
        assert limit is not None
        sending.admit(limit)


def test_old_credit_and_credit_twice_change_nothing() -> None:
    sending = Sending(FIRST)
    for limit in (Window(96, 5), Window(80, FIRST.size_bytes), Window(96, 5)):
        sending.admit(limit)
    assert sending.limit == Window(96, FIRST.size_bytes)


def test_before_the_first_credit_nothing_may_be_sent() -> None:
    sending, receiving = Sending(NOTHING), Receiving(SIZE)
    assert not sending.may_send
    with pytest.raises(Broken, match="beyond the credit"):
        receiving.put(0, b"")
    assert receiving.granted() == SIZE
    receiving.put(0, b"")
    assert receiving.waiting == 1


@pytest.mark.parametrize(
    ("puts", "ends", "sentence"),
    [
        ([(8, 1)], [], "beyond the credit"),
        ([(1 << 60, 1)], [], "beyond the credit"),
        ([(3, 1), (3, 1)], [], "twice"),
        ([(0, 1000), (1, 1)], [], "credit in bytes"),
        ([(1, 1), (0, 1000)], [], "credit in bytes"),
        ([(5, 1)], [5], "contradicts"),
        ([], [9], "contradicts"),
        ([], [4, 5], "two ends"),
    ],
)
def test_what_breaks_the_rules_is_said(
    puts: list[tuple[int, int]], ends: list[int], sentence: str
) -> None:
    receiving = Receiving(SIZE, SIZE)

    def receive() -> None:
        for number, size in puts:
            receiving.put(number, bytes(size))
        for count in ends:
            receiving.end(count)

    with pytest.raises(Broken, match=sentence):
        receive()
    assert receiving.waiting <= SIZE.items


def test_an_item_after_the_end_or_once_more_after_it_was_taken_is_broken() -> None:
    receiving = Receiving(SIZE, SIZE)
    receiving.put(0, b"")
    receiving.take()
    with pytest.raises(Broken, match="twice"):
        receiving.put(0, b"")
    receiving.end(2)
    with pytest.raises(Broken, match="after the end"):
        receiving.put(2, b"")
