"""The calls of one flow, both those that this side makes and those that it answers.

Every call that goes in through `call` comes out as exactly one of Replied, Refused and Failed:
when the answer arrives, when `expire` is told that its deadline passed, when it is cancelled, or
when the flow closes, whatever comes first. A call is `executed = "no"` only if its request cannot
have reached the peer. Any records give events or are counted, never anything else.
"""

from typing import Final

from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import IncomingCall, OutgoingCall
from machnet_rpc._protocol.deadlines import Deadlines
from machnet_rpc._protocol.events import Cause, Event, Failed, Refused, Replied, Requested, Stopped
from machnet_rpc._protocol.outbox import Outbox, Ticket
from machnet_rpc._protocol.records import CALL_ID, FLAGS, KIND, STATUS, Head

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
        "_outbox",
        "_outgoing",
        "_ticket",
        "flow",
        "message_bytes_max",
        "peer",
        "peer_leaves",
        "records_ignored",
    )

    def __init__(
        self,
        flow: int,
        peer: str,
        outbox: Outbox,
        deadlines: Deadlines[OutgoingCall | IncomingCall],
        message_bytes_max: int = records.MESSAGE_BYTES_MAX,
    ) -> None:
        self.flow = flow
        self.peer = peer
        self.message_bytes_max = message_bytes_max  # longest payload that the peer takes
        self.peer_leaves = False  # the peer asked for no new calls
        self.records_ignored = 0
        self._outbox = outbox
        self._deadlines = deadlines
        self._outgoing: dict[int, OutgoingCall] = {}
        self._incoming: dict[int, IncomingCall] = {}
        self._last_call_id = 0
        self._is_closing = False
        self._ticket = Ticket()  # of all that is sent here but requests

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open" if self.is_usable else "leaving"
        return (
            f"<Connection {self.peer} flow={self.flow} {state} "
            f"outgoing={len(self._outgoing)} incoming={len(self._incoming)}>"
        )

    @property
    def is_closed(self) -> bool:
        return self._ticket.gone

    @property
    def is_usable(self) -> bool:
        """New calls may be made here."""
        return not (self._ticket.gone or self._is_closing or self.peer_leaves)

    @property
    def is_full(self) -> bool:
        """Whoever may wait before it sends more should."""
        return self._outbox.full

    @property
    def outgoing(self) -> int:
        return len(self._outgoing)

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
        self._outgoing[call_id] = call
        self._deadlines.add(call)
        remaining_ns = max(call.deadline_ns - now_ns, 1)
        self._send(
            call,
            records.REQUEST,
            call_id,
            payload,
            call.method_id,
            remaining_ns=remaining_ns,
            lane=lane,
        )

    def cancel(self, call: OutgoingCall) -> Failed | None:
        """Gives the call up and tells the peer; None if it has ended already."""
        if self._outgoing.pop(call.call_id, None) is None:
            return None
        self._deadlines.discard(call)
        if call.sent or call.started:
            self._send(self._ticket, records.CANCEL, call.call_id, b"")
        return _failed(call, Cause.CANCELLED)

    # -- calls that this side answers --

    def reply(self, call: IncomingCall, payload: bytes | memoryview) -> None:
        """Answers with a result; does nothing if nobody waits for it any more."""
        if self._answered(call):
            self._send(self._ticket, records.REPLY, call.call_id, payload, call.method_id)

    def reply_error(self, call: IncomingCall, status: int, payload: bytes) -> None:
        """Answers with an error; does nothing if nobody waits for it any more."""
        if self._answered(call):
            self._send(
                self._ticket,
                records.REPLY,
                call.call_id,
                payload,
                call.method_id,
                flags=records.ERROR,
                status=status,
            )

    # -- both --

    def receive(self, head: Head, payload: bytes, now_ns: int) -> Event | None:
        """Takes one whole message of this flow."""
        kind = head[KIND]
        if kind == records.REPLY:
            return self._receive_reply(head, payload)
        if kind == records.REQUEST:
            return self._receive_request(head, payload, now_ns)
        if kind == records.CANCEL:
            return self._receive_cancel(head[CALL_ID])
        if kind == records.GOAWAY:
            self.peer_leaves = True
        else:
            self.records_ignored += 1
        return None

    def expire(self, call: OutgoingCall | IncomingCall) -> Event:
        """Ends a call that `Deadlines.expire` gave back."""
        if isinstance(call, IncomingCall):
            return Stopped(call, Cause.DEADLINE)
        del self._outgoing[call.call_id]
        return _failed(call, Cause.DEADLINE)

    def go_away(self) -> None:
        """Asks the peer for no new calls; those under way are answered."""
        self._send(self._ticket, records.GOAWAY, 0, b"")

    def close(self) -> None:
        """Ends the flow once all that was sent is delivered; `closed` follows from the engine."""
        if not (self.is_closed or self._is_closing):
            self._is_closing = True
            self._send(self._ticket, records.FLOW_CLOSE, 0, b"")

    def closed(self, reason: int) -> list[Event]:
        """The flow is no more: ends every call, and withdraws what has not left yet."""
        events: list[Event] = []
        for outgoing in self._outgoing.values():
            self._deadlines.discard(outgoing)
            events.append(_failed(outgoing, Cause.FLOW_CLOSED, reason))
        for incoming in self._incoming.values():
            self._deadlines.discard(incoming)
            incoming.answered = True
            events.append(Stopped(incoming, Cause.FLOW_CLOSED))
        self._outgoing.clear()
        self._incoming.clear()
        self._ticket.gone = True
        return events

    def _receive_reply(self, head: Head, payload: bytes) -> Event | None:
        call = self._outgoing.pop(head[CALL_ID], None)
        if call is None:  # it was cancelled or timed out while the reply was under way
            self.records_ignored += 1
            return None
        self._deadlines.discard(call)
        call.gone = True
        if head[FLAGS] & records.ERROR:
            return Refused(call, head[STATUS], payload)
        return Replied(call, payload)

    def _receive_request(self, head: Head, payload: bytes, now_ns: int) -> Event | None:
        call_id, method_id, remaining_ns = head[:3]
        if call_id in self._incoming:
            self.records_ignored += 1
            return None
        deadline_ns = now_ns + remaining_ns if remaining_ns else NO_DEADLINE_NS
        call = IncomingCall(call_id, method_id, min(deadline_ns, NO_DEADLINE_NS), self)
        self._incoming[call_id] = call
        if call.deadline_ns != NO_DEADLINE_NS:
            self._deadlines.add(call)
        return Requested(call, payload)

    def _receive_cancel(self, call_id: int) -> Event | None:
        call = self._incoming.pop(call_id, None)
        if call is None:
            self.records_ignored += 1
            return None
        self._deadlines.discard(call)
        call.answered = True
        return Stopped(call, Cause.CANCELLED)

    def _answered(self, call: IncomingCall) -> bool:
        if call.answered:
            return False
        call.answered = True
        del self._incoming[call.call_id]
        self._deadlines.discard(call)
        return True

    def _send(
        self,
        ticket: Ticket,
        kind: int,
        call_id: int,
        payload: bytes | memoryview,
        method_id: int = 0,
        *,
        remaining_ns: int = 0,
        flags: int = 0,
        lane: int = 0,
        status: int = 0,
    ) -> None:
        put = self._outbox.put
        if len(payload) <= records.PAYLOAD_MAX:
            record = records.pack(
                kind,
                self.flow,
                call_id,
                payload,
                method_id=method_id,
                remaining_ns=remaining_ns,
                flags=flags,
                lane=lane,
                status=status,
            )
            put(record, ticket)
            return
        left = len(payload)
        for record in records.pieces(
            kind,
            self.flow,
            call_id,
            payload,
            method_id=method_id,
            remaining_ns=remaining_ns,
            flags=flags,
            lane=lane,
            status=status,
        ):
            left -= records.PAYLOAD_MAX
            put(record, ticket, last=left <= 0)


def _failed(call: OutgoingCall, cause: Cause, reason: int = 0) -> Failed:
    call.gone = True  # withdraws the request if it has not left
    return Failed(call, cause, call.executed, call.stage, reason)
