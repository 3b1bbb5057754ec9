"""Streams over a pair of connections: each ends once on both sides, and nothing is left."""

import pytest

from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.connection import EARLY_MAX
from machnet_rpc._protocol.events import Cause, Failed, Refused, Replied, Requested, Stopped
from machnet_rpc._protocol.stream_table import IncomingStream, OutgoingStream
from machnet_rpc._protocol.streams import FIRST, Window
from tests.machnet_rpc.protocol.pair import Pair

MS = 1_000_000
PEER_DEAD = 5
WINDOW = Window(8, 1 << 16)


class Streaming(Pair):
    """A pair with one call that has a stream in each direction."""

    def __init__(self, *, gives: bool = True, takes: bool = True) -> None:
        super().__init__()
        call = OutgoingCall(77, self.now_ns + 1000 * MS, None)
        self.near = OutgoingStream(call, gives=gives, takes=takes)
        self.client.connection.open_stream(self.near, b"arguments", self.now_ns)
        (requested,) = self.to_server()
        assert isinstance(requested, Requested)
        self.answered = requested.call
        self.far: IncomingStream = self.server.connection.streams.accept(
            self.answered, WINDOW if gives else None, gives=takes
        )
        assert self.to_client() == []

    def is_clean(self) -> bool:
        return not (
            self.client.connection.outgoing
            or self.server.connection.incoming
            or self.client.connection.streams.outgoing
            or self.server.connection.streams.incoming
            or len(self.client.deadlines)
            or len(self.server.deadlines)
        )


def taken(stream: OutgoingStream | IncomingStream) -> list[bytes]:
    found: list[bytes] = []
    while (payload := stream.take()) is not None:
        found.append(payload)
    return found


def test_both_directions_and_a_result() -> None:
    pair = Streaming()
    for word in (b"a", b"b"):
        pair.near.send(word)
        pair.far.send(word * 2)
    pair.near.finish()
    assert pair.to_server() == pair.to_client() == []
    assert taken(pair.far) == [b"a", b"b"]
    assert pair.far.receiving is not None
    assert pair.far.receiving.is_done
    pair.server.connection.reply_stream(pair.far, b"result")
    assert pair.to_client() == [Replied(pair.near.call, b"result")]
    assert taken(pair.near) == [b"aa", b"bb"]
    assert pair.is_clean()


@pytest.mark.parametrize("is_error", [False, True])
def test_a_reply_waits_for_the_items_before_it(is_error: bool) -> None:
    pair = Streaming(gives=False)
    for number in range(3):
        pair.far.send(bytes([number]))
    if is_error:
        pair.server.connection.reply_error(pair.answered, 5, b"why")
    else:
        pair.server.connection.reply_stream(pair.far, b"")
    arrived = pair.server.take()
    assert pair.client.give(arrived[:0:-1], pair.now_ns) == []
    (event,) = pair.client.give(arrived[:1], pair.now_ns)
    assert isinstance(event, Refused if is_error else Replied)
    assert taken(pair.near) == [b"\0", b"\1", b"\2"]
    assert pair.near.ended is event
    assert pair.is_clean()


def test_a_refusal_ends_a_stream_that_never_began() -> None:
    pair = Pair()
    near = OutgoingStream(OutgoingCall(77, pair.now_ns + MS, None), gives=True, takes=True)
    pair.client.connection.open_stream(near, b"", pair.now_ns)
    (requested,) = pair.to_server()
    assert isinstance(requested, Requested)
    pair.server.connection.reply_error(requested.call, 12, b"")
    assert pair.to_client() == [Refused(near.call, 12, b"")]
    assert near.is_over


def test_a_stream_whose_request_was_not_sent_ends_with_its_deadline() -> None:
    """As where a signal's handler raises meanwhile."""
    pair = Pair()
    connection = pair.client.connection
    near = OutgoingStream(OutgoingCall(77, pair.now_ns + MS, None), gives=True, takes=True)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    connection.post_message, post = interrupted, connection.post_message
    with pytest.raises(KeyboardInterrupt):
        connection.open_stream(near, b"", pair.now_ns)
    connection.post_message = post
    pair.pass_time(2 * MS)
    (call,) = pair.client.deadlines.expire(pair.now_ns) or []
    assert call.connection is connection
    assert isinstance(connection.expire(call), Failed)
    assert near.is_over
    assert connection.outgoing == 0


def test_a_producer_stops_at_its_credit_and_goes_on_as_items_are_taken() -> None:
    pair = Streaming()
    assert pair.far.sending is not None
    for _ in range(10):
        while pair.far.sending.may_send:
            pair.far.send(b"x")
        pair.to_client()
        assert pair.near.receiving is not None
        assert pair.near.receiving.waiting == FIRST.items
        assert len(taken(pair.near)) == FIRST.items
        pair.to_server()
    assert pair.far.sent == 10 * FIRST.items


def test_cancelling_ends_both_sides_and_withdraws_items() -> None:
    pair = Streaming()
    pair.near.send(b"x" * 1000)
    failed = pair.client.connection.streams.cancel(pair.near)
    assert failed == Failed(pair.near.call, Cause.CANCELLED, "maybe", "sent", 0)
    assert pair.client.connection.streams.cancel(pair.near) is None
    assert pair.to_server() == [Stopped(pair.answered, Cause.CANCELLED)]
    assert pair.far.is_over
    assert pair.far.receiving is not None
    assert pair.far.receiving.waiting == 0
    assert pair.is_clean()


