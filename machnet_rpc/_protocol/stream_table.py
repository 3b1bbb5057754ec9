"""The streams of one connection: those of calls made here, and those of calls answered here.

A stream ends once: with its call. The reply says how many items precede it, and ends the call when
the last of them is here, whatever came first. Records for a stream that has ended are counted;
those that a server sends first are answered with CANCEL, for one may have overtaken the request.
Source: docs/streams.md
"""

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import IncomingCall, OutgoingCall
from machnet_rpc._protocol.events import Cause, Event, Failed, Refused, Replied, Stopped
from machnet_rpc._protocol.outbox import Ticket
from machnet_rpc._protocol.records import (
    CALL_ID,
    ERROR,
    FLAGS,
    ITEM,
    KIND,
    METHOD_ID,
    PRIORITY,
    STATUS,
    Head,
)
from machnet_rpc._protocol.streams import FIRST, NOTHING, Broken, Receiving, Sending, Window

if TYPE_CHECKING:
    from machnet_rpc._protocol.connection import Connection

FROM_CALLER: Final = 0  # the status of ITEM, END and CREDIT: which end of the call sends it
FROM_SERVER: Final = 1
_CREDIT: Final = struct.Struct("<Q")  # payload of CREDIT: the limit in bytes


class StreamEnd:
    """One end of a stream, or of two that belong to one call.

    Owner: the shell that made or answers the call. `is_over` once the call has ended: then nothing
    is sent any more, and what was received may still be taken.
    """

    __slots__ = ("_side", "call", "is_over", "receiving", "sending", "ticket")

    def __init__(
        self,
        call: OutgoingCall | IncomingCall,
        side: int,
        receiving: Receiving | None,
        sending: Sending | None,
    ) -> None:
        self.call: Any = call
        self.receiving: Receiving | None = receiving
        self.sending: Sending | None = sending
        self.is_over: bool = False
        self.ticket: Ticket = Ticket()  # of its items, which are withdrawn together
        self._side = side

    @property
    def connection(self) -> "Connection":
        connection: Connection = self.call.connection
        return connection

    def take(self) -> bytes | None:
        """The next item, if it is there; gives the sender credit for more."""
        receiving = self.receiving
        assert receiving is not None
        payload = receiving.take()
        if payload is not None and not self.is_over and receiving.is_low:
            self.grant()
        return payload

    def grant(self) -> None:
        """Tells the sender how much it may send, if that is news."""
        assert self.receiving is not None
        limit = self.receiving.granted()
        if limit is not None:
            self._post(_CREDIT.pack(limit.size_bytes), records.CREDIT, limit.items)

    def send(self, payload: bytes | memoryview) -> None:
        """Sends one item. `sending.may_send` must hold."""
        call, sending = self.call, self.sending
        assert sending is not None
        connection: Connection = call.connection
        number, flow = sending.number(len(payload)), connection.flow
        side, priority = self._side, call.priority
        connection.post_message(
            self.ticket, payload, ITEM, flow, call.call_id, number, 0, 0, 0, side, priority
        )

    def finish(self) -> None:
        """Says that no more items follow; the other direction goes on."""
        sending = self.sending
        if sending is not None and not (sending.is_ended or self.is_over):
            sending.is_ended = True
            self._post(b"", records.END, sending.count)

    def receive(self, kind: int, number: int, payload: bytes) -> None:
        """One of ITEM, END and CREDIT arrived. Errors: Broken."""
        if kind == ITEM and self.receiving is not None:
            self.receiving.put(number, payload)
        elif kind == records.CREDIT:
            if self.sending is None or len(payload) != _CREDIT.size:
                raise Broken("a credit came that means nothing")
            self.sending.admit(Window(number, *_CREDIT.unpack(payload)))
        elif self.receiving is None:
            raise Broken("an item came for a call that takes none")
        else:
            self.receiving.end(number)

    def end(self) -> None:
        """The call has ended: withdraws what has not left, and tells whoever waits."""
        self.is_over = True
        if self.sending is not None:
            self.sending.is_ended = True
            self.sending.on_change()
        if self.receiving is not None:
            self.receiving.on_change()

    def _post(self, payload: bytes | memoryview, kind: int, number: int) -> None:
        call, side = self.call, self._side
        self.connection.post(
            self.ticket, payload, kind, call.call_id, number, status=side, priority=call.priority
        )


class OutgoingStream(StreamEnd):
    """Of a call that was made here. `ended` is the event that ended it."""

    __slots__ = ("ended", "reply", "reply_metadata")

    def __init__(self, call: OutgoingCall, *, gives: bool, takes: bool) -> None:
        """`gives` and `takes` say whether the call sends items, and whether it is sent some."""
        super().__init__(
            call,
            FROM_CALLER,
            Receiving(FIRST, FIRST) if takes else None,
            Sending(NOTHING) if gives else None,
        )
        self.ended: Event | None = None
        self.reply: Replied | Refused | None = None  # that waits for the items before it
        self.reply_metadata: dict[str, str | bytes] | None = None  # for what comes with it


class IncomingStream(StreamEnd):
    """Of a call that is answered here."""

    __slots__ = ()

    def __init__(self, call: IncomingCall, window: Window | None, *, gives: bool) -> None:
        super().__init__(
            call,
            FROM_SERVER,
            None if window is None else Receiving(window),
            Sending(FIRST) if gives else None,
        )

    @property
    def sent(self) -> int:
        return 0 if self.sending is None else self.sending.count


