"""A pair of connections: every call ends once, and `executed` is true."""

import random

import pytest

from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.connection import EARLY_MAX
from machnet_rpc._protocol.events import (
    Cause,
    Failed,
    GoneAway,
    Refused,
    Replied,
    Requested,
    Stopped,
)
from machnet_rpc._protocol.outbox import Ticket
from tests.machnet_rpc.protocol.pair import Pair

MS = 1_000_000
REFUSED = 3
PEER_DEAD = 5


def test_a_call_is_answered() -> None:
    pair = Pair()
    call = pair.call(b"ping")
    (requested,) = pair.to_server()
    assert isinstance(requested, Requested)
    assert (requested.payload, requested.call.method_id) == (b"ping", 77)
    assert requested.call.deadline_ns == call.deadline_ns
    pair.server.connection.reply(requested.call, b"pong")
    assert pair.to_client() == [Replied(call, b"pong")]
    assert len(pair.client.deadlines) == len(pair.server.deadlines) == 0
    assert pair.client.connection.outgoing == pair.server.connection.incoming == 0


def test_an_error_is_an_answer() -> None:
    pair = Pair()
    call = pair.call()
    (requested,) = pair.to_server()
    assert isinstance(requested, Requested)
    pair.server.connection.reply_error(requested.call, 5, b"why")
    pair.server.connection.reply(requested.call, b"a second answer is nobody's")
    assert pair.to_client() == [Refused(call, 5, b"why")]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 65535, 65536, 65537, 200_000, 1 << 20])
def test_payloads_of_any_length_arrive_whole(size: int) -> None:
    pair = Pair()
    sent = random.Random(size).randbytes(size)
    call = pair.call(sent)
    (requested,) = pair.to_server()
    assert isinstance(requested, Requested)
    assert requested.payload == sent
    pair.server.connection.reply(requested.call, memoryview(sent))
    assert pair.to_client() == [Replied(call, sent)]


def test_remaining_time_travels_and_ends_the_handler() -> None:
    pair = Pair()
    call = pair.call(timeout_ns=50 * MS)
    (requested,) = pair.to_server()
    assert isinstance(requested, Requested)
    pair.pass_time(49 * MS)
    assert pair.server.expire(pair.now_ns) == []
    pair.pass_time(2 * MS)
    assert pair.server.expire(pair.now_ns) == [Stopped(requested.call, Cause.DEADLINE)]
    (failed,) = pair.client.expire(pair.now_ns)
    assert failed == Failed(call, Cause.DEADLINE, "maybe", "sent", 0)
    pair.server.connection.reply(requested.call, b"late")
    assert pair.to_client() == []
    assert pair.client.connection.records_ignored == 1


def test_cancel_reaches_the_handler() -> None:
    pair = Pair()
    call = pair.call()
    (requested,) = pair.to_server()
    assert isinstance(requested, Requested)
    assert pair.client.connection.cancel(call) == Failed(call, Cause.CANCELLED, "maybe", "sent", 0)
    assert pair.client.connection.cancel(call) is None
    assert pair.to_server() == [Stopped(requested.call, Cause.CANCELLED)]
    pair.server.connection.reply(requested.call, b"too late")
    assert not pair.server.outbox


def test_a_call_cancelled_before_it_left_never_leaves() -> None:
    pair = Pair()
    kept, dropped = pair.call(b"1"), pair.call(b"2" * 100_000)
    failed = pair.client.connection.cancel(dropped)
    assert failed == Failed(dropped, Cause.CANCELLED, "no", "local ring", 0)
    (requested,) = pair.to_server()
    assert isinstance(requested, Requested)
    assert requested.payload == b"1"
    assert kept.sent
    assert pair.client.outbox.size_bytes == 0


def test_a_message_whose_start_was_taken_is_finished_and_maybe_executed() -> None:
    pair = Pair()
    call = pair.call(b"x" * 100_000)
    behind = pair.call(b"behind")
    first = pair.client.take(bytes_max=66_000)
    assert len(first) == 1
    failed = pair.client.connection.cancel(call)
    assert failed is not None
    assert (failed.executed, failed.stage) == ("maybe", "local ring")
    assert pair.server.give(first, pair.now_ns) == []
    events = pair.to_server()
    assert [type(event) for event in events] == [Requested, Requested, Stopped]
    assert behind.sent


def test_sweep_frees_withdrawn_messages_but_not_the_rest_of_a_started_one() -> None:
    pair = Pair()
    started = pair.call(b"s" * 100_000)
    pair.client.give(pair.client.take(bytes_max=66_000), pair.now_ns)
    withdrawn = [pair.call(b"w" * 1000) for _ in range(10)]
    kept = pair.call(b"k")
    for call in (started, *withdrawn):
        pair.client.connection.cancel(call)
    before = pair.client.outbox.size_bytes
    pair.client.outbox.sweep()
    assert before - pair.client.outbox.size_bytes == 10 * (48 + 1000)
    left = pair.client.take()
    assert [head[records.CALL_ID] for head, _ in left] == [started.call_id, kept.call_id, 1]


