"""The demo as a user runs it: it verifies, and leaves nothing behind, however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.demo.hosts import WIRES
from transport_engine.config import SidecarEngineConfig
from transport_engine.doctor import rungs
from transport_engine.machine import Machine

ROOT = Path(__file__).resolve().parents[3]
SMALL = ["--messages", "2000", "--accesses", "2000"]
LONG = ["--wire", "udp", "--messages", "90000"]


def restore_signals() -> None:
    """What a shell does for a program in the foreground."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def started(
    tmp_path: Path, *argv: str, data: Path | None = None
) -> Generator[subprocess.Popen[str]]:
    environment = os.environ | {"TMPDIR": str(tmp_path), "COLUMNS": "200"}
    if data is not None:
        environment["MRPC_DATA"] = str(data)
    demo = subprocess.Popen(
        [sys.executable, "-m", "examples.demo", *SMALL, *argv],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background has them ignore Ctrl-C, and children with them.
        preexec_fn=restore_signals,  # no threads here
    )
    with demo:
        try:
            yield demo
        finally:
            demo.kill()


def children(tmp_path: Path) -> dict[int, str]:
    """Live processes by id; all children of a demo have its directory on their command lines."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, UnicodeDecodeError):
                continue
            if str(tmp_path) in line:
                found[int(entry.name)] = line
    return found


def leftovers(tmp_path: Path) -> list[object]:
    """What a demo ought to take away: processes, files, mounts."""
    mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    return [
        *children(tmp_path).values(),
        *tmp_path.iterdir(),
        *(line for line in mounts if str(tmp_path) in line),
    ]


def hugepages() -> str:
    return Path("/proc/sys/vm/nr_hugepages").read_text(encoding="ascii")


def wait_for_client(tmp_path: Path) -> None:
    deadline = time.monotonic() + 60
    while not any(" play " in line for line in children(tmp_path).values()):
        assert time.monotonic() < deadline, "no client was started"
        time.sleep(0.05)


def test_verified_tables_without_any_data(tmp_path: Path) -> None:
    with started(tmp_path, "--wire", "udp", data=tmp_path / "nothing") as demo:
        output, errors = demo.communicate(timeout=120)
    assert demo.returncode == 0, errors
    assert "UDP through the kernel's loopback" in output
    assert "made-up order flow" in output
    assert "YCSB A" in output
    assert output.count(" 0 wrong") == 2
    assert "equals one computed here" in output
    assert output.count("sidecar+udp") == 2
    assert leftovers(tmp_path) == []


def test_another_engine_may_run(tmp_path: Path) -> None:
    """As one of `mrpc engine`, which the tutorial starts, or of another demo."""
    port = SidecarEngineConfig().port
    with contextlib.ExitStack() as stack:
        for address in ("127.0.0.1", "127.0.0.2"):
            taken = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):  # by an engine
                taken.bind((address, port))
        demo = stack.enter_context(started(tmp_path, "--wire", "udp"))
        _, errors = demo.communicate(timeout=120)
    assert demo.returncode == 0, errors


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "examples.demo", "--wire", "udp"],
            check=False,
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(tmp_path)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert (done.returncode, done.stderr) == (1, "error: [Errno 28] No space left on device\n")
    assert leftovers(tmp_path) == []


@pytest.mark.dpdk
@pytest.mark.parametrize("wire", [name for name in WIRES if name != "udp"])
def test_wires_past_the_kernel(tmp_path: Path, wire: str) -> None:
    (rung,) = (rung for rung in rungs(Machine.here()) if rung.name == wire)
    if not rung.possible or os.geteuid() != 0:
        pytest.skip(f"{wire}: {rung.why}; root: {os.geteuid() == 0}")
    before = hugepages()
    with started(tmp_path, "--wire", wire) as demo:
        output, errors = demo.communicate(timeout=120)
    assert demo.returncode == 0, errors
    assert output.count("sidecar+dpdk") == 2
    assert output.count(" 0 wrong") == 2
    assert leftovers(tmp_path) == []
    assert hugepages() == before


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGHUP, 128 + signal.SIGHUP),  # its terminal was closed
    ],
)
def test_signals_leave_nothing_behind(tmp_path: Path, number: int, status: int) -> None:
    with started(tmp_path, *LONG) as demo:
        wait_for_client(tmp_path)
        demo.send_signal(number)
        time.sleep(0.1)
        demo.send_signal(number)  # an impatient user changes nothing
        demo.communicate(timeout=60)
    assert demo.returncode == status
    assert leftovers(tmp_path) == []


def test_a_demo_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    with started(tmp_path, *LONG) as demo:
        wait_for_client(tmp_path)
        demo.kill()
        demo.communicate(timeout=60)
        left = children(tmp_path)
        deadline = time.monotonic() + 30
        while left and time.monotonic() < deadline:
            time.sleep(0.05)
            left = children(tmp_path)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert left == {}


def test_a_server_that_dies_fails_the_demo(tmp_path: Path) -> None:
    with started(tmp_path, *LONG) as demo:
        wait_for_client(tmp_path)
        lines = children(tmp_path)
        (gateway,) = (pid for pid, line in lines.items() if "examples.trading serve" in line)
        os.kill(gateway, signal.SIGKILL)
        _, errors = demo.communicate(timeout=120)
    assert demo.returncode == 1
    assert "error: client ended with status 1" in errors
    assert leftovers(tmp_path) == []
