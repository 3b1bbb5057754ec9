"""Two hosts with a third between them that loses, doubles and damages what passes: `nft` rules.

The host in the middle has no address. Its rules stand where packets arrive from either side (the
netdev family's ingress hook) and send on what is left; its counters say what they did. ARP passes
unharmed.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.processes import Fleet, ip
from transport_engine import read_stats
from transport_engine.hugepages import hugepages

WINDOW = 64
HUGE_MIB = 256
PPM = 1_000_000
COMMAND_SECONDS = 10.0
# Bytes behind the UDP header where a bit is flipped: the version, both ids, the packet number, the
# first frame's type, what it says of its message, and its content.
DAMAGED_BYTES = (0, 5, 13, 21, 28, 34, 49, 110, 230)
UDP_HEADER_BYTES = 8
CLIENTS = {
    "udp": 'driver = "udp"',
    "af_packet": 'driver = "dpdk"\nprefix_bits = 24\n'
    'netif = "--no-huge -m 256 --no-pci --vdev=net_af_packet0,iface=mrpc0"',
    "af_xdp": 'driver = "dpdk"\nprefix_bits = 24\n'
    'netif = "--in-memory --single-file-segments --no-pci --vdev=net_af_xdp0,iface=mrpc0"',
}
LEFT, RIGHT = "10.77.0.1", "10.77.0.2"


@dataclass(frozen=True, slots=True)
class Rates:
    """Of the packets in each direction, shares from 0 to 1."""

    lost: float = 0.01
    doubled: float = 0.01
    damaged: float = 0.01


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the calls of one run, and what the wire did to their packets."""

    calls: int
    wrong: int  # answers that are not what was sent
    served: int  # requests that the server saw; more than `calls`: some came twice
    seconds: float
    transport: str
    seen: int  # packets that came to the middle, in both directions
    lost: int
    doubled: int
    damaged: int
    refused: int  # that reached an engine, and failed its check

    @property
    def violations(self) -> int:
        """Calls that were not answered once, with the right bytes; one that fails is an error."""
        return self.wrong + abs(self.served - self.calls)


def rules(rates: Rates) -> str:
    """What `nft -f` reads in the middle."""
    ours = "meta protocol ip ip protocol { tcp, udp }"
    damaged_ppm = round(rates.damaged * PPM / len(DAMAGED_BYTES))
    places = [(UDP_HEADER_BYTES + at) * 8 for at in DAMAGED_BYTES]
    lines = [f"counter {name} {{}}" for name in ("seen", "lost", "doubled", "damaged")]
    for here, there in (("left", "right"), ("right", "left")):
        lines += [
            f"chain from_{here} {{",
            f'type filter hook ingress device "{here}" priority 0; policy drop;',
            f"{ours} counter name seen",
            *_fault(ours, rates.lost * PPM, "counter name lost drop"),
            *(
                rule
                for at in places
                for rule in _fault(
                    ours, damaged_ppm, f"@th,{at},8 set @th,{at},8 ^ 0x10 counter name damaged"
                )
            ),
            *_fault(ours, rates.doubled * PPM, f'counter name doubled dup to "{there}"'),
            f'fwd to "{there}"',
            "}",
        ]
    return "\n".join(["table netdev wire {", *lines, "}\n"])


def _fault(packets: str, ppm: float, fault: str) -> list[str]:
    """A rule that meets some of the packets; none if it never would."""
    chance = f"numgen random mod {PPM} < {round(ppm)}"
    return [f"{packets} {chance} {fault}"] if round(ppm) > 0 else []


@dataclass(frozen=True, slots=True)
class Wire:
    """The three namespaces."""

    left: str
    middle: str
    right: str

    def counts(self) -> dict[str, int]:
        """Packets by the name of their counter."""
        said = json.loads(_nft(self.middle, "-j", "list", "counters"))["nftables"]
        counters = [item["counter"] for item in said if "counter" in item]
        return {counter["name"]: counter["packets"] for counter in counters}


def _nft(netns: str, *words: str, text: str = "") -> str:
    done = subprocess.run(
        ["ip", "netns", "exec", netns, "nft", *words],
        check=False,
        input=text,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def faulty_wire(
    rates: Rates, *, kernel_has_left: bool, kernel_has_right: bool = True
) -> Generator[Wire]:
    """Makes the hosts and the wire, and removes them.

    LEFT and RIGHT are the kernel's, or an engine's own.
    """
    wire = Wire(*(f"mrpc-{place}-{os.getpid()}" for place in ("l", "m", "r")))
    made: list[str] = []
    try:
        for name in (wire.left, wire.middle, wire.right):
            ip("netns", "add", name)
            made.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        for host, end in ((wire.left, "left"), (wire.right, "right")):
            ip("link", "add", "mrpc0", "netns", host, "type", "veth", "peer", end, "netns",
               wire.middle)  # fmt: skip
            ip("-n", host, "link", "set", "mrpc0", "up")
            ip("-n", wire.middle, "link", "set", end, "up")
        if kernel_has_left:
            ip("-n", wire.left, "address", "add", f"{LEFT}/24", "dev", "mrpc0")
        if kernel_has_right:
            ip("-n", wire.right, "address", "add", f"{RIGHT}/24", "dev", "mrpc0")
        _nft(wire.middle, "-f", "-", text=rules(rates))
        yield wire
    finally:
        for name in made:
            ip("netns", "delete", name)


def run(client: str, calls: int, rates: Rates, folder: Path, timeout: float) -> Outcome:
    """Calls from an engine on one of CLIENTS, to one on kernel UDP, across the wire."""
    secure = 'security = "none"'
    with (
        hugepages(HUGE_MIB) if client == "af_xdp" else nullcontext(),
        faulty_wire(rates, kernel_has_left=client == "udp") as wire,
        Fleet(folder) as fleet,
    ):
        ours = fleet.engine("left", f'{CLIENTS[client]}\naddress = "{LEFT}"\n{secure}', wire.left)
        theirs = fleet.engine("right", f'driver = "udp"\naddress = "{RIGHT}"\n{secure}', wire.right)
        address = fleet.serve(f"{RIGHT}:7000", theirs, wire.right)
        said = fleet.load(calls, WINDOW, address, ours, wire.left, timeout)
        counts = wire.counts()
        refused = sum(asyncio.run(_refused(engine)) for engine in (ours, theirs))
    measured: dict[str, Any] = said | counts | {"refused": refused}
    return Outcome(**measured)


async def _refused(engine: Path) -> int:
    return (await read_stats(engine))["datagrams_dropped_bad"]
