"""A peer that begins long messages on several flows and finishes none holds up nobody else."""

import asyncio
import os
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import machnet_rpc
from tests.e2e.echo import Echo
from tests.e2e.processes import Fleet
from tests.own_address import own_address
from tests.transport_engine.records import field, packed
from tests.transport_engine.sidecars import records
from transport_engine import Endpoint, SidecarAttachment, attach, read_stats
from transport_engine._native import lib
from transport_engine.config import parse

HERE: Final = own_address()
# Other addresses of this machine, which no test has: other peers.
THERE: Final = ("127.64", "127.65")
LIMITS: Final = "pool_bytes = 67108864"
HOLDERS: Final = 7  # which the memory has room for
LONGEST_BYTES: Final = 8 << 20
ROUNDS: Final = 3
SECONDS_MAX: Final = 20.0


def other_address(which: int) -> str:
    pid = os.getpid()
    return f"{THERE[which]}.{pid >> 8 & 255}.{pid & 255}"


async def begin(engine: Path, server: Endpoint) -> SidecarAttachment:
    """Sends the first record of a long message, and no more."""
    holder = await attach(engine)
    await holder.connect(server, token=1)
    ((head, _),) = await records(holder, 1)
    assert field(head, "kind") == lib.TE_FLOW_OPENED
    first = bytes(lib.TE_RECORD_PAYLOAD_MAX)
    record = packed(
        first,
        flow=field(head, "flow"),
        flags=lib.TE_FIRST,
        total_bytes=LONGEST_BYTES,
    )
    assert holder.channel.send(record)
    holder.channel.ring()
    return holder


async def blocks_held(engine: Path) -> int:
    stats = await read_stats(engine)
    return stats["pool_blocks"] - stats["pool_blocks_free"]


async def test_unfinished_messages_of_one_peer_leave_memory_for_others(tmp_path: Path) -> None:
    inline = parse({"engine": {"address": other_address(0)}}, "inline").engine
    with Fleet(tmp_path) as fleet:
        limits = f"[engine.limits]\n{LIMITS}"
        engine = fleet.engine("engine", f'driver = "udp"\naddress = "{HERE}"\nport = 0\n{limits}')
        address = fleet.serve("127.0.0.1:0", engine)
        peer = fleet.engine("peer", f'driver = "udp"\naddress = "{other_address(1)}"\nport = 0')
        async with AsyncExitStack() as stack:
            for _ in range(HOLDERS):
                holder = await begin(peer, Endpoint.parse(address))
                stack.push_async_callback(holder.close)
            deadline = time.monotonic() + SECONDS_MAX
            while await blocks_held(engine) < 3 * LONGEST_BYTES // 4096:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            async with machnet_rpc.connect(address, via=inline) as client:
                echo = client.stub(Echo).echo
                for number in range(ROUNDS):
                    assert await echo(b"short") == b"short"
                    data = bytes([number]) * (LONGEST_BYTES - 256)
                    assert await echo(data) == data
            assert (await read_stats(engine))["flows_stalled"] == 0  # they still hold it
        deadline = time.monotonic() + SECONDS_MAX
        while await blocks_held(engine) > 0:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
