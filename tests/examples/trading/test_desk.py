"""The desk: order of commands, resending, reports, bounds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.trading.desk import (
    Desk,
    DeskError,
    DeskLimits,
    IdAheadError,
    IdForgottenError,
    IdReusedError,
    ReportsGoneError,
    TooManySessionsError,
)
from examples.trading.ladder import Side
from examples.trading.orders import (
    CancelOrder,
    Command,
    NewOrder,
    PriceLevel,
    ReplaceOrder,
    Report,
    SessionState,
    Snapshot,
    What,
)

BUY, SELL = Side.BUY, Side.SELL


def test_both_sides_of_a_trade_are_told() -> None:
    desk = Desk()
    desk.execute(NewOrder("maker", 1, SELL, 100, 5))
    answer = desk.execute(NewOrder("taker", 1, BUY, 101, 8))
    assert answer.reports == [
        Report(1, 1, What.ACCEPTED, 101, 8, 8),
        Report(2, 1, What.FILLED, 100, 5, 3),
    ]
    assert desk.reports("maker", 1, 10).reports == [Report(2, 1, What.FILLED, 100, 5, 0)]
    assert desk.snapshot(5) == Snapshot(2, [PriceLevel(101, [3])], [])
    desk.audit()


def test_a_command_sent_again_gets_its_first_answer() -> None:
    desk = Desk()
    order = NewOrder("s", 1, SELL, 100, 5)
    first = desk.execute(order)
    desk.execute(NewOrder("other", 1, BUY, 100, 2))
    assert desk.execute(order) == first
    assert desk.snapshot(5).asks == [PriceLevel(100, [3])]
    assert desk.state("s") == SessionState(next_id=2, newest=2)
    with pytest.raises(IdReusedError, match="id 1 was another command"):
        desk.execute(replace(order, size=6))
    with pytest.raises(IdReusedError):
        desk.execute(CancelOrder("s", 1, order=1))


def test_commands_execute_in_their_order_only() -> None:
    desk = Desk()
    with pytest.raises(IdAheadError, match="command 2 is early: 1 comes next"):
        desk.execute(NewOrder("s", 2, SELL, 100, 5))
    for number in (0, -1):
        with pytest.raises(DeskError, match="was never executed") as refusal:
            desk.execute(NewOrder("s", number, SELL, 100, 5))
        assert type(refusal.value) is DeskError  # forgotten ones were executed
    assert desk.snapshot(1) == Snapshot(0, [], [])


def test_cancel_and_replace_act_on_orders_of_their_session_only() -> None:
    desk = Desk()
    desk.execute(NewOrder("a", 1, SELL, 100, 5))
    for command in (CancelOrder("b", 1, order=1), ReplaceOrder("b", 2, 1, 90, 5)):
        assert desk.execute(command).reports[0].what is What.REJECTED
    assert desk.execute(ReplaceOrder("a", 2, 1, 99, 4)).reports == [
        Report(2, 1, What.REPLACED, 99, 4, 4)
    ]
    assert desk.execute(CancelOrder("a", 3, 1, size=1)).reports == [
        Report(3, 1, What.CANCELED, None, 1, 3, "requested")
    ]
    assert desk.execute(CancelOrder("a", 4, 1)).reports[0].left == 0
    assert desk.execute(CancelOrder("a", 5, 1)).reports == [
        Report(5, 1, What.REJECTED, None, 0, 0, "unknown")
    ]
    desk.audit()


def test_a_refused_change_leaves_the_order_open_and_says_so() -> None:
    desk = Desk()
    desk.execute(NewOrder("s", 1, SELL, 100, 5))
    refused: list[Command] = [CancelOrder("s", 2, 1, size=6), ReplaceOrder("s", 3, 1, 0, 5)]
    for command in refused:
        report = desk.execute(command).reports[0]
        assert (report.what, report.reason, report.left) == (What.REJECTED, "invalid", 5)
    assert desk.execute(NewOrder("s", 4, SELL, 0, 5)).reports[0].left == 0
    assert desk.snapshot(1).asks == [PriceLevel(100, [5])]


def test_market_and_immediate_orders_leave_nothing() -> None:
    desk = Desk()
    assert desk.execute(NewOrder("s", 1, BUY, None, 5)).reports[-1] == (
        Report(2, 1, What.CANCELED, None, 5, 0, "unfilled")
    )
    desk.execute(NewOrder("s", 2, BUY, 10, 5, immediate=True))
    desk.audit()
    assert desk.snapshot(1).bids == []


def test_what_is_remembered_is_bounded() -> None:
    desk = Desk(DeskLimits(sessions_max=2, answers_max=3, reports_max=4))
    for number in range(1, 7):
        desk.execute(NewOrder("s", number, BUY, 10 + number, 1))
    assert desk.execute(NewOrder("s", 4, BUY, 14, 1)).id == 4
    with pytest.raises(IdForgottenError, match="command 3"):
        desk.execute(NewOrder("s", 3, BUY, 13, 1))
    assert [report.sequence for report in desk.reports("s", 2, 10).reports] == [3, 4, 5, 6]
    assert [report.sequence for report in desk.reports("s", 4, 1).reports] == [5]
    assert desk.reports("s", 6, 10).reports == []
    with pytest.raises(ReportsGoneError, match="reports before 3 are gone"):
        desk.reports("s", 1, 10)
    desk.execute(NewOrder("t", 1, BUY, 1, 1))
    with pytest.raises(TooManySessionsError, match="at most 2"):
        desk.execute(NewOrder("u", 1, BUY, 1, 1))
    assert desk.state("u") == SessionState(1, 0)
    assert desk.reports("u", 0, 10).newest == 0


def test_a_command_that_is_refused_takes_no_place_in_the_table() -> None:
    desk = Desk(DeskLimits(sessions_max=1))
    for number in (0, 2, 7):
        with pytest.raises(DeskError):
            desk.execute(NewOrder(f"early {number}", number, BUY, 1, 1))
    assert desk.execute(NewOrder("in order", 1, BUY, 1, 1)).id == 1
    desk.audit()


SECOND = 1_000_000_000


def test_a_silent_session_with_nothing_open_gives_its_place_and_keeps_its_numbers() -> None:
    desk = Desk(DeskLimits(sessions_max=2, silence_ns=60 * SECOND))
    market = NewOrder("idle", 1, BUY, None, 5)
    desk.execute(market, 0)
    desk.execute(NewOrder("resting", 1, SELL, 100, 5), 0)
    with pytest.raises(TooManySessionsError, match="at most 2 sessions; ask again in 1 s"):
        desk.execute(NewOrder("new", 1, BUY, 1, 1), 59 * SECOND)
    assert desk.execute(NewOrder("new", 1, BUY, 1, 1), 60 * SECOND).id == 1
    desk.audit()
    assert desk.state("idle") == SessionState(2, 2)
    with pytest.raises(IdForgottenError, match="command 1"):
        desk.execute(market, 60 * SECOND)
    with pytest.raises(ReportsGoneError, match="after 2"):
        desk.reports("idle", 0, 10)
    assert desk.reports("idle", 2, 10).newest == 2
    with pytest.raises(TooManySessionsError, match="at most 2 sessions"):  # both have orders
        desk.execute(NewOrder("idle", 2, BUY, 1, 1), 900 * SECOND)
    desk.execute(CancelOrder("new", 2, order=1), 900 * SECOND)
    answer = desk.execute(NewOrder("idle", 2, BUY, 100, 1), 960 * SECOND)  # it is back
    assert answer.reports[0] == Report(3, 2, What.ACCEPTED, 100, 1, 1)
    assert desk.execute(NewOrder("idle", 2, BUY, 100, 1), 960 * SECOND) == answer
    desk.audit()


def test_a_word_or_a_trade_ends_the_silence() -> None:
    desk = Desk(DeskLimits(sessions_max=2, silence_ns=60 * SECOND))
    desk.execute(NewOrder("maker", 1, SELL, 100, 5), 0)
    desk.execute(NewOrder("taker", 1, BUY, 100, 5), 50 * SECOND)  # now neither has an order
    for late in (60, 109):
        with pytest.raises(TooManySessionsError):
            desk.execute(NewOrder("new", 1, BUY, 1, 1), late * SECOND)
    desk.execute(NewOrder("taker", 1, BUY, 100, 5), 105 * SECOND)  # sent again: it waits for it
    assert desk.execute(NewOrder("new", 1, BUY, 1, 1), 110 * SECOND).id == 1
    assert desk.reports("taker", 0, 10).newest == 2
    with pytest.raises(ReportsGoneError):
        desk.reports("maker", 0, 10)


def test_who_leaves_has_nothing_open_any_more() -> None:
    desk = Desk()
    for number, price in ((1, 101), (2, 100), (3, 102)):
        desk.execute(NewOrder("s", number, SELL, price, 5))
    desk.execute(NewOrder("other", 1, BUY, 101, 7))
    desk.execute(NewOrder("other", 2, SELL, 103, 1))
    desk.leave("s")
    desk.audit()
    assert desk.snapshot(5).asks == [PriceLevel(103, [1])]
    assert desk.reports("s", 5, 10).reports == [
        Report(6, 1, What.CANCELED, None, 3, 0, "disconnected"),
        Report(7, 3, What.CANCELED, None, 5, 0, "disconnected"),
    ]
    desk.leave("s")
    desk.leave("nobody")
    assert desk.state("s") == SessionState(4, 7)
    assert desk.execute(CancelOrder("s", 4, order=1)).reports[0].reason == "unknown"


def test_numbers_of_ended_sessions_are_never_given_again() -> None:
    """However many have ended: a command of any of them that comes late is not executed anew."""
    desk = Desk(DeskLimits(sessions_max=1, ended_max=2, silence_ns=0))
    for name, last in (("a", 3), ("b", 2), ("c", 1), ("d", 1), ("e", 1)):
        for number in range(1, last + 1):
            desk.execute(NewOrder(name, desk.next_id(name), BUY, None, number), 0)
    seen = desk.commands
    assert desk.state("c") == SessionState(2, 2)
    for name in ("a", "b", "c", "new"):
        with pytest.raises(IdForgottenError, match="comes next"):
            desk.execute(NewOrder(name, 1, BUY, None, 1), 0)
    assert desk.commands == seen
    assert desk.next_id("new") == 4  # beyond all that were forgotten
    desk.audit()


def test_a_long_answer_goes_on_in_the_reports() -> None:
    desk = Desk()
    for number in range(1, 1501):
        desk.execute(NewOrder("maker", number, SELL, 100, 1))
    order = NewOrder("taker", 1, BUY, None, 1501)
    answer = desk.execute(order)
    assert desk.execute(order) == answer
    assert len(answer.reports) == 1000
    assert answer.more == 502
    others = desk.reports("taker", answer.reports[-1].sequence, 1000).reports
    assert [report.sequence for report in answer.reports + others] == list(range(1, 1503))
    assert (others[-1].what, others[-1].size) == (What.CANCELED, 1)


def test_numbers_beyond_a_machine_word() -> None:
    desk = Desk()
    desk.execute(NewOrder("s", 1, BUY, 10, 1))
    assert desk.reports("s", 2**64, 1).reports == []
    assert desk.reports("s", -(2**63), 1) == desk.reports("s", 0, 1)
    assert len(desk.reports("s", 0, 2**64).reports) == 1
    assert desk.snapshot(2**64).bids == [PriceLevel(10, [1])]


def test_session_names_have_a_length() -> None:
    for name in ("", "x" * 65):
        with pytest.raises(DeskError, match="1 to 64 characters"):
            Desk().execute(NewOrder(name, 1, BUY, 1, 1))


prices, sizes, orders = st.integers(0, 6), st.integers(0, 5), st.integers(1, 8)
sessions = st.sampled_from(["a", "b"])
commands = st.one_of(
    st.builds(
        NewOrder,
        sessions,
        st.just(0),
        st.sampled_from([BUY, SELL]),
        st.none() | prices,
        sizes,
        st.booleans(),
    ),
    st.builds(CancelOrder, sessions, st.just(0), orders, st.none() | sizes),
    st.builds(ReplaceOrder, sessions, st.just(0), orders, prices, sizes),
)


@given(st.lists(st.tuples(commands, st.booleans()), max_size=40))
def test_resending_changes_nothing(stream: list[tuple[Command, bool]]) -> None:
    plain, resent = Desk(), Desk()
    for unnumbered, again in stream:
        command = replace(unnumbered, id=plain.next_id(unnumbered.session))
        answer = plain.execute(command)
        assert resent.execute(command) == answer
        if again:
            assert resent.execute(command) == answer
        resent.audit()
    assert plain.snapshot(100) == resent.snapshot(100)
    for session in ("a", "b"):
        assert plain.reports(session, 0, 1000) == resent.reports(session, 0, 1000)
        filled = [r for r in plain.reports(session, 0, 1000).reports if r.what is What.FILLED]
        assert all(report.size > 0 for report in filled)


@given(st.lists(commands, min_size=10, max_size=40))
def test_reports_tell_what_is_open(stream: list[Command]) -> None:
    desk = Desk()
    for command in stream:
        desk.execute(replace(command, id=desk.next_id(command.session)))
    left: dict[tuple[str, int], int] = {}
    for session in ("a", "b"):
        for report in desk.reports(session, 0, 1000).reports:
            left[session, report.order] = report.left
    book = desk.snapshot(100)
    resting = [size for level in book.bids + book.asks for size in level.sizes]
    assert sorted(size for size in left.values() if size) == sorted(resting)


def test_answers_are_kept_until_their_reports_are_many() -> None:
    desk = Desk(DeskLimits(answered_max=6))
    orders = [NewOrder("s", number, Side.SELL, 100 + number, 1) for number in range(1, 10)]
    answers = [desk.execute(order, 0) for order in orders]
    with pytest.raises(IdForgottenError):
        desk.execute(orders[2], 0)
    assert [desk.execute(order, 0) for order in orders[3:]] == answers[3:]
