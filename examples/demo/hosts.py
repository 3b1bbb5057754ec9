"""Two engines on this machine that stand for two hosts, and the wires that can join them.

Knows configuration files and EAL arguments, starts nothing. Names are those of the rungs of
`transport_engine.doctor`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from machnet_rpc.cli.two_hosts import loopback_addresses

CLIENTS_ADDRESS = "10.99.0.1"
SERVERS_ADDRESS = "10.99.0.2"
HUGE_MIB = 512
PLAIN_MIB = 192
VETH = ("mrpc-servers", "mrpc-clients")

DPDK = """\
[engine]
driver = "dpdk"
netif = "{netif}"
address = "{address}"
prefix_bits = 24
security = "none"  # two engines on one machine: nobody else is on this wire

[control]
socket = "{socket}"
"""

UDP = """\
[engine]
driver = "udp"
address = "{address}"

[control]
socket = "{socket}"
"""


@dataclass(frozen=True, slots=True)
class Host:
    """An engine to be started with `config`; programs attach to it at `socket`."""

    name: str
    address: str
    config: str
    socket: Path


@dataclass(frozen=True, slots=True)
class Wire:
    """Two hosts that reach each other; the one with the servers is started first."""

    title: str
    servers: Host
    clients: Host
    huge_mib: int = 0  # of hugepages, for both


def virtio_wire(directory: Path) -> Wire:
    """Rings in shared memory, as between a virtual machine and its host; no NIC needed."""
    path = directory / "vhost.sock"
    servers = f"--vdev=net_vhost0,iface={path}"
    clients = f"--vdev=net_virtio_user0,path={path}"
    return Wire(
        "DPDK, net_vhost and net_virtio_user",
        _dpdk_host(directory, "servers", SERVERS_ADDRESS, servers),
        _dpdk_host(directory, "clients", CLIENTS_ADDRESS, clients),
        HUGE_MIB,
    )


def memif_wire(directory: Path) -> Wire:
    """Other rings in shared memory."""
    path = f"socket={directory / 'memif.sock'},socket-abstract=no"
    return Wire(
        "DPDK, net_memif on both sides",
        _dpdk_host(directory, "servers", SERVERS_ADDRESS, f"--vdev=net_memif0,role=server,{path}"),
        _dpdk_host(directory, "clients", CLIENTS_ADDRESS, f"--vdev=net_memif0,role=client,{path}"),
        HUGE_MIB,
    )


def af_packet_wire(directory: Path) -> Wire:
    """Packet sockets on the two ends of VETH; no hugepages."""
    eal = f"--no-huge --no-shconf -m {PLAIN_MIB} --vdev=net_af_packet0,iface="
    return Wire(
        "DPDK, net_af_packet on a veth pair",
        _dpdk_host(directory, "servers", SERVERS_ADDRESS, eal + VETH[0]),
        _dpdk_host(directory, "clients", CLIENTS_ADDRESS, eal + VETH[1]),
    )


def udp_wire(directory: Path) -> Wire:
    """The kernel's loopback, at addresses that no engine of others has."""
    servers, clients = loopback_addresses(os.getpid())
    return Wire(
        "UDP through the kernel's loopback",
        _udp_host(directory, "servers", servers),
        _udp_host(directory, "clients", clients),
    )


WIRES: dict[str, Callable[[Path], Wire]] = {
    "virtio": virtio_wire,
    "memif": memif_wire,
    "af_packet": af_packet_wire,
    "udp": udp_wire,
}


def _dpdk_host(directory: Path, name: str, address: str, netif: str) -> Host:
    socket = directory / f"{name}.sock"
    return Host(name, address, DPDK.format(netif=netif, address=address, socket=socket), socket)


def _udp_host(directory: Path, name: str, address: str) -> Host:
    socket = directory / f"{name}.sock"
    return Host(name, address, UDP.format(address=address, socket=socket), socket)
