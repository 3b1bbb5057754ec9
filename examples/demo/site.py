"""Brings the demo's site up: two engines, two services, and proof that calls get through.

Tries the wires from the best down; what fails is stopped, and its reason kept.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from examples.demo.hosts import VETH, WIRES, Host, Wire
from examples.demo.processes import Child, ChildError, Children
from examples.kvstore.contract import KeyValue
from machnet_rpc import RpcError, connect
from transport_engine.doctor import Rung, rungs
from transport_engine.errors import TransportError
from transport_engine.hugepages import hugepages
from transport_engine.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path

START_SECONDS = 30.0
PROBE_SECONDS = 10.0
STORE_PORT = 7100
GATEWAY_PORT = 7200
HOLD = (
    f"ip link add {VETH[0]} type veth peer name {VETH[1]} && "
    f"ip link set {VETH[0]} up && ip link set {VETH[1]} up && "
    "echo '{}' && exec sleep infinity"
)


class NoWireError(Exception):
    """No wire works; says why not, for each."""


@dataclass(frozen=True, slots=True)
class Site:
    """What runs, and over which wire; `reasons`: why no better one."""

    wire: Wire
    why: str
    reasons: list[str]
    store: Child
    gateway: Child
    engines: dict[str, Child]


def bring_up(stack: ExitStack, directory: Path, only: str | None = None) -> Site:
    """The site over the fastest wire that works, or `only` that; leaving `stack` takes it down.

    Errors: NoWireError.
    """
    reasons: list[str] = []
    for rung in rungs(Machine.here()):
        if rung.name not in WIRES or only not in (None, rung.name):
            continue
        if not rung.possible:
            reasons.append(f"not {rung.name}: {rung.why}")
            continue
        with ExitStack() as attempt:
            try:
                site = _bring_up(attempt, directory, rung, reasons)
            except (ChildError, TransportError, RpcError) as error:
                reasons.append(f"not {rung.name}: {error}")
                continue
            stack.push(attempt.pop_all())
            return site
    raise NoWireError("\n".join(reasons))


def _bring_up(stack: ExitStack, directory: Path, rung: Rung, reasons: list[str]) -> Site:
    wire = WIRES[rung.name](directory)
    if wire.huge_mib:
        stack.enter_context(hugepages(wire.huge_mib))
    children = stack.enter_context(Children(directory))
    prefix = _enter_namespace(children) if rung.name == "af_packet" else []
    engines = {
        f"{host.name}' engine": _start_engine(children, directory, host, prefix)
        for host in (wire.servers, wire.clients)
    }
    store = _start_service(children, wire, "store", "examples.kvstore", STORE_PORT)
    gateway = _start_service(children, wire, "gateway", "examples.trading", GATEWAY_PORT)
    asyncio.run(_probe(wire))
    return Site(wire, rung.why, reasons, store, gateway, engines)


def _enter_namespace(children: Children) -> list[str]:
    """What a command has to begin with to run in a network namespace with a veth pair.

    The namespace has no name, so the kernel removes it, and the pair, with the last process in it.
    """
    holder = children.start("namespace", ["unshare", "--net", "sh", "-c", HOLD])
    holder.said(START_SECONDS)
    return ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]


def _start_engine(children: Children, directory: Path, host: Host, prefix: list[str]) -> Child:
    config = directory / f"{host.name}.toml"
    config.write_text(host.config, encoding="utf-8")
    argv = [sys.executable, "-m", "machnet_rpc.cli", "engine", "--json", "--config", str(config)]
    child = children.start(f"{host.name}-engine", [*prefix, *argv])
    said = child.said(START_SECONDS)
    if "ready" not in said:
        raise ChildError(str(said.get("error", {}).get("message", said)))
    return child


def _start_service(children: Children, wire: Wire, name: str, module: str, port: int) -> Child:
    host = wire.servers
    listen = ["--listen", f"{host.address}:{port}", "--engine", str(host.socket)]
    child = children.start(name, [sys.executable, "-m", module, "serve", *listen])
    child.said(START_SECONDS)
    return child


async def _probe(wire: Wire) -> None:
    """One call from the clients' host to the servers'."""
    address = f"{wire.servers.address}:{STORE_PORT}"
    async with connect(address, via=wire.clients.socket) as client:
        await client.stub(KeyValue).scan.using(timeout=PROBE_SECONDS)(b"\0", 1)
