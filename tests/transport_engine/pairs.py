"""Two applications that may have pairs, and a listener that a test moves by hand."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.transport_engine.records import field
from tests.transport_engine.sidecars import RING_BYTES, Sidecar, records, until
from transport_engine import Endpoint, EngineGoneError, SidecarAttachment, attach, messages
from transport_engine._native import lib
from transport_engine.channel import Channel
from transport_engine.config import SidecarConfig
from transport_engine.errors import NoPairError
from transport_engine.pair_end import PairEnd

PAIR_RING_BYTES = lib.TE_RING_BYTES_MIN
SHORT = SidecarConfig.model_validate({"control": {"direct_ring_bytes": PAIR_RING_BYTES}})
MIB = 1 << 20


@dataclass
class Two:
    """A server that listens and a client, attached to one engine."""

    sidecar: Sidecar
    server: SidecarAttachment
    client: SidecarAttachment
    at: Endpoint
    accepted: list[PairEnd]

    async def pair(self) -> tuple[PairEnd, PairEnd]:
        """The client's and the server's end."""
        before = len(self.accepted)
        end = await self.client.pair(self.at)
        await until(lambda: len(self.accepted) > before)
        return end, self.accepted[-1]

    async def why_not(self, at: Endpoint | None = None) -> str:
        """The reason why the client gets no pair."""
        with pytest.raises(NoPairError) as refusal:
            await self.client.pair(at or self.at)
        return str(refusal.value)

    async def has_flow(self, at: Endpoint | None = None) -> bool:
        """Whether the client gets a flow in its place."""
        await self.client.connect(at or self.at, token=7)
        ((head, _),) = await records(self.client, 1)
        assert field(head, "call_id") == 7
        return bool(field(head, "kind") == lib.TE_FLOW_OPENED)


async def two(sidecar: Sidecar) -> Two:
    server = await attach(sidecar.path, RING_BYTES, direct=True)
    client = await attach(sidecar.path, RING_BYTES, direct=True)
    accepted: list[PairEnd] = []
    server.pairs.on_pair = accepted.append
    at = Endpoint(server.local.address, await server.listen(0))
    return Two(sidecar, server, client, at, accepted)


def received(end: PairEnd) -> list[bytes]:
    found = [payload for _, payload in end.channel.receive()]
    end.channel.ring()
    return found


def is_over(end: PairEnd) -> bool:
    try:
        end.channel.awake()
    except EngineGoneError:
        return True
    return False


@dataclass
class ByHand:
    """A listener that does what a test tells it to."""

    connection: socket.socket
    at: Endpoint

    async def hears(self) -> tuple[Any, list[int]]:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self.connection.fileno(), readable.set)
        async with asyncio.timeout(5):
            await readable.wait()
        loop.remove_reader(self.connection.fileno())
        data, fds, _, _ = socket.recv_fds(self.connection, messages.MESSAGE_BYTES_MAX, 4)
        return messages.unpack(data), fds

    async def offered(self) -> tuple[int, list[int]]:
        event, fds = await self.hears()
        assert event["event"] == "pair"
        return event["pair"], fds

    def say_mapped(self, number: int) -> None:
        self.connection.send(messages.pack_request(messages.Mapped(id=3, pair=number)))


@asynccontextmanager
async def listener_by_hand(both: Two) -> AsyncGenerator[ByHand]:
    listener = ByHand(both.sidecar.raw(), both.at)
    attaching = messages.Attach(id=1, ring_bytes=RING_BYTES, direct=True)
    listener.connection.send(messages.pack_request(attaching))
    _, fds = await listener.hears()
    with Channel(*fds):
        listener.connection.send(messages.pack_request(messages.Listen(id=2, port=0)))
        answer, _ = await listener.hears()
        listener.at = Endpoint(both.at.address, answer["result"]["port"])
        yield listener
    listener.connection.close()
