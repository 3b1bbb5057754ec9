"""The calls of one flow, both those that this side makes and those that it answers.

Every call that goes in through `call` comes out as exactly one of Replied, Refused and Failed:
when the answer arrives, when `expire` is told that its deadline passed, when it is cancelled, or
when the flow closes, whatever comes first. A call is `executed = "no"` only if its request cannot
have reached the peer. Any records give events or are counted, never anything else.
"""

from collections.abc import Callable
from typing import Any, Final

from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import IncomingCall, OutgoingCall
from machnet_rpc._protocol.deadlines import Deadlines
from machnet_rpc._protocol.events import Cause, Event, Failed, Refused, Replied, Requested, Stopped
from machnet_rpc._protocol.outbox import Outbox, Post, Ticket
from machnet_rpc._protocol.records import (
    CALL_ID,
    ERROR,
    FLAGS,
    KIND,
    METHOD_ID,
    REMAINING,
    REPLY,
    REQUEST,
    STATUS,
    Head,
)

NO_DEADLINE_NS: Final = (1 << 63) - 1


class Connection:
    """One open flow's call table; payloads must not exceed its `message_bytes_max`.

    Shape: opened by the shell when the engine says FLOW_OPENED or FLOW_ACCEPTED; ends by `closed`.
    Owner: the outbox and the deadlines are shared by all the connections of a channel.
    """

    __slots__ = (
        "_deadlines",
        "_incoming",
        "_is_closing",
        "_last_call_id",
        "_post",
        "_ticket",
        "awaited",
        "flow",
        "is_usable",
        "message_bytes_max",
        "on_close",
        "outbox",
        "peer",
        "records_ignored",
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
        self.flow = flow
        self.peer = peer
        self.message_bytes_max = message_bytes_max  # longest payload that the peer takes
        self.is_usable = True  # new calls may be made here
        self.records_ignored = 0
        self.on_close: Callable[[], None] | None = None  # where no engine closes the flow
        self.outbox = outbox  # whoever may wait while it is full should
        self._post = outbox.post if post is None else post
        self._deadlines = deadlines
        self.awaited: dict[int, OutgoingCall] = {}  # calls made here, by their ids
        self._incoming: dict[int, IncomingCall] = {}
        self._last_call_id = 0
        self._is_closing = False
        # Makes a call and sends its request, as `call` does; where there is C, it is C's.
        self.request: Callable[..., OutgoingCall] = self._request
        self._ticket = Ticket()  # of all that is sent here but requests

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open" if self.is_usable else "leaving"
        return (
            f"<Connection {self.peer} flow={self.flow} {state} "
            f"outgoing={len(self.awaited)} incoming={len(self._incoming)}>"
        )

    @property
    def is_closed(self) -> bool:
        return self._ticket.gone

    @property
    def outgoing(self) -> int:
        return len(self.awaited)

    @property
    def incoming(self) -> int:
        return len(self._incoming)

    # -- calls that this side makes --

    def call(
        self, call: OutgoingCall, payload: bytes | memoryview, now_ns: int, lane: int = 0
    ) -> None:
        """Sends the request. The connection must be usable."""
        self._last_call_id = call_id = self._last_call_id + 1
        call.call_id = call_id
        call.connection = self
        self.awaited[call_id] = call
        self._deadlines.add(call)
        remaining_ns = max(call.deadline_ns - now_ns, 1)
        self._post(
            call, payload, REQUEST, self.flow, call_id, call.method_id, remaining_ns, 0, lane, 0
        )

    def _request(
        self,
        payload: bytes | memoryview,
        method_id: int,
        deadline_ns: int,
        now_ns: int,
        lane: int,
        loop: Any,
    ) -> OutgoingCall:
        call = OutgoingCall(method_id, deadline_ns, loop)
        self.call(call, payload, now_ns, lane)
        return call

    def cancel(self, call: OutgoingCall) -> Failed | None:
        """Gives the call up and tells the peer; None if it has ended already."""
        if self.awaited.pop(call.call_id, None) is None:
            return None
        self._deadlines.discard(call)
        if call.sent or call.started:
            self._note(records.CANCEL, call.call_id)
        return _failed(call, Cause.CANCELLED)

    # -- calls that this side answers --

    def reply(self, call: IncomingCall, payload: bytes | memoryview) -> None:
        """Answers with a result; does nothing if nobody waits for it any more."""
        if call.answered:
            return
        call.answered = True
        call_id = call.call_id
        del self._incoming[call_id]
        self._deadlines.discard(call)
        self._post(self._ticket, payload, REPLY, self.flow, call_id, call.method_id, 0, 0, 0, 0)

    def reply_error(self, call: IncomingCall, status: int, payload: bytes) -> None:
        """Answers with an error; does nothing if nobody waits for it any more."""
        if call.answered:
            return
        call.answered = True
        call_id, method_id = call.call_id, call.method_id
        del self._incoming[call_id]
        self._deadlines.discard(call)
        self._post(self._ticket, payload, REPLY, self.flow, call_id, method_id, 0, ERROR, 0, status)

    # -- both --

    def receive(self, head: Head, payload: bytes, now_ns: int) -> Event | None:
        """Takes one whole message of this flow."""
        kind = head[KIND]
        if kind == REPLY:
            return self._receive_reply(head, payload, now_ns)
        if kind == REQUEST:
            call = self.requested(head, now_ns)
            return None if call is None else Requested(call, payload)
        if kind == records.CANCEL:
            return self._receive_cancel(head[CALL_ID])
        if kind == records.GOAWAY:
            self.is_usable = False  # the peer leaves
        else:
            self.records_ignored += 1
        return None

    def requested(self, head: Head, now_ns: int) -> IncomingCall | None:
        """Takes the header of a request; None where it is to be ignored."""
        call_id = head[CALL_ID]
        if call_id in self._incoming:
            self.records_ignored += 1
            return None
        remaining_ns = head[REMAINING]
        deadline_ns = now_ns + remaining_ns
        if remaining_ns == 0 or deadline_ns >= NO_DEADLINE_NS:
            call = IncomingCall(call_id, head[METHOD_ID], NO_DEADLINE_NS, self)
        else:
            call = IncomingCall(call_id, head[METHOD_ID], deadline_ns, self)
            self._deadlines.add(call)
        self._incoming[call_id] = call
        return call

    def expire(self, call: OutgoingCall | IncomingCall) -> Event:
        """Ends a call that `Deadlines.expire` gave back."""
        if isinstance(call, IncomingCall):
            return Stopped(call, Cause.DEADLINE)
        del self.awaited[call.call_id]
        return _failed(call, Cause.DEADLINE)

    def go_away(self) -> None:
        """Asks the peer for no new calls; those under way are answered."""
        self._note(records.GOAWAY)

    def close(self) -> None:
        """Ends the flow once all that was sent is delivered; `closed` follows from the engine."""
        if not (self.is_closed or self._is_closing):
            self._is_closing = True
            self.is_usable = False
            if self.on_close is None:
                self._note(records.FLOW_CLOSE)
            else:
                self.on_close()

    def closed(self, reason: int) -> list[Event]:
        """The flow is no more: ends every call, and withdraws what has not left yet."""
        events: list[Event] = []
        for outgoing in self.awaited.values():
            self._deadlines.discard(outgoing)
            events.append(_failed(outgoing, Cause.FLOW_CLOSED, reason))
        for incoming in self._incoming.values():
            self._deadlines.discard(incoming)
            incoming.answered = True
            events.append(Stopped(incoming, Cause.FLOW_CLOSED))
        self.awaited.clear()
        self._incoming.clear()
        self._ticket.gone = True
        self.is_usable = False
        return events

    def _receive_reply(self, head: Head, payload: bytes, now_ns: int) -> Event | None:
        call = self.awaited.pop(head[CALL_ID], None)
        if call is None:  # it was cancelled or timed out while the reply was under way
            self.records_ignored += 1
            return None
        self._deadlines.discard(call)
        call.gone = True
        if head[FLAGS] & ERROR:
            if now_ns >= call.deadline_ns:  # the server says what was about to be found out here
                return _failed(call, Cause.DEADLINE)
            return Refused(call, head[STATUS], payload)
        return Replied(call, payload)

    def _receive_cancel(self, call_id: int) -> Event | None:
        call = self._incoming.pop(call_id, None)
        if call is None:
            self.records_ignored += 1
            return None
        self._deadlines.discard(call)
        call.answered = True
        return Stopped(call, Cause.CANCELLED)

    def _note(self, kind: int, call_id: int = 0) -> None:
        self._post(self._ticket, b"", kind, self.flow, call_id, 0, 0, 0, 0, 0)


def _failed(call: OutgoingCall, cause: Cause, reason: int = 0) -> Failed:
    call.gone = True  # withdraws the request if it has not left
    return Failed(call, cause, call.executed, call.stage, reason)
