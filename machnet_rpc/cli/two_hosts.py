"""Two engines in processes of their own that stand for two hosts, and what joins them.

Everything that it makes (configuration files, hugepages, a network namespace, processes) goes when
it is left. Knows EAL arguments and `mrpc engine`; not what the applications do.
"""

import contextlib
import json
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from transport_engine.doctor import Machine, rungs
from transport_engine.errors import NoEngineError
from transport_engine.hugepages import hugepages

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
HUGE_MIB: Final = 512  # for both
PLAIN_MIB: Final = 192  # each, where there are no hugepages
SERVER_ADDRESS: Final = "10.99.0.2"
CLIENT_ADDRESS: Final = "10.99.0.1"
VETH: Final = ("msggen-server", "msggen-client")
# A namespace without a name goes with its last process, and this one ends when its input does.
HOLD: Final = (
    f"ip link add {VETH[0]} type veth peer name {VETH[1]} && ip link set {VETH[0]} up && "
    f"ip link set {VETH[1]} up && "
    """echo "{\\"pid\\": $$}" && exec cat"""
)


@dataclass(frozen=True, slots=True)
class TwoHosts:
    """Sockets of two running engines, and where the server's is reached."""

    server: Path
    client: Path
    address: str  # of the server's host


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


def memif(folder: Path) -> Wire:
    """Rings in shared memory."""
    path = f"socket={folder / 'memif.sock'},socket-abstract=no"
    server, client = (
        _dpdk(f"--vdev=net_memif0,role={role},{path}") for role in ("server", "client")
    )
    return Wire("DPDK, net_memif", server, client, HUGE_MIB)


def virtio(folder: Path) -> Wire:
    """Rings in shared memory, as between a virtual machine and its host."""
    path = folder / "vhost.sock"
    server = _dpdk(f"--vdev=net_vhost0,iface={path}")
    client = _dpdk(f"--vdev=net_virtio_user0,path={path}")
    return Wire("DPDK, net_vhost and net_virtio_user", server, client, HUGE_MIB)


def af_packet(_: Path) -> Wire:
    """Packet sockets of the kernel on the ends of a veth pair."""
    eal = f"--no-huge --no-shconf -m {PLAIN_MIB} --vdev=net_af_packet0,iface="
    server, client = (_dpdk(eal + name) for name in VETH)
    return Wire("DPDK, net_af_packet over veth", server, client, is_namespaced=True)


def udp(_: Path) -> Wire:
    """Sockets of the kernel."""
    return Wire(
        "udp through the kernel's loopback", 'driver = "udp"\n', 'driver = "udp"\n', is_udp=True
    )


WIRES: Final[dict[str, Callable[[Path], Wire]]] = {
    "memif": memif,
    "virtio": virtio,
    "af_packet": af_packet,
    "udp": udp,
}


@contextlib.contextmanager
def two_hosts(netif: str) -> Generator[tuple[TwoHosts, Wire]]:
    """Runs two engines, joined by one of WIRES.

    Errors: NoEngineError with what this machine lacks, or what an engine said; NoRoomError.
    """
    rung = next(rung for rung in rungs(Machine.here()) if rung.name == netif)
    if not rung.possible:
        raise NoEngineError(f"--netif {netif} is not possible here: {rung.why}")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mrpc-msggen-")))
        wire = WIRES[netif](folder)
        if wire.huge_mib:
            stack.enter_context(hugepages(wire.huge_mib))
        prefix = stack.enter_context(_namespace(folder)) if wire.is_namespaced else []
        ends = {"server": (wire.server, SERVER_ADDRESS), "client": (wire.client, CLIENT_ADDRESS)}
        if wire.is_udp:
            ends = {"server": (wire.server, "127.0.0.2"), "client": (wire.client, "127.0.0.1")}
        for name, (lines, address) in ends.items():
            config = folder / f"{name}.toml"
            control = f'[control]\nsocket = "{folder / name}.sock"\n'
            config.write_text(
                f'[engine]\naddress = "{address}"\n{lines}{control}', encoding="utf-8"
            )
            argv = [*prefix, *mrpc("engine", "--json", "--config", str(config))]
            stack.enter_context(child(f"the {name}'s engine", argv, folder / f"{name}.log"))
        sockets = (folder / "server.sock", folder / "client.sock")
        yield TwoHosts(*sockets, ends["server"][1]), wire


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
    reason = words[-1] if words else f"it said nothing in {START_SECONDS:g} s"
    raise NoEngineError(f"{what} did not start: {reason}")


@contextlib.contextmanager
def _namespace(folder: Path) -> Generator[list[str]]:
    """A network namespace with a veth pair; gives what a command begins with to run in it."""
    argv = ["unshare", "--net", "sh", "-c", HOLD]
    with child("a network namespace", argv, folder / "namespace.log") as said:
        yield ["nsenter", f"--net=/proc/{said['pid']}/ns/net"]
