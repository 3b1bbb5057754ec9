"""The player against a gateway in this process: resending, and gateways that err."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import islice

import pytest

from examples.data import LOBSTER_HOUR, data_directory, find
from examples.trading.desk import Desk
from examples.trading.gateway import OrderGateway
from examples.trading.ladder import Side
from examples.trading.lobster import Kind, Message, read
from examples.trading.orders import Answer, CancelOrder, NewOrder
from examples.trading.play import ATTEMPT_PAUSE, NotAnsweredError, SessionInUseError, play
from machnet_rpc import Unavailable, rpc


def flow(orders: int) -> list[Message]:
    """Orders that rest, shrink, trade and leave."""
    messages: list[Message] = []
    for number in range(1, orders + 1):
        side = Side.BUY if number % 2 else Side.SELL
        price = 10_000 + (-100 if side is Side.BUY else 100) * (number % 5 + 1)
        messages.append(Message(number, Kind.NEW, number, 10, price, side))
        if number % 3 == 0:
            messages.append(Message(number, Kind.EXECUTION, number, 4, price, side))
        if number % 4 == 0:
            messages.append(Message(number, Kind.PARTIAL_CANCEL, number - 1, 1, price, side))
        if number % 7 == 0:
            messages.append(Message(number, Kind.DELETE, number - 2, 1, price, side))
    return messages


class Unreliable(OrderGateway):
    """Loses requests before, and answers after, they were executed."""

    asked = 0

    @rpc
    async def place(self, order: NewOrder) -> Answer:
        self.asked += 1
        if self.asked % 5 == 1:
            raise Unavailable("lost on the way")
        answer = self.desk.execute(order)
        if self.asked % 5 == 2:
            raise Unavailable("lost on the way back", executed="maybe")
        return answer


class Generous(OrderGateway):
    """Gives every hundredth order one more than it asked for."""

    @rpc
    async def place(self, order: NewOrder) -> Answer:
        if order.id % 100 == 0:
            order = replace(order, size=order.size + 1)
        return self.desk.execute(order)


class Dead(OrderGateway):
    """Answers no command."""

    @rpc
    async def place(self, order: NewOrder) -> Answer:
        raise Unavailable("gone")


class LosesOne(OrderGateway):
    """Takes commands in their order, many under way, and loses one."""

    lost = 50
    asked = 0

    @rpc
    async def place(self, order: NewOrder) -> Answer:
        await asyncio.sleep(0)
        self.asked += 1
        if self.asked == self.lost:
            raise Unavailable("lost on the way")
        return self.desk.execute(order)

    @rpc
    async def cancel(self, order: CancelOrder) -> Answer:
        await asyncio.sleep(0)
        return self.desk.execute(order)


def test_answers_and_book_agree() -> None:
    gateway = OrderGateway()
    played = asyncio.run(play(gateway, flow(500), session="s", window=16))
    assert played.is_right
    assert played.answers == played.load.calls == gateway.desk.commands
    assert played.fills > 0
    assert played.levels > 0
    assert played.sent_again == 0


def test_what_is_lost_is_sent_again_and_executes_once() -> None:
    gateway = Unreliable()
    played = asyncio.run(play(gateway, flow(100), session="s", window=4))
    assert played.is_right
    assert played.sent_again > 20
    assert gateway.desk.commands == played.answers
    gateway.desk.audit()


def test_after_a_loss_the_commands_are_in_step_again() -> None:
    window = 16
    played = asyncio.run(play(LosesOne(), flow(500), session="s", window=window))
    assert played.is_right
    assert played.load.errors == {"Unavailable": 1, "IdAheadError": window - 1}


class Shuffles(OrderGateway):
    """Takes some commands in another order than theirs, once, as when a flow was lost."""

    def __init__(self) -> None:
        super().__init__()
        self.late = set(range(50, 66))

    @rpc
    async def place(self, order: NewOrder) -> Answer:
        await self.arrive(order.id)
        return self.desk.execute(order)

    @rpc
    async def cancel(self, order: CancelOrder) -> Answer:
        await self.arrive(order.id)
        return self.desk.execute(order)

    async def arrive(self, number: int) -> None:
        turns = number * 7 % 16 * 3 if number in self.late else 1
        self.late.discard(number)
        for _ in range(turns):
            await asyncio.sleep(0)


def test_after_a_disorder_nothing_is_sent_before_what_was_refused() -> None:
    window = 16
    played = asyncio.run(play(Shuffles(), flow(500), session="s", window=window))
    assert played.is_right
    assert played.load.errors["IdAheadError"] < 2 * window


def test_the_latency_of_a_command_is_that_of_all_its_attempts() -> None:
    played = asyncio.run(play(LosesOne(), flow(40), session="s", window=1))
    assert played.sent_again == 1
    assert played.load.max_us >= ATTEMPT_PAUSE * 1e6


def test_wrong_answers_and_books_are_found() -> None:
    played = asyncio.run(play(Generous(), flow(300), session="s", window=4))
    assert played.wrong > 0
    assert not played.book_is_equal
    assert not played.is_right


def test_a_dead_gateway_is_given_up() -> None:
    with pytest.raises(NotAnsweredError, match=r"no answer to NewOrder.* 6 attempts: .+"):
        asyncio.run(play(Dead(), flow(3), session="s", window=2))


def test_a_gateway_with_a_past_is_refused() -> None:
    desk = Desk()
    desk.execute(CancelOrder("x", 1, 1))
    with pytest.raises(SessionInUseError, match="has seen 1 commands"):
        asyncio.run(play(OrderGateway(desk), flow(3), session="s", window=2))


def test_part_of_the_real_hour() -> None:
    path = find(LOBSTER_HOUR)
    if path is None:
        pytest.skip(f"no real order flow: {data_directory() / LOBSTER_HOUR} is absent")
    gateway = OrderGateway()
    played = asyncio.run(play(gateway, islice(read(path), 20_000), session="s", window=32))
    assert played.is_right
    assert played.fills > 1000
    gateway.desk.audit()
