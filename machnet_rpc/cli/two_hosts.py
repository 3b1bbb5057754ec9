"""Two engines that stand for two hosts, and what joins them.

Everything that it makes (configuration files, hugepages, a network namespace, processes) goes when
it is left. Knows EAL arguments and `mrpc engine`; not what the applications do.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from machnet_rpc.cli.files import naming
from transport_engine.doctor import rungs
from transport_engine.errors import NoEngineError
from transport_engine.hugepages import hugepages
from transport_engine.machine import Machine

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
HUGE_MIB: Final = 512  # for both
PLAIN_MIB: Final = 192  # each, where there are no hugepages
ADDRESSES: Final = ("10.99.0.2", "10.99.0.1")  # the server's first
VETH: Final = ("msggen-server", "msggen-client")
# A namespace without a name goes with its last process, and this one ends when its input does.
HOLD: Final = (
    f"ip link add {VETH[0]} type veth peer name {VETH[1]} && ip link set {VETH[0]} up && "
    f"ip link set {VETH[1]} up && "
    """echo "{\\"pid\\": $$}" && exec cat"""
)


@dataclass(frozen=True, slots=True)
class Host:
    """One of the two: its engine's configuration, and how a process comes to run on it."""

    name: str
    address: str
    folder: Path
    netns: tuple[str, ...]  # what a command begins with to have the host's interfaces
    processors: tuple[int, int]  # of its engine, of its application
    cores: tuple[int, ...] = ()  # of its application's threads, which drive engines themselves

    @property
    def config(self) -> Path:
        """The file of its engine."""
        return self.folder / f"{self.name}.toml"

    @property
    def socket(self) -> Path:
        """Where its engine lets applications attach."""
        return self.folder / f"{self.name}.sock"

    def application(self, *arguments: str) -> list[str]:
        """The command line of a `mrpc` that runs on it."""
        pinned = _pinned(*(self.cores or self.processors[1:]))
        return [*self.netns, *pinned, *mrpc(*arguments)]

    @contextlib.contextmanager
    def engine(self) -> Generator[None]:
        """Runs its engine in a process of its own.

        Errors: NoEngineError with what it said.
        """
        arguments = mrpc("engine", "--json", "--config", str(self.config))
        argv = [*self.netns, *_pinned(self.processors[0]), *arguments]
        with child(f"the {self.name}'s engine", argv, self.folder / f"{self.name}.log"):
            yield


@dataclass(frozen=True, slots=True)
class Wire:
    """What joins two engines: their [engine] lines but for the address, server first."""

    title: str
    server: str
    client: str
    huge_mib: int = 0
    is_namespaced: bool = False
    is_udp: bool = False


def _dpdk(netif: str) -> str:
    return f'driver = "dpdk"\nnetif = "{netif}"\nprefix_bits = 24\nsecurity = "none"\n'


def memif(folder: Path, _: int) -> Wire:
    """Rings in shared memory. The client's packets are the rings' buffers: a copy less each way."""
    path = f"socket={folder / 'memif.sock'},socket-abstract=no"
    server = _dpdk(f"--vdev=net_memif0,role=server,{path}")
    client = _dpdk(f"--vdev=net_memif0,role=client,{path},zero-copy=yes")
    return Wire("DPDK, net_memif", server, client, HUGE_MIB)


def virtio(folder: Path, queues: int) -> Wire:
    """Rings in shared memory, as between a virtual machine and its host."""
    path = folder / "vhost.sock"
    server = _dpdk(f"--vdev=net_vhost0,iface={path},queues={queues}")
    client = _dpdk(f"--vdev=net_virtio_user0,path={path},queues={queues}")
    return Wire("DPDK, net_vhost and net_virtio_user", server, client, HUGE_MIB)


def af_packet(_folder: Path, _queues: int) -> Wire:
    """Packet sockets of the kernel on the ends of a veth pair."""
    eal = f"--no-huge --no-shconf -m {PLAIN_MIB} --vdev=net_af_packet0,iface="
    server, client = (_dpdk(eal + name) for name in VETH)
    return Wire("DPDK, net_af_packet over veth", server, client, is_namespaced=True)


def udp(_folder: Path, _queues: int) -> Wire:
    """Sockets of the kernel."""
    return Wire(
        "udp through the kernel's loopback", 'driver = "udp"\n', 'driver = "udp"\n', is_udp=True
    )


