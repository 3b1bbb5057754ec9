"""Processes that ping and echo over one netif each, and network namespaces for them.

Whatever is started here is ended here, by the id that it got.
"""

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from tests.c_builds import ADDRESS, SANITIZER_ENVIRONMENT

PROGRAM = "tests/transport_engine/csrc/netif_pingpong"
READY_TIMEOUT_S = 30.0
END_TIMEOUT_S = 20.0
SECONDS_MAX = 60
# The EAL keeps what it allocated to the end of the process.
ENVIRONMENT = os.environ | SANITIZER_ENVIRONMENT | {"ASAN_OPTIONS": "detect_leaks=0"}


@dataclass(frozen=True, slots=True)
class Side:
    """One end: a driver, its arguments, and where it runs."""

    driver: str
    arguments: str
    address: str
    port: int = 7000
    prefix_bits: int = 24
    mtu_bytes: int = 1500
    namespace: str | None = None

    @property
    def endpoint(self) -> str:
        return f"{self.address},{self.port}"

    def argv(self) -> list[str]:
        within = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        program = str(ADDRESS.program(PROGRAM))
        numbers = [str(self.prefix_bits), str(self.mtu_bytes)]
        return [*within, program, self.driver, self.arguments, self.endpoint, *numbers]


@dataclass(slots=True)
class Report:
    """What a process said of itself at its end; numbers by their names."""

    text: str = ""

    def __getitem__(self, name: str) -> float:
        found = re.search(rf"\b{name}=([0-9.]+)", self.text)
        assert found is not None, self.text
        return float(found[1])


@contextlib.contextmanager
def echoing(side: Side) -> Generator[Report]:
    """An echo server; the report is filled in when it has ended."""
    report = Report()
    server = _start([*side.argv(), "serve"])
    overdue = threading.Timer(READY_TIMEOUT_S, server.kill)
    overdue.start()
    try:
        assert server.stdout is not None
        said: list[str] = []  # libraries may speak first
        while "ready\n" not in said and (line := server.stdout.readline()):
            said.append(line)
        overdue.cancel()
        assert "ready\n" in said, "".join(said)
        yield report
    finally:
        overdue.cancel()
        server.send_signal(signal.SIGTERM)
        report.text = _end(server)
    assert server.returncode == 0, report.text


def ping(
    side: Side, remote: Side, count: int, size_bytes: int = 1400, *, seconds: int = SECONDS_MAX
) -> Report:
    """Sends numbered datagrams to an echo server until each came back as it was sent."""
    numbers = [str(count), str(size_bytes), str(seconds)]
    client = _start([*side.argv(), "ping", remote.endpoint, *numbers])
    try:
        text, _ = client.communicate(timeout=READY_TIMEOUT_S + SECONDS_MAX)
    finally:
        client.kill()
        client.wait()
    assert client.returncode == 0, text
    report = Report(text)
    assert report["verified"] == count
    return report


def refused(side: Side, status: int = 3) -> str:
    """The sentence with which a netif does not open, and its process ends."""
    client = _start([*side.argv(), "serve"])
    try:
        text, _ = client.communicate(timeout=READY_TIMEOUT_S)
    finally:
        client.kill()
        client.wait()
    assert client.returncode == status, text
    return text


@contextlib.contextmanager
def joined_namespaces(prefix: str) -> Generator[tuple[str, str]]:
    """Two network namespaces joined by a veth; the ends are called `left` and `right`."""
    names = (f"{prefix}-left", f"{prefix}-right")
    try:
        for name in names:
            _ip("netns", "add", name)
        link = ("link", "add", "left", "netns", names[0], "type", "veth")
        _ip(*link, "peer", "name", "right", "netns", names[1])
        for name, end in zip(names, ("left", "right"), strict=True):
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", end, "up")
        _ip("-n", names[1], "address", "add", "10.99.1.2/24", "dev", "right")
        _ip("-n", names[1], "address", "add", "fd99::2/64", "dev", "right", "nodad")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=END_TIMEOUT_S)


def _start(argv: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        argv,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _end(process: subprocess.Popen[str]) -> str:
    try:
        text, _ = process.communicate(timeout=END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        text, _ = process.communicate()
        raise AssertionError(f"did not end by itself\n{text}") from None
    return text


def build_lacks() -> str | None:
    """Why the program cannot be built or lacks the driver; None: it can."""
    missing = ADDRESS.lacks()
    if missing is not None:
        return missing
    found = subprocess.run(["pkg-config", "--exists", "libdpdk >= 22.11"], check=False)
    return None if found.returncode == 0 else "libdpdk-dev is not installed"


def sockets_in(folder: Path) -> list[str]:
    """What a virtual device left behind."""
    return [path.name for path in folder.iterdir()]
