"""The calls of one flow, both those that this side makes and those that it answers.

Every call that goes in through `call` comes out as exactly one of Replied, Refused and Failed:
when the answer arrives, when `expire` is told that its deadline passed, when it is cancelled, or
when the flow closes, whatever comes first. A call is `executed = "no"` only if its request cannot
have reached the peer, "yes" only if the peer said that the handler has started. Any records give
events or are counted, never anything else.
"""

import itertools
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import (
    ACKNOWLEDGED,
    HEARD_STARTED,
    REMOTE_RING,
    SENT,
    IncomingCall,
    OutgoingCall,
)
from machnet_rpc._protocol.deadlines import Deadlines
from machnet_rpc._protocol.events import (
    Cause,
    Event,
    Failed,
    GoneAway,
    Refused,
    Replied,
    Requested,
    Stopped,
)
from machnet_rpc._protocol.outbox import Outbox, Post, Ticket
from machnet_rpc._protocol.records import (
    CALL_ID,
    ERROR,
    FLAGS,
    FLOW,
    KIND,
    METHOD_ID,
    PRIORITY,
    REMAINING,
    REPLY,
    REQUEST,
    STATUS,
    USUAL_PRIORITY,
    Head,
)
from machnet_rpc._protocol.starts import Starts
from machnet_rpc._protocol.stream_table import IncomingStream, OutgoingStream, Streams

NO_DEADLINE_NS: Final = (1 << 63) - 1
PROGRESS_MAX: Final = 128  # calls that one message tells of
EARLY_MAX: Final = 64  # cancellations that are remembered, in case their requests come yet
NOT_THERE: Final = IncomingCall(0, 0, NO_DEADLINE_NS, None)  # stands for each of them
_CALL_ID: Final = struct.Struct("<Q")