@pytest.mark.parametrize("how", ["cancelled", "expired", "closed"])
def test_what_is_withdrawn_in_any_way_is_swept(how: str) -> None:
    pair = Pair()
    outbox, connection = pair.client.outbox, pair.client.connection
    calls = [pair.call(b"w" * 1000) for _ in range(10)]
    full_bytes = outbox.size_bytes
    outbox.sweep()
    assert outbox.size_bytes == full_bytes
    assert not outbox.has_withdrawn
    if how == "closed":
        list(connection.closed(PEER_DEAD))
    for call in calls if how != "closed" else []:
        connection.cancel(call) if how == "cancelled" else connection.expire(call)
    outbox.sweep()
    assert outbox.size_bytes == 0


def test_a_sweep_with_nothing_to_free_does_not_look_at_the_queue() -> None:
    """Every call that waits for room asks for one, and the queue is long then."""
    pair = Pair()
    pair.call()
    queue = pair.client.outbox._messages
    pair.client.outbox.sweep()
    assert pair.client.outbox._messages is queue


@pytest.mark.parametrize(
    ("sent", "reason", "executed"), [(False, REFUSED, "no"), (True, PEER_DEAD, "maybe")]
)
def test_a_closed_flow_ends_every_call(sent: bool, reason: int, executed: str) -> None:
    pair = Pair()
    calls = [pair.call() for _ in range(5)]
    served = pair.to_server() if sent else []
    events = list(pair.client.connection.closed(reason))
    assert [event.call for event in events if isinstance(event, Failed)] == calls
    for event in events:
        assert isinstance(event, Failed)
        assert (event.executed, event.cause, event.reason) == (executed, Cause.FLOW_CLOSED, reason)
    assert pair.client.connection.is_closed
    assert not pair.client.outbox.burst()
    assert len(pair.client.deadlines) == 0
    stopped = list(pair.server.connection.closed(reason))
    assert len(stopped) == len(served)
    assert all(isinstance(event, Stopped) for event in stopped)


def test_go_away_leaves_calls_under_way_alone() -> None:
    pair = Pair()
    call = pair.call()
    (requested,) = pair.to_server()
    assert isinstance(requested, Requested)
    pair.server.connection.go_away()
    assert pair.to_client() == [GoneAway(pair.client.connection)]
    assert not pair.client.connection.is_usable
    pair.server.connection.go_away()
    assert pair.to_client() == []
    pair.server.connection.reply(requested.call, b"still")
    assert pair.to_client() == [Replied(call, b"still")]


def test_unexpected_records_are_counted_and_change_nothing() -> None:
    pair = Pair()
    call = pair.call()
    pair.to_server()
    for kind in range(records.APP_KIND_LAST + 1):
        if kind in (records.GOAWAY, records.REQUEST):
            continue
        head = (999, 0, 0, 3, 0, 0, 0, kind, records.WHOLE, 0, 0, 0, 0, 0)
        assert pair.client.connection.receive(head, b"", pair.now_ns) is None
    assert pair.client.connection.outgoing == 1
    assert pair.client.connection.records_ignored == records.APP_KIND_LAST - 1
    assert not call.gone


def test_a_repeated_call_id_is_ignored() -> None:
    pair = Pair()
    pair.call()
    arrived = pair.client.take()
    assert len(pair.server.give(arrived, pair.now_ns)) == 1
    assert pair.server.give(arrived, pair.now_ns) == []
    assert pair.server.connection.records_ignored == 1


@pytest.mark.parametrize("seed", range(30))
def test_each_call_ends_exactly_once_whatever_happens(seed: int) -> None:
    """Random calls, cancels, answers, delays, partial bursts and a death; the server keeps a
    journal against which each `executed` is checked."""
    pick = random.Random(seed)
    pair = Pair()
    ends: dict[int, str] = {}
    made: list[OutgoingCall] = []
    open_calls: list[Requested] = []
    journal: set[int] = set()
    wire: list[tuple[records.Head, bytes]] = []
    back: list[tuple[records.Head, bytes]] = []

    def note(events: list[object]) -> None:
        for event in events:
            assert isinstance(event, Replied | Refused | Failed)
            assert event.call.call_id not in ends
            ends[event.call.call_id] = event.executed if isinstance(event, Failed) else "yes"

    for _ in range(600):
        act = pick.randrange(7)
        if act == 0:
            made.append(pair.call(b"p" * pick.choice([0, 9, 70_000]), pick.randrange(1, 40) * MS))
        elif act == 1 and made:
            failed = pair.client.connection.cancel(pick.choice(made))
            note([failed] if failed else [])
        elif act == 2:
            wire += pair.client.take(pick.randrange(150_000))
            back += pair.server.take(pick.randrange(150_000))
        elif act == 3:
            for event in pair.server.give(wire, pair.now_ns):
                if isinstance(event, Requested):
                    journal.add(event.call.call_id)
                    open_calls.append(event)
            wire = []
        elif act == 4 and open_calls:
            requested = open_calls.pop(pick.randrange(len(open_calls)))
            pair.server.connection.reply(requested.call, b"r" * pick.choice([0, 9, 70_000]))
        elif act == 5:
            note(list(pair.client.give(back, pair.now_ns)))
            back = []
        else:
            pair.pass_time(pick.randrange(5 * MS))
            note(list(pair.client.expire(pair.now_ns)))
            pair.server.expire(pair.now_ns)
    note(list(pair.client.connection.closed(PEER_DEAD)))
    assert sorted(ends) == sorted(call.call_id for call in made)
    for call_id, executed in ends.items():
        assert executed != "no" or call_id not in journal
        assert executed != "yes" or call_id in journal
    assert len(set(ends.values())) == 3
    assert len(pair.client.deadlines) == 0


