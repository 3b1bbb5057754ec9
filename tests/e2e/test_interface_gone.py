"""An engine whose interface is taken from under it: down and up, or deleted and made anew.

The drivers that read and write frames through the kernel are bound to one interface, which is not
the next one of its name; virtio_user is to one process at the other end of its socket.
"""

import asyncio
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.processes import Fleet, Running, ip, two_hosts
from transport_engine import _native, read_stats
from transport_engine.hugepages import hugepages

CALLS = 300
WINDOW = 8
SERVER = "10.77.0.2:7000"
AWAY_SECONDS = 2.0
HUGE_MIB = 768  # for two processes, of which one has its memory twice for a moment
LINES_MAX = 200  # that the driver says of it, until its interrupt is off
POLLS_PER_SECOND_MAX = 200_000  # a thread that never sleeps makes millions
CORES = sorted(os.sched_getaffinity(0))[:2]

pytestmark = [pytest.mark.dpdk, pytest.mark.netns]


def dpdk(queues: int) -> str:
    device = "net_af_packet0,iface=mrpc0" + (f",qpairs={queues}" if queues > 1 else "")
    cores = f"cores = {CORES[:queues]}\n" if queues > 1 else ""
    return (
        f'driver = "dpdk"\nnetif = "--no-huge -m 256 --no-pci --vdev={device}"\n{cores}'
        'address = "10.77.0.1"\nprefix_bits = 24\nsecurity = "none"'
    )


async def polls_a_second(engine: Path) -> float:
    """Over a while, of an engine that has nobody to talk to."""
    before = await read_stats(engine)
    await asyncio.sleep(AWAY_SECONDS)
    after = await read_stats(engine)
    return (after["polls"] - before["polls"]) * 1e9 / (after["now_ns"] - before["now_ns"])


def said(engine: Running, words: str) -> None:
    assert words in engine.text()


@pytest.mark.parametrize("queues", [1, 2])
async def test_it_is_deleted_and_made_anew(tmp_path: Path, queues: int) -> None:
    if len(CORES) < queues:
        pytest.skip("this process may run on one core only")
    udp = 'driver = "udp"\naddress = "10.77.0.2"\nsecurity = "none"'
    with two_hosts() as (left, right), Fleet(tmp_path) as fleet:
        client = fleet.engine("client", dpdk(queues), left)
        engine = fleet.latest
        fleet.serve(SERVER, fleet.engine("server", udp, right), right)
        for _ in range(2):
            waiting = fleet.start_load(CALLS, WINDOW, SERVER, client, left)
            assert waiting.line()["wrong"] == 0
            under_way = fleet.start_load(10**9, WINDOW, SERVER, client, left)
            ip("-n", left, "link", "delete", "mrpc0")
            said(engine, "interface mrpc0 is gone")
            assert await polls_a_second(client) < POLLS_PER_SECOND_MAX * queues
            under_way.kill()
            ip("link", "add", "mrpc0", "netns", left, "type", "veth", "peer", "mrpc0", "netns",
               right)  # fmt: skip
            ip("-n", right, "address", "add", "10.77.0.2/24", "dev", "mrpc0")
            for name in (left, right):
                ip("-n", name, "link", "set", "mrpc0", "up")
            said(engine, "interface mrpc0 is back, and the port on it open again")
        assert fleet.load(CALLS, WINDOW, SERVER, client, left)["wrong"] == 0
        assert not engine.has_line()


async def test_another_one_that_carries_less_is_not_taken(tmp_path: Path) -> None:
    with two_hosts() as (left, right), Fleet(tmp_path) as fleet:
        client = fleet.engine("client", dpdk(1), left)
        engine = fleet.latest
        ip("-n", left, "link", "delete", "mrpc0")
        said(engine, "interface mrpc0 is gone")
        ip("link", "add", "mrpc0", "mtu", "1300", "netns", left, "type", "veth", "peer", "mrpc0",
           "netns", right)  # fmt: skip
        for name in (left, right):
            ip("-n", name, "link", "set", "mrpc0", "up")
        said(engine, "the port on it does not open (its MTU is 1300")
        assert await polls_a_second(client) < POLLS_PER_SECOND_MAX


