"""Engines on two cores each, over a NIC of two queues: virtual ones, and a veth to the kernel.

Neither NIC knows whose a packet is: a virtual pair brings it to the queue at whose other end it
was sent, the kernel to one by a hash that is not ours. So packets come in at the wrong core, and
are handed over.
"""

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.processes import MRPC, Fleet, Running, two_hosts
from transport_engine import Stats, attach, read_stats
from transport_engine.hugepages import hugepages

CORES = sorted(os.sched_getaffinity(0))[:2]
CALLS = 2000
WINDOW = 32
HUGE_MIB = 512  # for two processes
HASHES_MAX = 10  # the kernel's is another one after each boot: it may be right about two flows

pytestmark = [
    pytest.mark.dpdk,
    pytest.mark.skipif(len(CORES) < 2, reason="this process may run on one core only"),
]


def dpdk(arguments: str, address: str) -> str:
    return (
        f'driver = "dpdk"\nnetif = "{arguments}"\naddress = "{address}"\nprefix_bits = 24\n'
        f'security = "none"\ncores = {CORES}'
    )


@contextmanager
def virtual_pair(folder: Path) -> Generator[tuple[Fleet, Path, Path]]:
    """Two engines on this machine, joined by a NIC of two queues; yields their sockets."""
    path = folder / "vhost.sock"
    server = dpdk(f"--vdev=net_vhost0,iface={path},queues=2", "10.99.0.1")
    client = dpdk(f"--vdev=net_virtio_user0,path={path},queues=2", "10.99.0.2")
    with hugepages(HUGE_MIB), Fleet(folder) as fleet:
        yield fleet, fleet.engine("server", server), fleet.engine("client", client)


def load(fleet: Fleet, address: str, engine: Path, netns: str | None = None) -> None:
    """Every answer right, none lost or doubled."""
    result = fleet.start_load(CALLS, WINDOW, address, engine, netns).line()
    assert (result["wrong"], result["served"]) == (0, CALLS)


async def load_each_core(
    fleet: Fleet, addresses: list[str], engine: Path, netns: str | None = None
) -> None:
    """From core 0 to core 1, then from core 1 to core 0: who attaches gets the emptier core."""
    load(fleet, addresses[1], engine, netns)
    first = await attach(engine)
    load(fleet, addresses[0], engine, netns)
    await first.close()


async def of_cores(engine: Path) -> tuple[Stats, Stats]:
    return await read_stats(engine, 0), await read_stats(engine, 1)


async def test_both_cores_carry_and_nothing_is_lost_at_the_wrong_queue(tmp_path: Path) -> None:
    with virtual_pair(tmp_path) as (fleet, server, client):
        addresses = [fleet.serve(f"10.99.0.1:{7000 + i}", server) for i in range(2)]
        await load_each_core(fleet, addresses, client)
        for engine in (server, client):
            for part in await of_cores(engine):
                assert part["messages_received"] >= CALLS
                assert part["handovers_lost"] == 0
        whole = [await read_stats(engine) for engine in (server, client)]
        assert sum(stats["datagrams_handed_over"] for stats in whole) > 0


async def test_an_engine_that_is_killed_and_comes_again(tmp_path: Path) -> None:
    with virtual_pair(tmp_path) as (fleet, server, client):
        engine: Running = fleet.latest
        addresses = [fleet.serve(f"10.99.0.1:{7000 + i}", server) for i in range(2)]
        load(fleet, addresses[0], client)
        engine.kill()
        fleet.engine_again("client")
        load(fleet, addresses[1], client)
        assert all(part["channels_open"] == 1 for part in await of_cores(server))
        assert (await read_stats(client))["channels_open"] == 0  # the loads have gone


@pytest.mark.netns
async def test_the_kernel_spreads_as_it_likes(tmp_path: Path) -> None:
    """To an engine over UDP, on two cores as well; a neighbour's answers come to one queue."""
    arguments = "--no-huge -m 256 --no-pci --vdev=net_af_packet0,iface=mrpc0,qpairs=2"
    udp = f'driver = "udp"\naddress = "10.77.0.2"\nsecurity = "none"\ncores = {CORES}'
    with two_hosts() as (left, right):
        for port in range(30_000, 30_000 + HASHES_MAX):
            with Fleet(tmp_path) as fleet:
                at = f"port = {port}\n"
                client = fleet.engine("dpdk", at + dpdk(arguments, "10.77.0.1"), left)
                server = fleet.engine("udp", at + udp, right)
                addresses = [fleet.serve(f"10.77.0.2:{7000 + i}", server, right) for i in range(2)]
                await load_each_core(fleet, addresses, client, left)
                for engine in (client, server):
                    for part in await of_cores(engine):
                        assert part["messages_received"] >= CALLS
                stats = await read_stats(client)
            assert stats["handovers_lost"] == 0
            if stats["datagrams_handed_over"] > 0:
                return
    pytest.fail(f"{2 * HASHES_MAX} flows all came in at the right core")


def test_more_cores_than_queues_is_a_sentence(tmp_path: Path) -> None:
    config = tmp_path / "engine.toml"
    arguments = "--no-huge -m 64 --no-pci --vdev=net_af_packet0,iface=lo"
    config.write_text(f"[engine]\n{dpdk(arguments, '10.99.0.1')}\n")
    argv = [*MRPC, "engine", "--socket", str(tmp_path / "engine.sock"), "--config", str(config)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "has 1 queue, and each of 2 cores needs one" in done.stderr