@pytest.mark.parametrize("takes", [False, True])
def test_a_request_whose_early_cancel_is_forgotten_is_cancelled_by_what_it_is_sent_first(
    takes: bool,
) -> None:
    """A credit for what it gives, or an item that it takes."""
    pair = Pair()
    call = OutgoingCall(77, pair.now_ns + 9 * MS, None)
    near = OutgoingStream(call, gives=not takes, takes=takes)
    pair.client.connection.open_stream(near, b"", pair.now_ns)
    request = pair.client.take()
    pair.client.connection.streams.cancel(near)
    for number in range(EARLY_MAX):
        pair.client.connection.send_cancel(1000 + number, 4)
    assert pair.to_server() == []
    (requested,) = pair.server.give(request, pair.now_ns)
    assert isinstance(requested, Requested)
    window = None if takes else WINDOW
    far = pair.server.connection.streams.accept(requested.call, window, gives=takes)
    if takes:
        far.send(b"item")
    pair.to_client()
    assert pair.to_server() == [Stopped(requested.call, Cause.CANCELLED)]


def test_a_deadline_ends_both_sides() -> None:
    pair = Streaming()
    pair.far.send(b"late")
    pair.to_client()
    pair.pass_time(1001 * MS)
    (failed,) = pair.client.expire(pair.now_ns)
    assert failed == Failed(pair.near.call, Cause.DEADLINE, "maybe", "sent", 0)
    assert taken(pair.near) == []
    assert pair.server.expire(pair.now_ns) == [Stopped(pair.answered, Cause.DEADLINE)]
    pair.server.connection.reply_error(pair.answered, 4, b"")
    pair.to_client()
    pair.to_server()
    assert pair.is_clean()


def test_a_closed_flow_leaves_what_came_in_order() -> None:
    pair = Streaming()
    for word in (b"0", b"1", b"2"):
        pair.far.send(word)
    arrived = pair.server.take()
    pair.client.give([arrived[0], arrived[2]], pair.now_ns)
    (failed,) = pair.client.connection.closed(PEER_DEAD)
    assert failed == Failed(pair.near.call, Cause.FLOW_CLOSED, "maybe", "sent", PEER_DEAD)
    assert taken(pair.near) == [b"0"]
    assert list(pair.server.connection.closed(PEER_DEAD)) == [
        Stopped(pair.answered, Cause.FLOW_CLOSED)
    ]
    assert pair.far.is_over
    assert pair.is_clean()


@pytest.mark.parametrize("kind", [records.ITEM, records.END])
def test_a_caller_that_breaks_the_rules_is_stopped(kind: int) -> None:
    pair = Streaming()
    head = (pair.answered.call_id, 99, 0, 3, 0, 0, 0, kind, records.WHOLE, 0, 0, 0, 0, 0)
    event = pair.server.connection.receive(head, b"", pair.now_ns)
    assert event == Stopped(pair.answered, Cause.BROKEN)
    assert pair.server.connection.streams.broken == 1


def test_a_server_that_breaks_the_rules_is_cancelled() -> None:
    pair = Streaming()
    head = (pair.answered.call_id, 64, 0, 3, 0, 0, 0, records.ITEM, records.WHOLE, 0, 0, 1, 0, 0)
    event = pair.client.connection.receive(head, b"", pair.now_ns)
    assert event == Failed(pair.near.call, Cause.BROKEN, "maybe", "sent", 0)
    assert pair.to_server() == [Stopped(pair.answered, Cause.CANCELLED)]
    assert pair.is_clean()


@pytest.mark.parametrize("payload", [b"", b"1234567", b"123456789"])
def test_a_credit_of_another_form_is_broken(payload: bytes) -> None:
    pair = Streaming()
    head = (pair.answered.call_id, 99, 0, 3, 0, 0, 0, records.CREDIT, records.WHOLE, 0, 0, 0, 0, 0)
    event = pair.server.connection.receive(head, payload, pair.now_ns)
    assert event == Stopped(pair.answered, Cause.BROKEN)


def test_streams_of_one_id_in_both_directions_are_two() -> None:
    """Call ids are the caller's: each end of a flow may call by the same one."""
    pair = Streaming()
    back = OutgoingStream(OutgoingCall(78, pair.now_ns + MS, None), gives=False, takes=True)
    pair.server.connection.open_stream(back, b"", pair.now_ns)
    assert back.call.call_id == pair.answered.call_id
    (requested,) = pair.to_client()
    assert isinstance(requested, Requested)
    answer = pair.client.connection.streams.accept(requested.call, None, gives=True)
    answer.send(b"back")
    pair.near.send(b"forth")
    pair.to_server()
    assert taken(back) == [b"back"]
    assert taken(pair.far) == [b"forth"]


def test_a_call_without_an_answer_goes_on_when_the_caller_leaves() -> None:
    pair = Pair()
    call = OutgoingCall(77, pair.now_ns + MS, None)
    pair.client.connection.notify(call, b"note", pair.now_ns)
    assert pair.client.connection.outgoing == 0
    (requested,) = pair.to_server()
    assert isinstance(requested, Requested)
    pair.server.connection.accept_oneway(requested.call)
    assert list(pair.server.connection.closed(PEER_DEAD)) == []
    pair.server.connection.reply_error(requested.call, 13, b"nobody hears")
    pair.server.connection.done(requested.call)
    assert not pair.server.outbox
    assert len(pair.server.deadlines) == 0
