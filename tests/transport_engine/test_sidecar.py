"""The sidecar as a process: started, used, told to stop, killed; nothing left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.processes import stand_still
from tests.transport_engine.records import field
from transport_engine import Endpoint, EngineGoneError, SidecarAttachment, attach
from transport_engine._native import lib

SECONDS_MAX = 30.0
CONFIG = """
[engine]
port = 0
[control]
socket = "{socket}"
drain_seconds = {drain_seconds}
"""


@contextmanager
def started(
    folder: Path, text: str = CONFIG, drain_seconds: float = 1.0
) -> Generator[tuple[subprocess.Popen[str], Path]]:
    """A sidecar that has said that it is ready."""
    path = folder / "run" / "engine.sock"
    config = folder / "engine.toml"
    config.write_text(text.format(socket=path, drain_seconds=drain_seconds))
    argv = [sys.executable, "-m", "transport_engine", "--config", str(config)]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready: engine on 127.0.0.1:")
            yield process, path
        finally:
            process.kill()


def test_signal_ends_it_and_nothing_is_left(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with started(tmp_path, drain_seconds=60.0) as (process, path):
            process.send_signal(number)
            # No flows: nothing to wait for.
            _, errors = process.communicate(timeout=SECONDS_MAX)
            assert (process.returncode, errors) == (0, "")
            assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_more_signals_neither_hold_it_up_nor_cut_it_short(tmp_path: Path, number: int) -> None:
    with started(tmp_path, drain_seconds=60.0) as (process, path):
        process.send_signal(signal.SIGTERM)
        ends = time.monotonic() + SECONDS_MAX
        while process.poll() is None and time.monotonic() < ends:
            process.send_signal(number)
            time.sleep(0.0002)
        _, errors = process.communicate(timeout=SECONDS_MAX)
        assert (process.returncode, errors) == (0, "")
        assert list(path.parent.iterdir()) == []


@pytest.mark.dpdk
@pytest.mark.parametrize(
    "device",
    ["net_memif0,role=server,socket=SOCKET,socket-abstract=no", "net_vhost0,iface=SOCKET"],
    ids=["memif", "vhost"],
)
def test_dpdk_listens_again_where_it_was_killed(tmp_path: Path, device: str) -> None:
    place = tmp_path / "device.sock"
    options = f"--no-huge -m 128 --no-pci --vdev={device.replace('SOCKET', str(place))}"
    text = CONFIG.replace("port = 0", f'driver = "dpdk"\nnetif = "{options}"')
    with started(tmp_path, text) as (process, _):
        process.kill()
        process.wait()
        assert place.exists()
    with started(tmp_path, text) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS_MAX) == 0
    assert not place.exists()


@pytest.mark.dpdk
def test_dpdk_keeps_no_folder_of_it(tmp_path: Path) -> None:
    prefix = f"mrpc-test-{os.getpid()}"
    folder = Path("/run/dpdk", prefix)
    options = f"--no-huge -m 64 --no-shconf --file-prefix={prefix} --no-pci --vdev=net_null0"
    driver = f'driver = "dpdk"\nnetif = "{options}"'
    with started(tmp_path, CONFIG.replace("port = 0", driver)) as (process, _):
        assert folder.exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS_MAX) == 0
    assert not folder.exists()


async def test_under_nohup_it_outlives_its_terminal(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a process inherits that
    try:
        with started(tmp_path) as (process, path):
            process.send_signal(signal.SIGHUP)
            application = await attach(path)
            await application.stats()
            await application.close()
            process.terminate()
            assert process.wait(SECONDS_MAX) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


async def kinds_of(application: SidecarAttachment, count: int) -> list[int]:
    """Of the next records."""
    kinds: list[int] = []
    deadline = time.monotonic() + SECONDS_MAX
    while len(kinds) < count and time.monotonic() < deadline:
        await asyncio.sleep(0.001)
        kinds += [field(head, "kind") for head, _ in application.channel.receive()]
    return kinds


async def test_applications_are_told_by_a_stop(tmp_path: Path) -> None:
    with started(tmp_path) as (process, path):
        application = await attach(path)
        port = await application.listen(0)
        await application.connect(Endpoint(application.local.address, port), token=1)
        assert set(await kinds_of(application, 2)) == {lib.TE_FLOW_OPENED, lib.TE_FLOW_ACCEPTED}
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, SECONDS_MAX)
        ends = [head for head, _ in application.channel.receive()]
        assert {field(head, "kind") for head in ends} == {lib.TE_FLOW_CLOSED}
        assert len(ends) == 2
        with pytest.raises(EngineGoneError):
            application.channel.awake()
        await application.close()


async def connect_often(application: SidecarAttachment, remote: Endpoint) -> None:
    for token in range(2, 100):
        await application.connect(remote, token)


async def test_a_second_signal_does_not_wait_for_flows(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    with started(there) as (other, far), started(here, drain_seconds=60.0) as (process, near):
        server, client = await attach(far), await attach(near)
        port = await server.listen(0)
        await client.connect(Endpoint(server.local.address, port), token=1)
        assert await kinds_of(client, 1) == [lib.TE_FLOW_OPENED]
        stand_still(other.pid)  # it acknowledges no end of a flow
        process.send_signal(signal.SIGTERM)
        with pytest.raises(EngineGoneError, match="the engine is shutting down"):
            await connect_often(client, Endpoint(server.local.address, port))
        process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(process.wait, SECONDS_MAX) == 0
        assert list(near.parent.iterdir()) == []
        await client.close()
        await server.close()


async def test_applications_notice_a_kill_and_the_next_one_starts(tmp_path: Path) -> None:
    with started(tmp_path) as (process, path):
        application = await attach(path)
        process.kill()
        process.wait(SECONDS_MAX)
        with pytest.raises(EngineGoneError):
            application.channel.awake()
        with pytest.raises(EngineGoneError):
            await application.listen(0)
        await application.close()
        assert path.exists()
    with started(tmp_path) as (process, path):
        application = await attach(path)
        await application.close()


async def test_engine_outlives_a_killed_application(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from transport_engine import attach
async def main():
    application = await attach(sys.argv[1])
    print(await application.listen(0), flush=True)
    await asyncio.sleep({SECONDS_MAX})
asyncio.run(main())
"""
    with started(tmp_path) as (_, path):
        argv = [sys.executable, "-c", code, str(path)]
        killed = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
        assert killed.stdout is not None
        port = int(await killed.stdout.readline())
        killed.kill()
        await killed.wait()
        application = await attach(path)
        deadline = time.monotonic() + SECONDS_MAX
        while (await application.stats())["channels_open"] > 1:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert await application.listen(port) == port
        await application.close()


def test_second_start_is_refused(tmp_path: Path) -> None:
    with started(tmp_path) as (process, path):
        argv = [sys.executable, "-m", "transport_engine", "--socket", str(path)]
        second = subprocess.run(
            argv, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
        )
        assert second.returncode == 1
        assert second.stdout == ""
        assert second.stderr == (
            f"error: an engine is there already: process {process.pid} serves {path}: "
            "use it, or take another path\n"
        )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[engine]\nport = -1", "engine.port is -1; allowed is a whole number from 0 to 65535"),
        ('[engine]\naddress = "0.0.0.0"', 'write security = "none"'),
    ],
)
def test_bad_configuration_is_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    config = tmp_path / "bad.toml"
    config.write_text(text)
    argv = [sys.executable, "-m", "transport_engine", "--config", str(config)]
    run = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith(f"error: {config}: ")
    assert sentence in run.stderr


async def test_idle_costs_less_than_two_percent(tmp_path: Path) -> None:
    with started(tmp_path) as (process, path):
        application = await attach(path)
        await asyncio.sleep(1.0)
        before = _cpu_seconds(process.pid)
        await asyncio.sleep(1.0)
        assert _cpu_seconds(process.pid) - before <= 0.02
        await application.close()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
