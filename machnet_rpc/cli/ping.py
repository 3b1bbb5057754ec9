"""`mrpc ping`: round trips through the whole stack, and how long they take."""

import argparse
import asyncio
import json
import math
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from machnet_rpc.cli.arguments import Commands, UsageError, add_command, add_target, client_of
from machnet_rpc.cli.latencies import Latencies, bars
from machnet_rpc.cli.watching import Progress
from machnet_rpc.client import Client
from machnet_rpc.errors import RpcError
from machnet_rpc.reflection import ReflectionContract

SIZE_MAX = 16 << 20
INTERVAL_MAX: Final = 1e6
PROGRESS_SECONDS: Final = 0.2

Ping: TypeAlias = Callable[[bytes], Awaitable[object]]

EPILOG: Final = """\
Every server answers: a ping is a call of `mrpc.reflection`, which each has built in, one after the
other. `mrpc bench` measures methods of yours, many at once. Ctrl-C prints what was measured until
then.

try it:
  mrpc ping 127.0.0.1:7000
  mrpc ping 127.0.0.1:7000 --count 100000 --interval 0 --size 1024 --json

exit status: 0 all came back, 1 some did not, 130 interrupted
"""


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "ping", run, "measure round trips to a server")
    parser.epilog = EPILOG
    add_target(parser)
    parser.add_argument("--count", type=int, default=1000, help="of pings (default: %(default)s)")
    parser.add_argument(
        "--interval",
        type=float,
        default=0.001,
        metavar="SECONDS",
        help="between two pings; 0: the next follows at once (default: %(default)s)",
    )
    parser.add_argument(
        "--size", type=int, default=64, metavar="BYTES", help="of payload (default: %(default)s)"
    )


async def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    is_sensible = arguments.count >= 1 and 0 <= arguments.interval < INTERVAL_MAX
    if not is_sensible or not 0 <= arguments.size <= SIZE_MAX:
        raise UsageError(f"--count from 1, --interval from 0, --size from 0 to {SIZE_MAX}")
    async with client_of(arguments) as client:
        ping = client.stub(ReflectionContract).ping
        pings = Pings()
        await ping(bytes(arguments.size))  # opens the flow, and fails if there is no server
        try:
            await _ping(ping, arguments, pings)
        finally:  # also where Ctrl-C ends it
            _tell(arguments, pings, client)
    return 1 if pings.lost else 0


@dataclass(slots=True)
class Pings:
    """What came of those that ended. Units: seconds."""

    samples: list[float] = field(default_factory=list[float])
    lost: int = 0
    failure: RpcError | None = None  # the last


async def _ping(ping: Ping, arguments: argparse.Namespace, pings: Pings) -> None:
    data = bytes(arguments.size)
    progress = Progress()
    shown = -math.inf
    try:
        for number in range(arguments.count):
            started = time.perf_counter()
            if started - shown > PROGRESS_SECONDS:
                progress.show(f"pings: {number:,} of {arguments.count:,}, {pings.lost:,} failed")
                shown = started = time.perf_counter()
            try:
                await ping(data)
                pings.samples.append(time.perf_counter() - started)
            except RpcError as error:
                pings.failure = error
                pings.lost += 1
            if arguments.interval:
                await asyncio.sleep(arguments.interval)
    finally:
        progress.clear()


def _tell(arguments: argparse.Namespace, pings: Pings, client: Client) -> None:
    count, transport = len(pings.samples), str(client.transport)
    if pings.failure is not None:
        ended = count + pings.lost
        print(f"mrpc: {pings.lost} of {ended} failed, the last: {pings.failure}", file=sys.stderr)
    latencies = Latencies(sorted(pings.samples))
    if arguments.json:
        facts = {"count": count, "lost": pings.lost, "transport": transport}
        print(json.dumps(facts | (latencies.summary() if count else {})))
    elif count:
        print(f"{count} pings of {arguments.size} bytes to {client.address} by {transport}")
        print("\n".join(bars(latencies)))
        print("  ".join(f"{name} {value:g} µs" for name, value in latencies.summary().items()))
