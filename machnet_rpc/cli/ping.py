"""`mrpc ping`: round trips through the whole stack, and how long they take."""

import argparse
import asyncio
import json
import sys
import time
from typing import Final

from machnet_rpc.cli.arguments import Commands, UsageError, add_command, add_target, client_of
from machnet_rpc.cli.histogram import Latencies, bars
from machnet_rpc.errors import RpcError
from machnet_rpc.reflection import ReflectionContract

SIZE_MAX = 16 << 20
INTERVAL_MAX: Final = 1e6


EPILOG: Final = """\
Every server answers: a ping is a call of `mrpc.reflection`, which each has built in, one after the
other. `mrpc bench` measures methods of yours, many at once.

try it:
  mrpc ping 127.0.0.1:7000
  mrpc ping 127.0.0.1:7000 --count 100000 --interval 0 --size 1024 --json

exit status: 0 all came back, 1 some did not
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
        data = bytes(arguments.size)
        await ping(data)  # opens the flow, and fails if there is no server
        samples: list[float] = []
        failure: RpcError | None = None
        for _ in range(arguments.count):
            started = time.perf_counter()
            try:
                await ping(data)
                samples.append(time.perf_counter() - started)
            except RpcError as error:
                failure = error
            if arguments.interval:
                await asyncio.sleep(arguments.interval)
        transport = str(client.transport)
    lost = arguments.count - len(samples)
    if failure is not None:
        print(f"mrpc: {lost} of {arguments.count} failed, the last: {failure}", file=sys.stderr)
    latencies = Latencies(sorted(samples))
    if arguments.json:
        facts = {"count": len(samples), "lost": lost, "transport": transport}
        print(json.dumps(facts | (latencies.summary() if samples else {})))
    elif samples:
        print(f"{len(samples)} pings of {arguments.size} bytes to {client.address} by {transport}")
        print("\n".join(bars(latencies)))
        print("  ".join(f"{name} {value:g} µs" for name, value in latencies.summary().items()))
    return 1 if lost else 0
