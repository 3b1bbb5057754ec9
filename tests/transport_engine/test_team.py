"""An engine on several cores: channels placed, ports known to all, shares divided, ended as one."""

import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import MRPC, Fleet
from tests.transport_engine.records import field, packed
from transport_engine import (
    Channel,
    ConfigError,
    Endpoint,
    NoRoomError,
    PortInUseError,
    TransportError,
    read_stats,
)
from transport_engine._native import lib
from transport_engine.config import SidecarConfig, SidecarEngineConfig, parse
from transport_engine.engine import Engine, ShareTerms
from transport_engine.policy import Policy
from transport_engine.stats import FIELDS
from transport_engine.team import Team, open_engines

CORES = tuple(sorted(os.sched_getaffinity(0)))
SECONDS_MAX = 10.0
LIMITS = {"channels_max": 5, "flows_max": 64, "pool_bytes": 64 << 20}

pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="this process may run on one core only")


def config_of(**engine: object) -> SidecarEngineConfig:
    said = {"driver": "loopback", "cores": CORES[:2], "limits": LIMITS} | engine
    return SidecarEngineConfig.model_validate(said)


@pytest.fixture(name="team", params=["loopback", "udp"])
def team_of(request: pytest.FixtureRequest) -> Iterator[Team]:
    with Team(config_of(driver=request.param, port=0)) as team:
        team.start()
        yield team


def attached(team: Team, share: int = 0) -> tuple[int, Channel]:
    index, memory, doorbell = team.attach_descriptors(lib.TE_RING_BYTES_MIN, share)
    return index, Channel(memory, doorbell)


def core_of(channel: int) -> int:
    return channel // int(lib.TE_CHANNELS_MAX)


def kinds(channel: Channel, count: int) -> list[int]:
    """The kinds of the next records."""
    found: list[int] = []
    deadline = time.monotonic() + SECONDS_MAX
    while len(found) < count and time.monotonic() < deadline:
        time.sleep(0.001)
        found += [field(head, "kind") for head, _ in channel.receive()]
        channel.ring()
    return found


def test_channels_go_where_the_fewest_are(team: Team) -> None:
    places = [team.attach_descriptors(lib.TE_RING_BYTES_MIN, share) for share in (0, 0, 0, 1)]
    cores = [core_of(index) for index, *_ in places]
    assert cores == [0, 1, 0, 1]
    team.detach(places[1][0])
    assert team.stats()["channels_open"] == 3
    places.append(team.attach_descriptors(share=1))  # there is one of its share, and still
    assert core_of(places[-1][0]) == 1
    assert [team.core_stats(core)["channels_open"] for core in (0, 1)] == [2, 2]
    places.append(team.attach_descriptors())
    with pytest.raises(NoRoomError, match="channels_max"):
        team.attach_descriptors()
    for descriptor in (fd for _, *pair in places for fd in pair):
        os.close(descriptor)


def test_a_port_has_one_listener_whatever_the_core(team: Team) -> None:
    (first, one), (second, two) = attached(team), attached(team)
    assert core_of(first) != core_of(second)
    port = team.listen(first, 0)
    with pytest.raises(PortInUseError, match=f"port {port} of 127.0.0.1"):
        team.listen(second, port)
    with pytest.raises(TransportError, match="no such channel or listener"):
        team.unlisten(second, port)
    team.connect(second, Endpoint(team.local.address, port), token=1)
    assert kinds(two, 1) == [lib.TE_FLOW_OPENED]
    assert kinds(one, 1) == [lib.TE_FLOW_ACCEPTED]
    team.unlisten(first, port)
    assert team.listen(second, port) == port  # while the flow still uses it
    team.connect(first, Endpoint(team.local.address, port), token=2)
    assert kinds(one, 1) == [lib.TE_FLOW_OPENED]
    assert kinds(two, 1) == [lib.TE_FLOW_ACCEPTED]
    team.detach(second)
    assert kinds(one, 2) == [lib.TE_FLOW_CLOSED] * 2
    assert team.listen(first, port) == port
    one.close()
    two.close()


def test_quarantine_names_the_channel(team: Team) -> None:
    told: list[int] = []
    team.on_quarantined = lambda channel, _: told.append(channel)
    (_, one), (second, two) = attached(team), attached(team)
    two.send(packed(b"x", flow=1, lane=lib.TE_LANES))
    two.ring()
    bell = select.poll()
    bell.register(team.attend_fileno(), select.POLLIN)
    while not told:  # what earlier commands left may ring first
        assert bell.poll(SECONDS_MAX * 1e3)
        team.attend()
    assert told == [second]
    one.close()
    two.close()


