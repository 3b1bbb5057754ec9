"""Networks for a run: loopback of our own with a known TCP, and two hosts joined by a lossy wire.

Needs root; says so where it is missing.
"""

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.runs import Setting
from tests.e2e.faulty_wire import LEFT, RIGHT, Rates, faulty_wire
from tests.e2e.processes import ip

CONGESTION = "cubic"  # what grpc and the hand-written rivals run on, whatever the machine's own is
COMMAND_S = 10.0
TCP = Path("/proc/sys/net/ipv4")
ALLOWED = TCP / "tcp_allowed_congestion_control"


def missing(tool: str = "ip") -> str | None:
    """Why there are no namespaces here, or None."""
    if os.geteuid() != 0:
        return "not root, and so no network namespaces"
    return None if shutil.which(tool) else f"`{tool}` is not installed"


@contextmanager
def own_loopback() -> Generator[Setting]:
    """A namespace whose TCP uses CONGESTION; without root, the machine's as it is."""
    if missing() is not None:
        yield Setting()
        return
    name = f"mrpc-bench-{os.getpid()}"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        _set_congestion(name)
        yield Setting(server_netns=name, client_netns=name)
    finally:
        ip("netns", "delete", name)


@contextmanager
def lossy_hosts(lost: float, *, engines_have_addresses: bool) -> Generator[Setting]:
    """Client and server on hosts of their own; so much of what passes is lost, each way.

    The wire carries packets of one segment, so that each has the same chance.
    """
    has = not engines_have_addresses
    rates = Rates(lost, 0.0, 0.0)
    with faulty_wire(rates, kernel_has_left=has, kernel_has_right=has) as wire:
        for host in (wire.left, wire.right):
            ip("-n", host, "link", "set", "mrpc0", "gso_max_segs", "1")
            _set_congestion(host)
        yield Setting(RIGHT, LEFT, wire.right, wire.left)


@contextmanager
def congestion_allowed() -> Generator[None]:
    """Namespaces may choose CONGESTION; they may not where the machine keeps it for root.

    The machine's list is as it was afterwards.
    """
    before = ALLOWED.read_text(encoding="ascii").split()
    if missing() is not None or CONGESTION in before:
        yield
        return
    ALLOWED.write_text(" ".join([*before, CONGESTION]), encoding="ascii")
    try:
        yield
    finally:
        ALLOWED.write_text(" ".join(before), encoding="ascii")


def congestion(loopback: Setting) -> str:
    """What TCP runs on there."""
    if loopback.server_netns:
        return CONGESTION
    return (TCP / "tcp_congestion_control").read_text(encoding="ascii").strip()


def _set_congestion(netns: str) -> None:
    write = f"echo {CONGESTION} > {TCP / 'tcp_congestion_control'}"
    argv = ["ip", "netns", "exec", netns, "sh", "-c", write]
    subprocess.run(argv, check=True, capture_output=True, timeout=COMMAND_S)