class Connection:
    """One open flow's call table; payloads must not exceed its `message_bytes_max`.

    Shape: opened by the shell when the engine says FLOW_OPENED or FLOW_ACCEPTED; ends by `closed`.
    Owner: the outbox and the deadlines are shared by all the connections of a channel.
    """

    __slots__ = (
        "_deadlines",
        "_early",
        "_incoming",
        "_is_closing",
        "_streams",
        "_ticket",
        "awaited",
        "exchanger",
        "flow",
        "has_acked",
        "is_usable",
        "message_bytes_max",
        "next_call_id",
        "number",
        "on_begun",
        "on_close",
        "on_ended",
        "outbox",
        "peer",
        "post_message",
        "records_ignored",
        "reply_metadata",
        "request",
    )

    def __init__(
        self,
        flow: int,
        peer: str,
        outbox: Outbox,
        deadlines: Deadlines[OutgoingCall | IncomingCall],
        message_bytes_max: int = records.MESSAGE_BYTES_MAX,
        *,
        post: Post | None = None,
    ) -> None:
        """`post` sends, unless everything goes to the outbox."""
        self.flow: int = flow
        self.peer: str = peer
        self.message_bytes_max: int = message_bytes_max  # longest payload that the peer takes
        self.is_usable: bool = True  # new calls may be made here
        self.records_ignored: int = 0
        self.on_close: Callable[[], None] | None = None  # where no engine closes the flow
        self.number: int = 0  # of the flow, which both ends know; 0: none
        self.on_ended: Callable[[Connection, bytes], None] | None = None  # given what was started
        self.on_begun: Callable[[list[int]], None] | None = None  # told what `tell_begun` is
        self.outbox: Outbox = outbox  # whoever may wait while it is full should
        # Whether the peer's engine has acknowledged a request, by its id; looked at in failures.
        self.has_acked: Callable[[int], bool] = _never
        self.post_message: Post = outbox.post if post is None else post
        self._deadlines = deadlines
        self.awaited: dict[int, OutgoingCall] = {}  # calls made here, by their ids
        self.reply_metadata: dict[int, dict[str, str | bytes]] = {}  # for calls made here
        self._incoming: dict[int, IncomingCall] = {}
        self._early: deque[int] = deque()  # calls that were cancelled, and are not there
        self._streams: Streams | None = None  # made by the first
        self._is_closing = False
        # One sequence for all calls made here: what is noted of them covers its latest numbers.
        self.next_call_id: Callable[[], int] = itertools.count(1).__next__
        # Makes a call and sends its request, as `call` does; where there is C, it is C's.
        self.request: Callable[..., OutgoingCall] = self._request
        # The same without an event loop, in whichever way its port does: has `exchange` and `wait`.
        self.exchanger: Any = None
        self._ticket = Ticket()  # of all that is sent here but requests

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open" if self.is_usable else "leaving"
        return (
            f"<Connection {self.peer} flow={self.flow} {state} "
            f"outgoing={self.outgoing} incoming={self.incoming}>"
        )

    @property
    def is_closed(self) -> bool:
        return self._ticket.gone

    @property
    def outgoing(self) -> int:
        return len(self.awaited) + len(self._streams.outgoing if self._streams else ())

    @property
    def incoming(self) -> int:
        return len(self._incoming) - len(self._early)

    @property
    def streams(self) -> Streams:
        if self._streams is None:
            self._streams = Streams(self, self._ignore)
        return self._streams

    # -- calls that this side makes --

    def call(
        self,
        call: OutgoingCall,
        payload: bytes | memoryview,
        now_ns: int,
        lane: int = 0,
        flags: int = 0,
    ) -> None:
        """Sends the request. The connection must be usable."""
        call.call_id = call_id = self.next_call_id()
        call.connection = self
        self.awaited[call_id] = call
        self._deadlines.add(call)
        self._post_request(call, payload, now_ns, lane, flags)

    def _request(
        self,
        payload: bytes | memoryview,
        method_id: int,
        deadline_ns: int,
        now_ns: int,
        *how: Any,
    ) -> OutgoingCall:
        """`how`: lane, priority (None: the usual one), flags, and the loop of who awaits it."""
        lane, priority, flags, loop = how
        call = OutgoingCall(method_id, deadline_ns, loop)
        if priority is not None:
            call.priority = priority
        self.call(call, payload, now_ns, lane, flags)
        return call

    def notify(
        self,
        call: OutgoingCall,
        payload: bytes | memoryview,
        now_ns: int,
        lane: int = 0,
        flags: int = 0,
    ) -> None:
        """Sends the request of a call without an answer. The connection must be usable."""
        call.call_id = self.next_call_id()
        call.connection = self
        self._post_request(call, payload, now_ns, lane, flags)

    def open_stream(
        self,
        stream: OutgoingStream,
        payload: bytes | memoryview,
        now_ns: int,
        lane: int = 0,
        flags: int = 0,
    ) -> None:
        """Sends the request of a call with streams. The connection must be usable."""
        call: OutgoingCall = stream.call
        call.call_id = call_id = self.next_call_id()
        call.connection = self  # before its timer may be all that is left
        self.streams.outgoing[call_id] = stream
        self._deadlines.add(call)
        self._post_request(call, payload, now_ns, lane, flags)

    def cancel(self, call: OutgoingCall) -> Failed | None:
        """Gives the call up and tells the peer; None if it has ended already."""
        if self.awaited.pop(call.call_id, None) is None:
            return None
        self._deadlines.discard(call)
        if call.sent or call.started:
            self.send_cancel(call.call_id, call.priority)
        return self.failed(call, Cause.CANCELLED)

    # -- calls that this side answers --

    def reply(self, call: IncomingCall, payload: bytes | memoryview, flags: int = 0) -> None:
        """Answers with a result; does nothing if nobody waits for it any more."""
        if call.answered:
            return
        call.answered = True
        call_id = call.call_id
        del self._incoming[call_id]
        self._deadlines.discard(call)
        place, priority = call.method_id, call.priority
        self.post_message(
            self._ticket, payload, REPLY, self.flow, call_id, place, 0, flags, 0, 0, priority
        )

    def reply_error(
        self, call: IncomingCall, status: int, payload: bytes | memoryview, flags: int = 0
    ) -> None:
        """Answers with an error; does nothing if nobody waits for it any more."""
        if call.answered:
            return
        call.answered = True
        call_id, place = call.call_id, call.method_id
        del self._incoming[call_id]
        self._deadlines.discard(call)
        if self._streams is not None:
            sent = self._streams.forget(call)
            place = place if sent is None else sent
        flags |= ERROR
        ticket, priority = self._ticket, call.priority
        self.post_message(
            ticket, payload, REPLY, self.flow, call_id, place, 0, flags, 0, status, priority
        )

    def reply_stream(
        self, stream: IncomingStream, payload: bytes | memoryview, flags: int = 0
    ) -> None:
        """Answers with a result, after the items; does nothing if nobody waits for it any more."""
        call: IncomingCall = stream.call
        if call.answered:
            return
        call.answered = True
        del self._incoming[call.call_id]
        self._deadlines.discard(call)
        self.streams.forget(call)
        ticket, call_id, sent = self._ticket, call.call_id, stream.sent
        self.post_message(
            ticket, payload, REPLY, self.flow, call_id, sent, 0, flags, 0, 0, call.priority
        )

    def served_by(self, flow: Any, desk: Any) -> None:
        """Lets C take this side's requests from the ring (machnet_rpc/csrc/flow.c)."""
        flow.serve(self._incoming, self._ticket, self.message_bytes_max, desk)

    def accept_oneway(self, call: IncomingCall) -> None:
        """Nobody waits for the answer: only the deadline stops it, until `done`."""
        call.answered = True
        del self._incoming[call.call_id]

    def tell_begun(self, call_ids: list[int]) -> None:
        """Says which handlers have started, of calls that are not answered yet."""
        if self.on_begun is not None:
            self.on_begun(call_ids)
        for first in range(0, len(call_ids), PROGRESS_MAX):
            some = call_ids[first : first + PROGRESS_MAX]
            payload = struct.pack(f"<{len(some)}Q", *some)
            self.post(
                self._ticket, payload, records.PROGRESS, 0, 0, priority=records.FIRST_PRIORITY
            )

    def done(self, call: IncomingCall) -> None:
        """A call without an answer has ended."""
        self._deadlines.discard(call)

    # -- both --

    def receive(self, head: Head, payload: bytes, now_ns: int) -> Event | None:
        """Takes one whole message of this flow."""
        kind = head[KIND]
        if kind == REPLY:
            return self._receive_reply(head, payload, now_ns)
        if kind == REQUEST:
            call = self.requested(head, now_ns)
            return None if call is None else Requested(call, payload)
        if records.ITEM <= kind <= records.CREDIT:
            return (self._streams or self.streams).receive(head, payload)
        if kind == records.CANCEL:
            return self._receive_cancel(head[CALL_ID])
        if kind == records.PROGRESS:
            self._receive_progress(payload)
            return None
        if kind == records.LAST_WORD:
            self.receive_last_word(payload)
            return None
        if kind == records.GOAWAY:
            return self._receive_go_away()
        self._ignore()
        return None

    def requested(self, head: Head, now_ns: int) -> IncomingCall | None:
        """Takes the header of a request; None where it is to be ignored."""
        call_id = head[CALL_ID]
        if call_id in self._incoming:
            self.records_ignored += 1
            if self._incoming[call_id] is NOT_THERE:
                self._early.remove(call_id)
                del self._incoming[call_id]
            return None
        remaining_ns = head[REMAINING]
        deadline_ns = now_ns + remaining_ns
        if remaining_ns == 0 or deadline_ns >= NO_DEADLINE_NS:
            call = IncomingCall(call_id, head[METHOD_ID], NO_DEADLINE_NS, self)
        else:
            call = IncomingCall(call_id, head[METHOD_ID], deadline_ns, self)
            self._deadlines.add(call)
        call.taken_ns = now_ns
        call.priority = head[PRIORITY]
        self._incoming[call_id] = call
        return call

    def expire(self, call: OutgoingCall | IncomingCall) -> Event | None:
        """Ends a call that `Deadlines.expire` gave back; None if something cut its end short."""
        if isinstance(call, IncomingCall):
            return Stopped(call, Cause.DEADLINE)
        if self.awaited.pop(call.call_id, None) is None:
            return self.streams.expire(call)
        return self.failed(call, Cause.DEADLINE)

    def restore(self, call: OutgoingCall | IncomingCall) -> None:
        """A signal's handler raised before its end was told: leaves it to `start_timers`."""
        streams = () if self._streams is None else self._streams.outgoing
        if isinstance(call, OutgoingCall) and not call.done() and call.call_id not in streams:
            self.awaited[call.call_id] = call

    def start_timers(self) -> None:
        """Those of all calls that have not ended, of which some may have been lost."""
        streams = () if self._streams is None else self._streams.outgoing.values()
        calls = [*self.awaited.values(), *(stream.call for stream in streams)]
        timed = [each for each in self._incoming.values() if each.deadline_ns < NO_DEADLINE_NS]
        for call in (*calls, *timed):
            self._deadlines.discard(call)
            self._deadlines.add(call)

    def go_away(self, priority: int = records.FIRST_PRIORITY) -> None:
        """Asks the peer for no new calls, or says that this side makes none any more.

        Those under way are answered. Who says the latter says it last, behind all its requests.
        """
        if not (self.is_closed or self._is_closing):
            self._note(records.GOAWAY, priority)

    def stage_of(self, call: OutgoingCall) -> str:
        """How far a call of this side has come that ends without an answer."""
        stage = call.stage
        return ACKNOWLEDGED if stage == SENT and self.has_acked(call.call_id) else stage

    # -- for its streams --

    def failed(self, call: OutgoingCall, cause: Cause, reason: int = 0) -> Failed:
        """How a call of this side ends without an answer; withdraws what has not left of it."""
        call.gone = self.outbox.has_withdrawn = True
        return Failed(call, cause, call.executed, self.stage_of(call), reason)

    def post(
        self,
        ticket: Ticket,
        payload: bytes | memoryview,
        kind: int,
        call_id: int,
        number: int,
        *,
        status: int = 0,
        priority: int,
    ) -> None:
        """Sends a message of a call that is no request; `number` stands for the method."""
        self.post_message(
            ticket, payload, kind, self.flow, call_id, number, 0, 0, 0, status, priority
        )

    def send_cancel(self, call_id: int, priority: int) -> None:
        """Tells the peer that nobody waits for the call any more, with its request's priority."""
        if not self.is_closed:
            self._note(records.CANCEL, priority, call_id)

    def stop_timer(self, call: OutgoingCall) -> None:
        self._deadlines.discard(call)

    # -- its end --

    def close(self, last_word: bytes = b"") -> None:
        """Ends the flow once all that was sent is delivered; `closed` follows from the engine.

        `last_word`: what was started (`Starts`), for the peer, of a server that starts no more.
        """
        if not (self.is_closed or self._is_closing):
            self._is_closing = True
            self.is_usable = False
            if self.on_close is None:  # by a ticket of its own: `closed` withdraws the others
                ticket, priority = Ticket(), USUAL_PRIORITY
                if last_word:
                    self.post(ticket, last_word, records.LAST_WORD, 0, 0, priority=priority)
                self.post(ticket, b"", records.FLOW_CLOSE, 0, 0, priority=priority)
            else:
                self.on_close()

    def untaken(self, heads: Iterable[Head]) -> None:
        """Requests that nobody has taken, nor will: if they are of this flow, they never left."""
        for head in heads:
            call = self._awaited_at(head[CALL_ID]) if head[FLOW] == self.flow else None
            if call is not None:
                call.sent = call.started = False

    def closed(self, reason: int) -> Iterator[Event]:
        """The flow is no more: ends every call, and withdraws what has not left yet.

        Whoever is interrupted asks again, and is given what has not been taken.
        """
        self.is_usable = False
        self._ticket.gone = self.outbox.has_withdrawn = True
        for outgoing in tuple(self.awaited.values()):
            self._deadlines.discard(outgoing)
            yield self.failed(outgoing, Cause.FLOW_CLOSED, reason)
            self.awaited.pop(outgoing.call_id, None)
        while self._early:
            self._incoming.pop(self._early.popleft(), None)
        for incoming in tuple(self._incoming.values()):
            self._deadlines.discard(incoming)
            incoming.answered = True
            yield Stopped(incoming, Cause.FLOW_CLOSED)
            self._incoming.pop(incoming.call_id, None)
        if self._streams is not None:
            yield from self._streams.closed(reason)
        self.reply_metadata.clear()

    def _receive_reply(self, head: Head, payload: bytes, now_ns: int) -> Event | None:
        call = self.awaited.get(head[CALL_ID])
        if call is None:  # of a stream; or it ended while the reply was under way
            if self._streams is not None:
                return self._streams.receive_reply(head, payload)
            self._ignore()
            return None
        event: Event
        if not head[FLAGS] & ERROR:
            event = Replied(call, payload)
        elif not payload:  # the peer's engine says that the server will not see the request
            event = Failed(call, Cause.DEADLINE, "no", REMOTE_RING, 0)
        elif now_ns >= call.deadline_ns:  # the server says what was about to be found out here
            event = self.failed(call, Cause.DEADLINE)
        else:
            event = Refused(call, head[STATUS], payload)
        self._deadlines.discard(call)
        call.gone = True
        del self.awaited[call.call_id]  # last: see `restore`
        return event

    def _receive_cancel(self, call_id: int) -> Event | None:
        call = self._incoming.get(call_id)
        if call is None:
            self._cancel_early(call_id)
        if call is None or call is NOT_THERE:
            self.records_ignored += 1
            return None
        del self._incoming[call_id]
        self._deadlines.discard(call)
        call.answered = True
        if self._streams is not None:
            self._streams.forget(call, withdraw=True)
        return Stopped(call, Cause.CANCELLED)

    def _cancel_early(self, call_id: int) -> None:
        """Has the request ignored if it comes yet: messages may overtake each other on the way.

        Mostly it does not, since the call was answered. NOT_THERE stands in its place, so that
        nobody looks for it in vain at each request.
        """
        if len(self._early) == EARLY_MAX:
            del self._incoming[self._early.popleft()]
        self._early.append(call_id)
        self._incoming[call_id] = NOT_THERE

    def _receive_progress(self, payload: bytes) -> None:
        if not payload or len(payload) % _CALL_ID.size:
            self._ignore()
            return
        for (call_id,) in _CALL_ID.iter_unpack(payload):
            call = self._awaited_at(call_id)
            if call is not None:  # else it has ended meanwhile
                call.heard = HEARD_STARTED

    def receive_last_word(self, payload: bytes) -> None:
        """The server is gone, and this is what it had started: nothing else will be."""
        try:
            starts = Starts(payload)
        except ValueError:
            self._ignore()
            return
        starts.tell(self.awaited.values())
        if self._streams is not None:
            starts.tell(stream.call for stream in self._streams.outgoing.values())

    def _awaited_at(self, call_id: int) -> OutgoingCall | None:
        """The call with that id, with streams or without, if it has not ended."""
        call = self.awaited.get(call_id)
        if call is not None or self._streams is None:
            return call
        stream = self._streams.outgoing.get(call_id)
        return None if stream is None else stream.call

    def _receive_go_away(self) -> Event | None:
        was_usable, self.is_usable = self.is_usable, False
        return GoneAway(self) if was_usable else None

    def _note(self, kind: int, priority: int, call_id: int = 0) -> None:
        self.post(self._ticket, b"", kind, call_id, 0, priority=priority)

    def _post_request(
        self, call: OutgoingCall, payload: bytes | memoryview, now_ns: int, lane: int, flags: int
    ) -> None:
        self.post_message(
            call,
            payload,
            REQUEST,
            self.flow,
            call.call_id,
            call.method_id,
            max(call.deadline_ns - now_ns, 1),
            flags,
            lane,
            0,
            call.priority,
        )

    def _ignore(self) -> None:
        self.records_ignored += 1


def _never(call_id: int) -> bool:
    """Where no engine says it."""
    del call_id
    return False
