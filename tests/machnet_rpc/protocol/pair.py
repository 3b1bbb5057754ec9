"""Two connections, two outboxes and a wire made of lists, on virtual time."""

from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import IncomingCall, OutgoingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.deadlines import Deadlines
from machnet_rpc._protocol.events import Event
from machnet_rpc._protocol.outbox import Outbox
from machnet_rpc._protocol.records import Head, Joiner
from transport_engine.channel import RECORD


class Side:
    """A connection with what a pump would give it."""

    def __init__(self, name: str) -> None:
        self.outbox = Outbox()
        self.deadlines: Deadlines[OutgoingCall | IncomingCall] = Deadlines()
        self.connection = Connection(3, name, self.outbox, self.deadlines)
        self.joiner = Joiner()

    def take(self, bytes_max: int = 1 << 40) -> list[tuple[Head, bytes]]:
        """Lets the ring take whole records, at most `bytes_max` of the next burst."""
        burst = self.outbox.burst()
        taken: list[tuple[Head, bytes]] = []
        at = 0
        while at < len(burst):
            head = RECORD.unpack_from(burst, at)
            size = head[4]
            end = at + RECORD.size + size + (-size & 7)
            if end > bytes_max:
                break
            taken.append((head, burst[at + RECORD.size : at + RECORD.size + size]))
            at = end
        self.outbox.took(at)
        return taken

    def give(self, arrived: list[tuple[Head, bytes]], now_ns: int) -> list[Event]:
        events: list[Event] = []
        for head, payload in arrived:
            whole = self.joiner.join(head, payload)
            if whole is not None and head[records.KIND] <= records.APP_KIND_LAST:
                event = self.connection.receive(head, whole, now_ns)
                if event is not None:
                    events.append(event)
        return events

    def expire(self, now_ns: int) -> list[Event]:
        ended = [self.connection.expire(call) for call in self.deadlines.expire(now_ns)]
        return [event for event in ended if event is not None]


class Pair:
    """A client and a server; time moves only by `pass_time`."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000
        self.client = Side("server")
        self.server = Side("client")

    def pass_time(self, by_ns: int) -> None:
        self.now_ns += by_ns

    def call(
        self,
        payload: bytes = b"",
        timeout_ns: int = 1_000_000_000,
        priority: int = records.USUAL_PRIORITY,
    ) -> OutgoingCall:
        call = OutgoingCall(77, self.now_ns + timeout_ns, None)
        call.priority = priority
        self.client.connection.call(call, payload, self.now_ns)
        return call

    def to_server(self) -> list[Event]:
        return self._move(self.client, self.server)

    def to_client(self) -> list[Event]:
        return self._move(self.server, self.client)

    def _move(self, sender: Side, receiver: Side) -> list[Event]:
        events: list[Event] = []
        while sender.outbox:
            events += receiver.give(sender.take(), self.now_ns)
        return events
