"""Any schedule of streams: items in order, credit kept, one end on both sides, nothing left.

Messages are delivered in any order, as a flow may. Hypothesis looks for a schedule that breaks it.
"""

import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.events import Cause, Event, Failed, Refused, Replied, Requested, Stopped
from machnet_rpc._protocol.records import Head
from machnet_rpc._protocol.stream_table import IncomingStream, OutgoingStream, StreamEnd
from machnet_rpc._protocol.streams import FIRST, Window
from tests.machnet_rpc.protocol.pair import Pair, Side

MS = 1_000_000
WINDOW = Window(6, 4000)
PEER_DEAD = 5
pick = st.integers(0, 1 << 30)


@dataclass
class Dialogue:
    """One call with what both ends sent and took."""

    near: OutgoingStream
    far: IncomingStream | None = None
    sent: dict[str, list[bytes]] = field(default_factory=lambda: {"near": [], "far": []})
    took: dict[str, list[bytes]] = field(default_factory=lambda: {"near": [], "far": []})
    ends: list[Event] = field(default_factory=list[Event])
    stops: list[Stopped] = field(default_factory=list[Stopped])
    is_answered: bool = False


class Streaming(RuleBasedStateMachine):
    """A client and a server with many calls between them."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()
        self.dialogues: dict[int, Dialogue] = {}
        self.wires: dict[str, list[tuple[Head, bytes]]] = {"client": [], "server": []}
        self.is_closed = False

    # -- what users do --

    @initialize()
    def begin(self) -> None:
        for gives, takes in ((True, True), (False, True), (True, False)):
            self.open(gives, takes, timeout_ms=150, arrives=True)
        self.deliver(count=9, seed=0)

    @precondition(lambda self: not self.is_closed)
    @rule(
        gives=st.booleans(),
        takes=st.booleans(),
        timeout_ms=st.integers(1, 200),
        arrives=st.sampled_from([True, True, True, False]),
    )
    def open(self, gives: bool, takes: bool, timeout_ms: int, arrives: bool) -> None:
        call = OutgoingCall(1 << 40, self.pair.now_ns + timeout_ms * MS, None)
        near = OutgoingStream(call, gives=gives, takes=takes)
        self.pair.client.connection.open_stream(near, b"", self.pair.now_ns)
        self.dialogues[call.call_id] = Dialogue(near)
        self._load()
        if arrives:
            self._give("server", self.wires["server"].pop())

    @rule(number=pick, count=st.integers(4, 80), sizes=st.sampled_from([(0,), (9, 99), (3000, 1)]))
    def talk(self, number: int, count: int, sizes: tuple[int, ...]) -> None:
        """Both ends send so many items, as far as their credit goes."""
        for is_near in (True, False):
            self._send(number, is_near, [sizes[at % len(sizes)] for at in range(count)])

    def _send(self, number: int, is_near: bool, sizes: list[int]) -> None:
        end = self._end(number, is_near)
        if end is not None and end.sending is not None:
            for size in sizes:
                if end.sending.may_send:
                    sent = self.dialogues[end.call.call_id].sent["near" if is_near else "far"]
                    sent.append(len(sent).to_bytes(2, "big") + bytes(size))
                    end.send(sent[-1])

    @rule(number=pick, count=st.sampled_from([1, 3, 33, 80]))
    def take(self, number: int, count: int) -> None:
        for is_near in (True, False):
            self._take(number, is_near, count)

    def _take(self, number: int, is_near: bool, count: int) -> None:
        end = self._end(number, is_near)
        if end is not None and end.receiving is not None:
            took = self.dialogues[end.call.call_id].took["near" if is_near else "far"]
            for _ in range(count):
                payload = end.take()
                if payload is not None:
                    took.append(payload)

    @rule(number=pick)
    def half_close(self, number: int) -> None:
        end = self._end(number, is_near=True)
        if end is not None:
            end.finish()

    @rule(number=pick)
    def cancel(self, number: int) -> None:
        end = self._end(number, is_near=True)
        if isinstance(end, OutgoingStream):
            self._note(self.pair.client.connection.streams.cancel(end))

    @rule(number=pick, is_error=st.booleans())
    def answer(self, number: int, is_error: bool) -> None:
        end = self._end(number, is_near=False)
        if isinstance(end, IncomingStream) and not self.dialogues[end.call.call_id].is_answered:
            self._answer(end, is_error=is_error)

    # -- what happens to them --

    @rule(count=st.sampled_from([1, 5, 200]), seed=pick)
    def deliver(self, count: int, seed: int) -> None:
        """So many messages to either side, in any order."""
        self._load()
        chance = random.Random(seed)
        for toward, wire in self.wires.items():
            chance.shuffle(wire)
            for _ in range(min(count, len(wire))):
                self._give(toward, wire.pop())

    @rule(ms=st.integers(1, 20))
    def pass_time(self, ms: int) -> None:
        self.pair.pass_time(ms * MS)
        for side in (self.pair.client, self.pair.server):
            for event in side.expire(self.pair.now_ns):
                self._note(event)

    @precondition(lambda self: not self.is_closed and len(self.dialogues) > 6)
    @rule()
    def close(self) -> None:
        self.is_closed = True
        for wire in self.wires.values():
            wire.clear()
        for side in (self.pair.client, self.pair.server):
            for event in side.connection.closed(PEER_DEAD):
                self._note(event)

    # -- what must hold --

    @invariant()
    def memory_is_bounded_by_credit(self) -> None:
        for dialogue in self.dialogues.values():
            for end, window in ((dialogue.near, FIRST), (dialogue.far, WINDOW)):
                if end is not None and end.receiving is not None:
                    assert end.receiving.waiting <= window.items
                    held = end.receiving.size_bytes - end.receiving._taken_bytes
                    assert held < window.size_bytes + 3002

    @invariant()
    def nobody_has_more_credit_than_was_given(self) -> None:
        for dialogue in self.dialogues.values():
            if dialogue.far is None:
                continue
            for one, other in ((dialogue.near, dialogue.far), (dialogue.far, dialogue.near)):
                if one.sending is not None:
                    assert other.receiving is not None
                    assert one.sending.count <= one.sending.limit.items
                    assert one.sending.limit.items <= other.receiving.limit.items
                    assert one.sending.limit.size_bytes <= other.receiving.limit.size_bytes

    @invariant()
    def items_come_in_order(self) -> None:
        for dialogue in self.dialogues.values():
            assert dialogue.took["near"] == dialogue.sent["far"][: len(dialogue.took["near"])]
            assert dialogue.took["far"] == dialogue.sent["near"][: len(dialogue.took["far"])]

    @invariant()
    def honest_ends_break_nothing(self) -> None:
        for side in (self.pair.client, self.pair.server):
            assert side.connection.streams.broken == 0

    def teardown(self) -> None:
        """All that is under way arrives, the server answers, and the client takes what came."""
        for _ in range(4):
            self._load()
            for toward, wire in self.wires.items():
                while wire:
                    self._give(toward, wire.pop())
            for dialogue in self.dialogues.values():
                far = dialogue.far
                if far is not None and not dialogue.is_answered:
                    self._answer(far, is_error=False)
        for dialogue in self.dialogues.values():
            (end,) = dialogue.ends
            assert dialogue.near.ended is end
            assert dialogue.near.is_over
            assert dialogue.far is None or dialogue.far.is_over
            assert len(dialogue.stops) <= 1
            if dialogue.near.receiving is not None and isinstance(end, Replied | Refused):
                while (payload := dialogue.near.take()) is not None:
                    dialogue.took["near"].append(payload)
                assert dialogue.near.receiving.is_done
                assert dialogue.took["near"] == dialogue.sent["far"]
        for side in (self.pair.client, self.pair.server):
            assert not side.connection.streams.outgoing
            assert not side.connection.streams.incoming
            assert side.connection.outgoing == side.connection.incoming == 0
            assert len(side.deadlines) == 0
            assert self.is_closed or not side.outbox

    def _end(self, number: int, is_near: bool) -> StreamEnd | None:
        if not self.dialogues:
            return None
        dialogue = list(self.dialogues.values())[number % len(self.dialogues)]
        return dialogue.near if is_near else dialogue.far

    def _answer(self, far: IncomingStream, *, is_error: bool) -> None:
        self.dialogues[far.call.call_id].is_answered = True
        connection = self.pair.server.connection
        if is_error:
            connection.reply_error(far.call, 5, b"")
        else:
            connection.reply_stream(far, b"")

    def _load(self) -> None:
        """Puts on the wire what both sides sent."""
        sides: list[tuple[str, Side]] = [
            ("server", self.pair.client),
            ("client", self.pair.server),
        ]
        for toward, side in sides:
            while side.outbox and side.outbox.burst():
                taken = side.take()
                if not self.is_closed:
                    self.wires[toward] += taken

    def _give(self, toward: str, message: tuple[Head, bytes]) -> None:
        side = self.pair.client if toward == "client" else self.pair.server
        for event in side.give([message], self.pair.now_ns):
            self._note(event)

    def _note(self, event: Any) -> None:
        if isinstance(event, Requested):
            dialogue = self.dialogues[event.call.call_id]
            assert dialogue.far is None
            near = dialogue.near
            window = WINDOW if near.sending is not None else None
            streams = self.pair.server.connection.streams
            dialogue.far = streams.accept(event.call, window, gives=near.receiving is not None)
        elif isinstance(event, Stopped):
            dialogue = self.dialogues[event.call.call_id]
            dialogue.stops.append(event)
            if not dialogue.is_answered:
                dialogue.is_answered = True
                if event.cause is Cause.DEADLINE:
                    self.pair.server.connection.reply_error(event.call, 4, b"")
        elif isinstance(event, Replied | Refused | Failed):
            self.dialogues[event.call.call_id].ends.append(event)


TestStreaming = Streaming.TestCase
TestStreaming.settings = settings(max_examples=60, stateful_step_count=60)
