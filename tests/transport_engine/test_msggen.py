"""Message generators: what they count, and that a wrong reply is seen."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.transport_engine.records import packed
from transport_engine._native import lib
from transport_engine.channel import FIELDS, Channel
from transport_engine.config import EngineConfig
from transport_engine.endpoint import Endpoint
from transport_engine.engine import Engine
from transport_engine.errors import EngineGoneError
from transport_engine.msggen import (
    BYTES_MAX,
    BYTES_MIN,
    WINDOW_MAX,
    Drive,
    Generator,
    WrongReplyError,
    opened_flow,
)

Reply = tuple[dict[str, int], bytes]

SLICE_SECONDS = 0.002
TRIES = 1000


@dataclass
class Ends:
    """Two applications of one engine, with a flow between them."""

    engine: Engine
    client: Channel
    server: Channel
    flow: int
    server_index: int

    def answer(self, change: Callable[[dict[str, int], bytes], Reply]) -> None:
        """Replies to what has come with what `change` makes of it."""
        for head, payload in self.server.receive():
            fields = dict(zip(FIELDS, head, strict=True))
            if fields["kind"] == lib.TE_REQUEST:
                reply, content = change(fields | {"kind": lib.TE_REPLY}, payload)
                self.server.send(packed(content, **_sized(reply, content)))
        self.server.ring()


def _sized(fields: dict[str, int], content: bytes) -> dict[str, int]:
    return fields | {"size_bytes": len(content), "total_bytes": len(content)}


@pytest.fixture
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    with Engine(EngineConfig(driver=getattr(request, "param", "loopback"))) as engine:
        client_index, client = engine.attach()
        server_index, server = engine.attach()
        with client, server:
            port = engine.listen(server_index, 0)
            engine.connect(client_index, Endpoint(engine.local.address, port), 1)
            for _ in range(TRIES):
                engine.poll()
                flow = opened_flow(client, 1)
                if flow is not None:
                    yield Ends(engine, client, server, flow, server_index)
                    return
            raise AssertionError("no flow opened")


def driven(
    ends: Ends, change: Callable[[dict[str, int], bytes], Reply], until: Callable[[], bool]
) -> Drive:
    """Runs a client against a server in Python until something is so."""
    with Generator(ends.client, flow=ends.flow, size_bytes=100, window=2) as client:
        drive = Drive([client], [ends.engine])
        for _ in range(TRIES):
            drive.run(SLICE_SECONDS)
            ends.answer(change)
            if until():
                break
        return drive


@pytest.mark.parametrize(("size", "window"), [(BYTES_MIN, 1), (1000, 7), (BYTES_MAX, 40)])
def test_every_request_is_answered_once(ends: Ends, size: int, window: int) -> None:
    with (
        Generator(ends.server) as server,
        Generator(ends.client, flow=ends.flow, size_bytes=size, window=window) as client,
    ):
        drive = Drive([client, server], [ends.engine])
        for _ in range(TRIES):
            drive.run(SLICE_SECONDS)
            if client.counts().replies > 2 * window:
                break
        assert drive.settle(5.0)
        asked, answered = client.counts(), server.counts()
        assert asked.requests == asked.replies == answered.requests == answered.replies
        assert asked.replies > 2 * window
        assert (answered.flows_opened, asked.flows_closed) == (1, 0)
        assert 0 < client.latency_ns(50) <= client.latency_ns(99) <= client.latency_ns(100)
        client.forget()
        assert (client.counts().replies, client.latency_ns(50)) == (0, 0)


def _cut(fields: dict[str, int], payload: bytes) -> Reply:
    return fields, payload[:-8]


def _garbled_front(fields: dict[str, int], payload: bytes) -> Reply:
    return fields, b"x" + payload[1:]


def _garbled_back(fields: dict[str, int], payload: bytes) -> Reply:
    return fields, payload[:-1] + b"x"


def _renumbered(fields: dict[str, int], payload: bytes) -> Reply:
    return fields | {"call_id": fields["call_id"] + (1 << 12)}, payload


def _failed(fields: dict[str, int], payload: bytes) -> Reply:
    return fields | {"flags": fields["flags"] | lib.TE_ERROR}, payload


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_cut, "of another length"),
        (_garbled_front, "with another content"),
        (_garbled_back, "with another content"),
        (_renumbered, "to no request"),
        (_failed, "to no request"),
    ],
)
def test_a_wrong_reply_is_reported(
    ends: Ends, change: Callable[[dict[str, int], bytes], Reply], sentence: str
) -> None:
    with pytest.raises(WrongReplyError, match=sentence):
        driven(ends, change, lambda: False)


def test_a_reply_that_comes_twice_is_reported(ends: Ends) -> None:
    def twice(fields: dict[str, int], payload: bytes) -> Reply:
        ends.server.send(packed(payload, **_sized(fields, payload)))
        return fields, payload

    with pytest.raises(WrongReplyError, match="to no request"):
        driven(ends, twice, lambda: False)


def test_right_replies_of_another_server_are_right(ends: Ends) -> None:
    seen: list[int] = []

    def same(fields: dict[str, int], payload: bytes) -> Reply:
        seen.append(fields["call_id"])
        return fields, payload

    driven(ends, same, lambda: len(seen) > 10)
    assert len(set(seen)) == len(seen) > 10


def test_what_is_not_answered_does_not_settle(ends: Ends) -> None:
    with Generator(ends.client, flow=ends.flow, size_bytes=100, window=2) as client:
        drive = Drive([client], [ends.engine])
        drive.run(SLICE_SECONDS)
        assert not drive.settle(SLICE_SECONDS)


def test_a_flow_that_ends_is_an_error(ends: Ends) -> None:
    with Generator(ends.client, flow=ends.flow, size_bytes=100, window=2) as client:
        ends.engine.detach(ends.server_index)
        drive = Drive([client], [ends.engine])
        with pytest.raises(EngineGoneError, match="closed by the peer"):
            drive.run(60.0)


@pytest.mark.parametrize(
    ("size", "window"),
    [(BYTES_MIN - 1, 1), (BYTES_MAX + 1, 1), (100, 0), (100, WINDOW_MAX + 1)],
)
def test_sizes_out_of_range_are_refused(ends: Ends, size: int, window: int) -> None:
    with pytest.raises(ValueError, match="a message has 16 to 65536 bytes"):
        Generator(ends.client, flow=ends.flow, size_bytes=size, window=window)


def test_a_closed_generator_is_refused(ends: Ends) -> None:
    server = Generator(ends.server)
    server.close()
    server.close()
    with pytest.raises(ValueError, match="closed"):
        Drive([server], [ends.engine]).run(SLICE_SECONDS)


@pytest.mark.parametrize("ends", ["udp"], indirect=True)
def test_an_engine_does_not_send_to_itself_by_way_of_the_kernel(ends: Ends) -> None:
    with (
        Generator(ends.client, flow=ends.flow, size_bytes=1024, window=32) as client,
        Generator(ends.server) as server,
    ):
        Drive([client, server], [ends.engine]).run(SLICE_SECONDS)
        assert client.counts().replies > 0
    assert ends.engine.stats()["datagrams_sent"] > 0
    assert ends.engine.stats()["netif_send_calls"] == 0
