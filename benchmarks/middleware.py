"""What middleware adds to a call: `python -m benchmarks.middleware` prints CPU per call.

Both ends are in one process, over a pair of rings, as in the ledger. Rounds of all rows are
interleaved, and of each row the best counts, since others disturb a round, and nothing makes one
faster.
"""

import asyncio
import gc
import time
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.ledger import both
from benchmarks.rungs import Echo
from machnet_rpc.client import Client
from machnet_rpc.middleware import CallInfo, Middleware, Next, Request
from machnet_rpc.telemetry import Telemetry

ROUNDS: Final = 200
CALLERS: Final = 32
CALLS_EACH: Final = 10  # of every caller, in a round
SIZE_BYTES: Final = 1024


async def nothing(_: CallInfo, request: Request, following: Next) -> Any:
    """Hands on."""
    return await following(request)


async def presenting(call: CallInfo, request: Request, following: Next) -> Any:
    """Adds metadata to each request."""
    call.metadata["user"] = "ann"
    return await following(request)


def rows() -> list[tuple[str, Sequence[Middleware], Sequence[Middleware]]]:
    """What stands at the client, and at the server."""
    telemetry = Telemetry()
    return [
        ("none", [], []),
        ("one at the client", [nothing], []),
        ("one at the server", [], [nothing]),
        ("one at each", [nothing], [nothing]),
        ("three at each", [nothing] * 3, [nothing] * 3),
        ("one at the client that adds metadata", [presenting], []),
        ("`Telemetry()` at each, without an SDK", [telemetry], [telemetry]),
    ]


async def round_of(client: Client) -> float:
    """Microseconds of a call."""
    call, payload = client.stub(Echo).echo, bytes(SIZE_BYTES)

    async def caller() -> None:
        for _ in range(CALLS_EACH):
            await call(payload)

    began_ns = time.process_time_ns()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return (time.process_time_ns() - began_ns) / (CALLERS * CALLS_EACH) / 1e3


async def main() -> None:
    """Prints the table."""
    gc.disable()
    found: dict[str, float] = {}
    made = [(name, both(at_client, at_server)) for name, at_client, at_server in rows()]
    for _ in range(ROUNDS):
        for name, (client, *_) in made:
            found[name] = min(found.get(name, float("inf")), await round_of(client))
        gc.collect()
    print(f"| middleware | CPU per call, µs, {CALLERS} in flight | more than none |")
    print("|---|---:|---:|")
    for name, figure in found.items():
        print(f"| {name} | {figure:.1f} | {figure - found['none']:.1f} |")
    for _, (_, *pumps) in made:
        for pump in pumps:
            pump.remove(pump.port)
            await pump.link.close()


if __name__ == "__main__":
    asyncio.run(main())