NO_ALARM_AT_FIRST = """
#include <dlfcn.h>
#include <stdint.h>
int rte_eal_alarm_set(uint64_t us, void (*call)(void *), void *with) {
    static int calls;
    void *eal = dlopen(EAL, RTLD_LAZY | RTLD_NOLOAD);
    int (*set)(uint64_t, void (*)(void *), void *) = dlsym(eal, "rte_eal_alarm_set");
    return calls++ < 2 ? -12 : set(us, call, with);
}
"""


def test_it_is_opened_again_once_there_is_memory_to_ask_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, preload = tmp_path / "alarm.c", tmp_path / "alarm.so"
    libraries = subprocess.run(
        ["ldd", _native.__file__], check=True, capture_output=True, text=True
    )
    eal = re.search(r"librte_eal\S+", libraries.stdout)
    if eal is None:
        pytest.skip("DPDK is part of the module")
    source.write_text(f'#define EAL "{eal[0]}"\n{NO_ALARM_AT_FIRST}')
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", preload, "-ldl"], check=True)
    with two_hosts() as (left, right), Fleet(tmp_path) as fleet:
        with monkeypatch.context() as context:
            context.setenv("LD_PRELOAD", str(preload))
            fleet.engine("client", dpdk(1), left)
        engine = fleet.latest
        ip("-n", left, "link", "delete", "mrpc0")
        said(engine, "interface mrpc0 is gone")
        ip("link", "add", "mrpc0", "netns", left, "type", "veth", "peer", "mrpc0", "netns", right)
        for name in (left, right):
            ip("-n", name, "link", "set", "mrpc0", "up")
        said(engine, "interface mrpc0 is back, and the port on it open again")


async def test_its_link_goes_and_comes(tmp_path: Path) -> None:
    udp = 'driver = "udp"\naddress = "10.77.0.2"\nsecurity = "none"'
    with two_hosts() as (left, right), Fleet(tmp_path) as fleet:
        client = fleet.engine("client", dpdk(1), left)
        engine = fleet.latest
        fleet.serve(SERVER, fleet.engine("server", udp, right), right)
        load = fleet.start_load(10**9, WINDOW, SERVER, client, left)
        while (await read_stats(client))["messages_received"] < CALLS:
            assert load.process.poll() is None
        ip("-n", left, "link", "set", "mrpc0", "down")
        assert await polls_a_second(client) < POLLS_PER_SECOND_MAX
        ip("-n", left, "link", "set", "mrpc0", "up")
        assert load.process.poll() is None  # its calls waited
        assert fleet.load(CALLS, WINDOW, SERVER, client, left)["wrong"] == 0
        load.kill()
        assert not engine.has_line()


@pytest.mark.parametrize("queues", [1, 2])
async def test_the_other_end_of_a_virtio_pair_is_killed(tmp_path: Path, queues: int) -> None:
    if len(CORES) < queues:
        pytest.skip("this process may run on one core only")
    path = tmp_path / "vhost.sock"

    def virtio(device: str, address: str) -> str:
        return (
            f'driver = "dpdk"\nnetif = "--vdev={device},queues={queues}"\naddress = "{address}"\n'
            f'cores = {CORES[:queues]}\nprefix_bits = 24\nsecurity = "none"'
        )

    def until_said(engine: Running, words: str) -> None:
        assert any(words in engine.text() for _ in range(LINES_MAX)), words

    with hugepages(HUGE_MIB), Fleet(tmp_path) as fleet:
        other = fleet.engine("other", virtio(f"net_vhost0,iface={path}", "10.99.0.1"))
        listening = fleet.latest
        client = fleet.engine("client", virtio(f"net_virtio_user0,path={path}", "10.99.0.2"))
        engine = fleet.latest
        for _ in range(2):
            address = fleet.serve("10.99.0.1:7000", other)
            serving = fleet.latest
            assert fleet.load(CALLS, WINDOW, address, client)["wrong"] == 0
            serving.stop()
            listening.kill()
            until_said(engine, f"the process at {path} is gone")
            assert await polls_a_second(client) < POLLS_PER_SECOND_MAX * queues
            fleet.engine_again("other")
            listening = fleet.latest
            until_said(engine, f"the process at {path} is back, and the port on it open again")
        assert not engine.has_line()