class Streams:
    """The streams of one connection, by the ids of their calls."""

    __slots__ = ("_connection", "_ignore", "broken", "incoming", "outgoing")

    def __init__(self, connection: "Connection", ignore: Callable[[], None]) -> None:
        """`ignore` counts a record that belongs to nothing."""
        self.outgoing: dict[int, OutgoingStream] = {}
        self.incoming: dict[int, IncomingStream] = {}
        self.broken: int = 0  # streams whose peer broke the rules
        self._connection = connection
        self._ignore = ignore

    def cancel(self, stream: OutgoingStream) -> Failed | None:
        """Gives the call up and tells the peer; None if it has ended already."""
        if stream.is_over or stream.call.call_id not in self.outgoing:
            return None
        return self._give_up(stream, Cause.CANCELLED)

    def accept(self, call: IncomingCall, window: Window | None, *, gives: bool) -> IncomingStream:
        """Begins to answer a call that gives items, takes a window of them, or both."""
        stream = IncomingStream(call, window, gives=gives)
        self.incoming[call.call_id] = stream
        if stream.receiving is not None:
            stream.grant()
        return stream

    def receive(self, head: Head, payload: bytes) -> Event | None:
        """One of ITEM, END and CREDIT arrived."""
        call_id, number, kind = head[CALL_ID], head[METHOD_ID], head[KIND]
        stream: OutgoingStream | IncomingStream | None
        if head[STATUS] == FROM_CALLER:
            stream = self.incoming.get(call_id)
        else:
            stream = self.outgoing.get(call_id)
        if stream is None:
            self._ignore()
            if head[STATUS] != FROM_CALLER and (kind == records.CREDIT or number == 0):
                self._connection.send_cancel(call_id, head[PRIORITY])
            return None
        try:
            stream.receive(kind, number, payload)
        except Broken:
            return self._broke(stream)
        if isinstance(stream, OutgoingStream) and stream.reply is not None:
            return self._replied(stream)
        return None

    def receive_reply(self, head: Head, payload: bytes) -> Event | None:
        """The reply to a call that was made here, and is none without streams."""
        stream = self.outgoing.get(head[CALL_ID])
        if stream is None or stream.reply is not None:
            self._ignore()
            return None
        call: OutgoingCall = stream.call
        is_error = head[FLAGS] & ERROR
        stream.reply = Refused(call, head[STATUS], payload) if is_error else Replied(call, payload)
        if stream.receiving is not None:
            # A refusal is a reply like that to any call, which names the method: no items then.
            count = 0 if head[METHOD_ID] == call.method_id else head[METHOD_ID]
            try:
                stream.receiving.end(count)
            except Broken:
                return self._broke(stream)
        return self._replied(stream)

    def expire(self, call: OutgoingCall) -> Failed | None:
        """Ends a call whose deadline passed; None if it has ended."""
        stream = self.outgoing.get(call.call_id)
        return None if stream is None else self._give_up(stream, Cause.DEADLINE)

    def forget(self, call: IncomingCall, *, withdraw: bool = False) -> int | None:
        """The call was answered or given up; returns how many items were sent, None: no stream.

        `withdraw` says that those which have not left need not.
        """
        stream = self.incoming.pop(call.call_id, None)
        if stream is None:
            return None
        stream.ticket.gone = withdraw
        self._connection.outbox.has_withdrawn = True
        if stream.receiving is not None:
            stream.receiving.drop()
        stream.end()
        return stream.sent

    def closed(self, reason: int) -> Iterator[Event]:
        """The flow is no more. What was received in order may still be taken."""
        for stream in list(self.outgoing.values()):
            failed = self._connection.failed(stream.call, Cause.FLOW_CLOSED, reason)
            yield failed
            self._ended(stream, failed)
        for each in list(self.incoming.values()):
            self.forget(each.call, withdraw=True)

    def _replied(self, stream: OutgoingStream) -> Event | None:
        if stream.receiving is not None and not stream.receiving.is_whole:
            return None
        assert stream.reply is not None
        stream.call.gone = True
        return self._ended(stream, stream.reply)

    def _broke(self, stream: StreamEnd) -> Event:
        self.broken += 1
        if isinstance(stream, OutgoingStream):
            return self._give_up(stream, Cause.BROKEN)
        return Stopped(stream.call, Cause.BROKEN)

    def _give_up(self, stream: OutgoingStream, cause: Cause) -> Failed:
        call: OutgoingCall = stream.call
        failed = self._connection.failed(call, cause)
        if stream.receiving is not None:
            stream.receiving.drop()
        self._ended(stream, failed)
        if call.sent or call.started:
            self._connection.send_cancel(call.call_id, call.priority)
        return failed

    def _ended(self, stream: OutgoingStream, event: Event) -> Event:
        """What a signal's handler raises in here leaves it to the deadline, which does it again."""
        if stream.ended is None:
            stream.ended = event
        stream.ticket.gone = self._connection.outbox.has_withdrawn = True
        stream.end()
        self._connection.stop_timer(stream.call)
        del self.outgoing[stream.call.call_id]
        return event