def test_who_is_told_that_the_handler_runs_knows_it() -> None:
    pair = Pair()
    begun, waiting, ended = pair.call(), pair.call(), pair.call()
    pair.to_server()
    told = [begun.call_id, ended.call_id, 1 << 40]  # the last is no call at all
    pair.client.connection.cancel(ended)
    pair.server.connection.tell_begun(told)
    assert pair.to_client() == []
    assert pair.client.connection.records_ignored == 0
    assert list(pair.client.connection.closed(PEER_DEAD)) == [
        Failed(begun, Cause.FLOW_CLOSED, "yes", "handler started", PEER_DEAD),
        Failed(waiting, Cause.FLOW_CLOSED, "maybe", "sent", PEER_DEAD),
    ]


@pytest.mark.parametrize("size", [0, 1, 7, 9, 23])
def test_progress_that_is_no_list_of_calls_is_counted_and_changes_nothing(size: int) -> None:
    pair = Pair()
    call = pair.call()
    pair.to_server()
    payload = (call.call_id.to_bytes(8, "little") * 3)[:size]
    pair.server.connection.post(Ticket(), payload, records.PROGRESS, 0, 0, priority=0)
    pair.to_client()
    assert pair.client.connection.records_ignored == 1
    assert call.executed == "maybe"


def test_progress_of_many_calls_takes_several_messages() -> None:
    pair = Pair()
    calls = [pair.call() for _ in range(300)]
    pair.to_server()
    pair.server.connection.tell_begun([call.call_id for call in calls])
    pair.to_client()
    assert {call.executed for call in calls} == {"yes"}


def test_a_cancel_that_overtakes_its_request_is_kept_for_it() -> None:
    pair = Pair()
    call, other = pair.call(b"1"), pair.call(b"2")
    requests = pair.client.take()
    pair.client.connection.cancel(call)
    assert pair.to_server() == []
    assert pair.server.connection.incoming == 0
    events = pair.server.give(requests, pair.now_ns)
    assert [event.payload for event in events if isinstance(event, Requested)] == [b"2"]
    assert pair.server.connection.incoming == len(pair.server.deadlines) == 1
    stopped = list(pair.server.connection.closed(PEER_DEAD))
    assert [each.call.call_id for each in stopped if isinstance(each, Stopped)] == [other.call_id]


def test_cancels_of_what_is_not_there_take_bounded_room() -> None:
    pair = Pair()
    server = pair.server.connection
    for call_id in range(1000, 1000 + 3 * EARLY_MAX):
        pair.client.connection.send_cancel(call_id, 4)
        pair.client.connection.send_cancel(call_id, 4)  # the second finds the first
        pair.to_server()
    assert len(server._incoming) == len(server._early) == EARLY_MAX
    assert server.incoming == 0
    assert server.records_ignored == 6 * EARLY_MAX
    assert list(server.closed(PEER_DEAD)) == []
    assert not server._incoming


def test_what_nobody_took_from_the_ring_was_not_executed() -> None:
    pair = Pair()
    taken, untaken = pair.call(), pair.call(b"x" * 100_000)
    heads = [head for head, _ in pair.client.take()]
    other_flow = list(heads[0])
    other_flow[records.FLOW] += 1
    pair.client.connection.untaken([tuple(other_flow), heads[1]])
    assert list(pair.client.connection.closed(PEER_DEAD)) == [
        Failed(taken, Cause.FLOW_CLOSED, "maybe", "sent", PEER_DEAD),
        Failed(untaken, Cause.FLOW_CLOSED, "no", "local ring", PEER_DEAD),
    ]


def test_an_error_without_a_word_is_the_engines_and_the_handler_never_ran() -> None:
    pair = Pair()
    call = pair.call()
    (requested,) = pair.to_server()
    assert isinstance(requested, Requested)
    pair.server.connection.reply_error(requested.call, 4, b"")
    pair.pass_time(2_000 * MS)  # it comes when the time is over
    assert pair.to_client() == [Failed(call, Cause.DEADLINE, "no", "remote ring", 0)]


def test_a_flow_that_ends_here_first_is_closed_once_there_is_room() -> None:
    """Of all that waits for it, its peer is told of the end."""
    pair = Pair()
    pair.call()
    (requested,) = pair.to_server()
    assert isinstance(requested, Requested)
    server = pair.server.connection
    server.reply(requested.call, b"nobody is to see it")
    server.close()
    assert list(server.closed(PEER_DEAD)) == []
    assert [head[records.KIND] for head, _ in pair.server.take()] == [records.FLOW_CLOSE]