WIRES: Final[dict[str, Callable[[Path, int], Wire]]] = {
    "memif": memif,
    "virtio": virtio,
    "af_packet": af_packet,
    "udp": udp,
}
QUEUED: Final = ("virtio", "udp")  # those with as many queues as one likes


@contextlib.contextmanager
def two_hosts(netif: str, queues: int = 0) -> Generator[tuple[Host, Host, Wire]]:
    """Prepares a server's host and a client's, joined by one of WIRES; starts nothing there.

    With queues, engines have a thread for each: the first of one host and the first of the other
    on the first processor, and so on.
    Errors: NoEngineError with what this machine lacks; NoRoomError.
    """
    rung = next(rung for rung in rungs(Machine.here()) if rung.name == netif)
    if not rung.possible:
        raise NoEngineError(f"--netif {netif} is not possible here: {rung.why}")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mrpc-msggen-")))
        wire = WIRES[netif](folder, max(queues, 1))
        if wire.huge_mib:
            stack.enter_context(hugepages(wire.huge_mib))
        netns = stack.enter_context(_namespace(folder)) if wire.is_namespaced else ()
        addresses = loopback_addresses(os.getpid()) if wire.is_udp else ADDRESSES
        allowed = sorted(os.sched_getaffinity(0))
        places, cores = processors(allowed), tuple(allowed[:queues])
        server, client = (
            Host(name, address, folder, netns, place, cores)
            for name, address, place in zip(("server", "client"), addresses, places, strict=True)
        )
        for host, lines in ((server, wire.server), (client, wire.client)):
            text = f'[engine]\naddress = "{host.address}"\n{lines}'
            text += f"cores = {list(cores)}\n" if cores else ""
            text += f'[control]\nsocket = "{host.socket}"\n'
            with naming(host.config):
                host.config.write_text(text, encoding="utf-8")
        yield server, client, wire


def loopback_addresses(pid: int) -> tuple[str, str]:
    """Two that no other process takes: others may measure at the same time."""
    low = f"{pid >> 8 & 255}.{pid & 255}"
    return f"127.{64 + (pid >> 16 & 63)}.{low}", f"127.{128 + (pid >> 16 & 63)}.{low}"


def processors(allowed: list[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where engine and application of the server's host run, and those of the client's.

    Each has a processor to itself where there are four; else those of a host share one, so that
    the hosts take none from each other.
    """
    if len(allowed) >= 4:
        return (allowed[0], allowed[1]), (allowed[2], allowed[3])
    return (allowed[0], allowed[0]), (allowed[-1], allowed[-1])


def _pinned(*processors: int) -> list[str]:
    return ["taskset", "--cpu-list", ",".join(map(str, processors))]


def mrpc(*arguments: str) -> list[str]:
    """The command line of another `mrpc`."""
    return [sys.executable, "-m", "machnet_rpc.cli", *arguments]


@contextlib.contextmanager
def child(what: str, argv: Sequence[str], log: Path) -> Generator[dict[str, Any]]:
    """Runs a process that says one line of JSON when it is ready, and gives that.

    It gets a signal when it is left, or when this process dies.
    Errors: NoEngineError with what it said, if it does not get ready.
    """
    argv = ["setpriv", "--pdeathsig", "TERM", *argv]
    with (
        log.open("wb") as errors,
        subprocess.Popen(  # noqa: S603  # our own programs
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        try:
            yield _said(what, process, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _said(what: str, process: "subprocess.Popen[bytes]", log: Path) -> dict[str, Any]:
    if process.stdout is None:
        raise AssertionError("stdout is a pipe")
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if ready else b""
    with contextlib.suppress(ValueError):
        said: dict[str, Any] = json.loads(line)
        if "error" not in said:
            return said
        raise NoEngineError(f"{what} did not start: {said['error']['message']}")
    words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    silence = "it ended without a word" if ready else f"it said nothing in {START_SECONDS:g} s"
    reason = words[-1] if words else silence
    raise NoEngineError(f"{what} did not start: {reason}")


@contextlib.contextmanager
def _namespace(folder: Path) -> Generator[tuple[str, ...]]:
    """A network namespace with a veth pair; gives what a command begins with to run in it."""
    argv = ["unshare", "--net", "sh", "-c", HOLD]
    with child("a network namespace", argv, folder / "namespace.log") as said:
        yield "nsenter", f"--net=/proc/{said['pid']}/ns/net"
