"""An application that asks for ports and endpoints which its policy keeps from it.

`python -m tests.e2e.forged --requests 1000000`; each is refused with the name of the rule, and no
packet leaves.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final

from tests.transport_engine.sidecars import RING_BYTES, Sidecar, heard
from transport_engine import messages
from transport_engine.config import parse
from transport_engine.policy import Policy

NETWORK: Final = IPv4Network("198.51.100.0/24")  # TEST-NET-2, RFC 5737
PORTS: Final = range(7400, 7410)
IN_FLIGHT: Final = 32
REFUSAL: Final = {
    "connect": "ForbiddenError",
    "listen": "ForbiddenError",
    "unlisten": "TransportError",  # none of the application's ports
}
QUIET: Final = ("datagrams_sent", "listeners_open", "flows_open", "handshakes_started")


@dataclass(slots=True)
class Figures:
    """What was asked and what came of it."""

    asked: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    stats: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Every request was refused by the right rule, and none came to anything."""
        expected = Counter({(op, REFUSAL[op]): count for op, count in self.asked.items()})
        return self.answers == expected and not any(self.stats[name] for name in QUIET)


def _policy() -> Policy:
    said = {
        "name": "guest",
        "uids": [os.geteuid()],
        "listen": [f"{PORTS.start}-{PORTS.stop - 1}"],
        "reach": [{"network": str(NETWORK), "ports": [f"{PORTS.start}-{PORTS.stop - 1}"]}],
    }
    policy = Policy.of(parse({"tenants": [said]}, "engine.toml"))
    return replace(policy, messages_per_second_max=1_000_000)


def _forged_port(rng: random.Random) -> int:
    while True:
        near = rng.choice((PORTS.start - 1, PORTS.stop, 1, 65535))
        port = rng.choice((near, rng.randrange(1, 65536)))
        if port not in PORTS:
            return port


def _forged_remote(rng: random.Random) -> str:
    """Another network, the right one at another port, or both."""
    inside = NETWORK[rng.randrange(NETWORK.num_addresses)]
    outside = rng.choice((IPv4Address(rng.getrandbits(32)), NETWORK[0] - 1, NETWORK[-1] + 1))
    while outside in NETWORK:
        outside = IPv4Address(rng.getrandbits(32))
    if rng.random() < 0.5:
        return f"{inside}:{_forged_port(rng)}"
    return f"{outside}:{rng.choice(PORTS)}"


def _request(rng: random.Random, number: int) -> messages.Request:
    what = rng.randrange(3)
    if what == 0:
        return messages.Connect(id=number, remote=_forged_remote(rng), token=rng.getrandbits(64))
    if what == 1:
        return messages.Listen(id=number, port=_forged_port(rng))
    return messages.Unlisten(id=number, port=rng.randrange(1, 65536))


async def run(folder: Path, requests: int, seed: int = 1) -> Figures:
    """Asks that often, over one control socket of a sidecar in this process."""
    figures = Figures()
    rng = random.Random(seed)
    sidecar = Sidecar(folder / "engine.sock", _policy())
    connection = sidecar.raw()
    loop = asyncio.get_running_loop()
    started = time.monotonic()
    try:
        attach = messages.pack_request(messages.Attach(id=0, ring_bytes=RING_BYTES))
        await loop.sock_sendall(connection, attach)
        assert "result" in await heard(connection)
        for first in range(1, requests + 1, IN_FLIGHT):
            batch = [_request(rng, i) for i in range(first, min(first + IN_FLIGHT, requests + 1))]
            for request in batch:
                figures.asked[request.op] += 1
                await loop.sock_sendall(connection, messages.pack_request(request))
            for request in batch:
                answer = await heard(connection)
                assert answer["id"] == request.id, answer
                name = answer.get("error", {}).get("name", "granted")
                figures.answers[request.op, name] += 1
        figures.stats = sidecar.engine.stats()
    finally:
        connection.close()
        sidecar.close()
    figures.seconds = time.monotonic() - started
    return figures


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(run(Path(folder), arguments.requests, arguments.seed))
    said = {
        "answers": {f"{op}: {name}": count for (op, name), count in figures.answers.items()},
        "engine": {name: figures.stats[name] for name in QUIET},
        "seconds": round(figures.seconds, 1),
    }
    print(json.dumps(said))
    return 0 if figures.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
