"""Any records whatever give events or are counted: nothing is raised, and memory stays bounded."""

from hypothesis import given, settings
from hypothesis import strategies as st

from machnet_rpc._protocol import records
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.events import Requested, Stopped
from machnet_rpc._protocol.stream_table import OutgoingStream
from machnet_rpc._protocol.streams import FIRST, Window
from tests.machnet_rpc.protocol.pair import Pair

WINDOW = Window(4, 100)
numbers = st.one_of(st.integers(0, 70), st.integers(0, (1 << 64) - 1))
messages = st.tuples(
    st.sampled_from(
        [
            records.REQUEST,
            records.REPLY,
            records.CANCEL,
            records.ITEM,
            records.END,
            records.CREDIT,
            records.APP_KIND_LAST,
        ]
    ),
    st.integers(0, 4),  # call id
    numbers,
    st.sampled_from([0, 1, 2, 65535]),  # status
    st.sampled_from([0, records.ERROR]),
    st.one_of(st.binary(max_size=9), st.sampled_from([bytes(150), bytes(2 << 20)])),
)


@given(st.lists(messages, max_size=60))
@settings(max_examples=150)
def test_noise(noise: list[tuple[int, int, int, int, int, bytes]]) -> None:
    pair = Pair()
    side = pair.client
    outgoing: list[OutgoingStream] = []
    for gives, takes in ((True, True), (False, True), (True, False)):
        call = OutgoingCall(1 << 40, pair.now_ns + 10**9, None)
        outgoing.append(OutgoingStream(call, gives=gives, takes=takes))
        side.connection.open_stream(outgoing[-1], b"", pair.now_ns)
    for kind, call_id, number, status, flags, payload in noise:
        size = len(payload)
        flags |= records.WHOLE
        head = (call_id, number, 10**9, 3, size, 0, size, kind, flags, 0, 0, status, 0, 0)
        event = side.connection.receive(head, payload, pair.now_ns)
        if isinstance(event, Requested):
            window = WINDOW if event.call.call_id % 2 else None
            side.connection.streams.accept(event.call, window, gives=event.call.call_id < 3)
        elif isinstance(event, Stopped):
            side.connection.reply_error(event.call, 13, b"")
        for stream in outgoing:
            if stream.receiving is not None:
                assert stream.receiving.waiting <= FIRST.items
        for incoming in side.connection.streams.incoming.values():
            if incoming.receiving is not None:
                assert incoming.receiving.waiting <= WINDOW.items
    list(side.connection.closed(5))
    assert all(stream.ended is not None for stream in outgoing)
    assert side.connection.outgoing == side.connection.incoming == len(side.deadlines) == 0