def test_stats_are_the_sum(team: Team) -> None:
    attached(team)[1].close()
    attached(team)[1].close()
    parts = [team.core_stats(core) for core in (0, 1)]
    whole = team.stats()
    assert set(whole) == set(FIELDS)
    assert whole["pool_blocks"] == sum(part["pool_blocks"] for part in parts)
    assert whole["pool_blocks"] * 4096 == pytest.approx(LIMITS["pool_bytes"], rel=0.01)
    assert whole["now_ns"] < sum(part["now_ns"] for part in parts)
    with pytest.raises(ConfigError, match="no core 2: this engine runs on 2"):
        team.core_stats(2)


def test_a_share_has_its_part_at_each_core() -> None:
    with Team(config_of(driver="udp", port=0)) as team:
        team.start()
        team.set_share(1, ShareTerms(flows_max=5, memory_bytes=32 << 20, bytes_per_second=1000))
        index, channel = attached(team, share=1)
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # takes all, and answers nothing
        silent.bind((str(team.local.address), 0))
        peer = Endpoint(team.local.address, silent.getsockname()[1])
        for token in range(1, 4):
            team.connect(index, peer, token)
        with pytest.raises(TransportError, match="quota"):
            team.connect(index, peer, token=4)
        channel.close()
        silent.close()


def test_each_thread_has_its_processor() -> None:
    with Team(config_of()) as team:
        team.start()
        deadline = time.monotonic() + SECONDS_MAX
        where: list[set[int]] = []
        while not all({core} in where for core in CORES[:2]):
            assert time.monotonic() < deadline, where
            tasks = Path("/proc/self/task").iterdir()
            where = [os.sched_getaffinity(int(task.name)) for task in tasks]


def test_one_core_is_an_engine_alone() -> None:
    with open_engines(config_of(cores=CORES[:1])) as engine:
        assert isinstance(engine, Engine)
        assert engine.core_stats(0).keys() == set(FIELDS)
        with pytest.raises(ConfigError, match="runs on one"):
            engine.core_stats(1)


@pytest.mark.parametrize(
    ("engine", "sentence"),
    [
        ({"cores": (CORES[0], 4095)}, "engine.cores has processor 4095; this process may run on"),
        ({"limits": {"pool_bytes": 32 << 20}}, r"among 2 engines"),
        ({"driver": "udp", "address": "127.0.0.1", "netif": "", "port": 1, "mtu_bytes": 1280,
          "limits": {"pool_bytes": 32 << 20}}, r"engine\.cores divides"),
    ],
)  # fmt: skip
def test_refusals(engine: dict[str, object], sentence: str) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConfigError, match=sentence):
        open_engines(config_of(**engine))
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize(
    ("cores", "sentence"),
    [
        ([1, 1], "cores has processor 1 twice"),
        ([-1], r"cores\[0\] is -1"),
        (list(range(17)), "engine.cores is"),
    ],
)
def test_a_wrong_list_is_a_sentence(cores: list[int], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse({"engine": {"cores": cores}}, "engine.toml")


def test_tenants_need_room_at_each_core() -> None:
    def config(cores: tuple[int, ...]) -> SidecarConfig:
        tenant = {"name": "a", "uids": [1]}
        return parse({"engine": {"cores": cores}, "tenants": [tenant]}, "engine.toml")

    Policy.of(config((0,)))
    Policy.of(config((0, 1)))
    with pytest.raises(ConfigError, match="on each of 8 cores"):
        Policy.of(config(tuple(range(8))))


def test_command_line_refuses_what_is_no_list() -> None:
    argv = [*MRPC, "engine", "--cores", "0,0"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--cores" in done.stderr


async def test_a_sidecar_on_two_cores_serves_and_starts_again(tmp_path: Path) -> None:
    """Calls between applications at different cores, a kill, and calls by the next engine."""
    socket = tmp_path / "engine.sock"
    config = tmp_path / "engine.toml"
    config.write_text(f'[engine]\nport = 0\n[control]\nsocket = "{socket}"\ndirect = false\n')
    cores = ",".join(map(str, CORES[:2]))
    argv = [*MRPC, "engine", "--json", "--config", str(config), "--cores", cores]
    with Fleet(tmp_path) as fleet:
        engine = fleet.start(argv)
        assert "2 cores" in engine.line()["ready"]
        address = fleet.serve("127.0.0.1:0", socket)
        result = fleet.load(2000, 32, address, socket)
        assert (result["wrong"], result["served"]) == (0, 2000)
        parts = [await read_stats(socket, core) for core in (0, 1)]
        assert all(part["messages_received"] >= 2000 for part in parts)
        engine.kill()
        engine = fleet.start(argv)
        engine.line()
        result = fleet.load(500, 32, address, socket)  # the server listens again by itself
        assert result["wrong"] == 0
        assert engine.stop() == 0
