"""What stops other sidecars of this kind, done to ours: each harms at most whoever does it.

Two of the family stand elsewhere: applications that leave while they attach
(tests/transport_engine/test_hostile_clients.py) and netifs that take nothing
(tests/transport_engine/csrc/engine/test_stalled.c).
"""

import asyncio
import socket
import time
from pathlib import Path
from typing import Final

import pytest

import machnet_rpc
from machnet_rpc import Unavailable
from tests.e2e.echo import Echo
from tests.e2e.processes import Fleet
from tests.own_address import own_address
from tests.transport_engine.records import field, packed
from tests.transport_engine.sidecars import records
from transport_engine import Endpoint, SidecarAttachment, attach, read_stats
from transport_engine._native import lib
from transport_engine.config import parse

HERE: Final = own_address()
ENGINE: Final = f'driver = "udp"\naddress = "{HERE}"\nport = 0'
IMPATIENT: Final = f"{ENGINE}\n[engine.limits]\nkeep_alive_seconds = 0.2\ndead_seconds = 0.6"
INLINE: Final = parse({"engine": {"address": HERE}}, "inline").engine
FLOOD: Final = 4000  # messages, some times what Machnet's rings hold
ETH_P_IP: Final = 0x0800
REPLAYS: Final = 3
IP_AT: Final = 14
UDP_AT: Final = IP_AT + 20
SECONDS_MAX: Final = 20.0


async def opened(client: SidecarAttachment, server: SidecarAttachment, port: int) -> int:
    """A flow between two attachments; its index at the client."""
    await client.connect(Endpoint(server.local.address, port), token=1)
    ((head, _),) = await records(client, 1)
    assert field(head, "kind") == lib.TE_FLOW_OPENED
    await records(server, 1)
    return field(head, "flow")


async def test_listener_that_drains_nothing_stops_its_own_senders_only(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        engine = fleet.engine("engine", ENGINE)
        address = fleet.serve("127.0.0.1:0", engine)
        server, client = await attach(engine), await attach(engine)
        flow = await opened(client, server, await server.listen(0))
        record = packed(bytes(1024), flow=flow, call_id=1)
        sent = 0
        deadline = time.monotonic() + 1.0
        while sent < FLOOD and time.monotonic() < deadline:
            sent += client.channel.send(record) > 0
            client.channel.ring()
        assert sent > 256
        async with machnet_rpc.connect(address, via=engine) as other:
            assert await other.stub(Echo).echo(b"meanwhile") == b"meanwhile"
        came = len(await records(server, sent))
        assert came == sent
        await client.close()
        await server.close()


def captured(sniffer: socket.socket, port: int) -> list[bytes]:
    """Frames to a UDP port that crossed loopback, as they were received."""
    frames: list[bytes] = []
    while True:
        try:
            frame, (_, _, kind, *_) = sniffer.recvfrom(65536)
        except BlockingIOError:
            return frames
        if kind != socket.PACKET_OUTGOING and frame[UDP_AT + 2 : UDP_AT + 4] == port.to_bytes(2):
            # The kernel has not filled in the checksum; UDP over IPv4 does without.
            frames.append(frame[: UDP_AT + 6] + bytes(2) + frame[UDP_AT + 8 :])


async def test_old_packets_and_acknowledgements_again_change_nothing(tmp_path: Path) -> None:
    """Three times each, on a flow that is idle, from whoever saw them."""
    try:
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
        replayer = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    except PermissionError:
        pytest.skip("packet sockets need root")
    with Fleet(tmp_path) as fleet, sniffer, replayer:
        sniffer.bind(("lo", ETH_P_IP))
        sniffer.setblocking(False)
        engine = fleet.engine("engine", ENGINE)
        address = fleet.serve("127.0.0.1:0", engine)
        port = int(address.rpartition(":")[2])
        captured(sniffer, port)
        async with machnet_rpc.connect(address, via=INLINE) as client:
            echo = client.stub(Echo).echo
            frames: list[bytes] = []
            for number in range(8):
                await echo(b"%d" % number)
                frames += captured(sniffer, port)  # others use loopback, too
            await asyncio.sleep(0.2)
            frames += captured(sniffer, port)
            assert len(frames) >= 8
            before = await read_stats(engine)
            for frame in frames * REPLAYS:
                replayer.sendto(frame[IP_AT:], (HERE, 0))
            await asyncio.sleep(0.2)
            after = await read_stats(engine)
            assert after["datagrams_received"] >= before["datagrams_received"] + len(frames)
            assert await echo(b"after") == b"after"
            assert await client.stub(Echo).count() == 9
        assert after["flows_open"] == before["flows_open"]


async def test_peer_that_dies_is_reported_and_used_again(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        near = fleet.engine("near", IMPATIENT)
        far = fleet.engine("far", IMPATIENT)
        far_engine = fleet.latest
        address = fleet.serve("127.0.0.1:0", far)
        watcher = await attach(near)
        host, _, port = address.rpartition(":")
        await watcher.connect(Endpoint.parse(address), token=1)
        ((head, _),) = await records(watcher, 1)
        assert field(head, "kind") == lib.TE_FLOW_OPENED, (host, port)
        async with machnet_rpc.connect(address, via=near) as client:
            echo = client.stub(Echo).echo
            assert await echo(b"before") == b"before"
            far_engine.kill()  # nobody is left to say goodbye
            ((head, _),) = await records(watcher, 1)
            assert field(head, "kind") == lib.TE_FLOW_CLOSED
            assert field(head, "status") == lib.TE_R_PEER_DEAD
            fleet.engine("far", IMPATIENT)  # at the same place; its server attaches again
            deadline = time.monotonic() + SECONDS_MAX
            while True:
                try:
                    assert await echo.using(timeout=5.0)(b"after") == b"after"
                    break
                except Unavailable:
                    assert time.monotonic() < deadline
        await watcher.close()
