"""A service for the end-to-end tests, and a load that checks every byte of every answer.

`python -m tests.e2e.echo CALLS WINDOW ADDR [--engine SOCKET]` prints one JSON object.
"""

import argparse
import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import machnet_rpc
from machnet_rpc import rpc, service

SIZES = (0, 1, 64, 1024, 1024, 1024, 5000)
TIMEOUT_SECONDS = 20.0


@service("e2e.Echo", version=1)
class Echo:
    """Gives back what it gets, and says how often it was asked."""

    @rpc(timeout=TIMEOUT_SECONDS)
    async def echo(self, data: bytes) -> bytes:
        """The same bytes."""
        raise NotImplementedError

    @rpc
    async def count(self) -> int:
        """How many echoes were served."""
        raise NotImplementedError

    @rpc
    async def sleep(self, seconds: float) -> None:
        """Answers after a while."""
        raise NotImplementedError


class EchoServer(Echo):
    """The implementation; `mrpc serve tests.e2e.echo:EchoServer`."""

    def __init__(self) -> None:
        self._served = 0

    @rpc
    async def echo(self, data: bytes) -> bytes:
        self._served += 1
        return data

    @rpc
    async def count(self) -> int:
        return self._served

    @rpc
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def content(number: int) -> bytes:
    """What call `number` sends: of its own length, and unlike that of any other."""
    size = SIZES[number % len(SIZES)]
    return random.Random(number).randbytes(size) if size else b""


async def run_load(address: str, calls: int, window: int, engine: Path | None) -> dict[str, Any]:
    """`calls` echoes, `window` at a time; wrong answers are counted, errors raised."""
    numbers = iter(range(calls))
    wrong = 0
    async with machnet_rpc.connect(address, via=engine) as client:
        echo = client.stub(Echo).echo

        async def worker() -> None:
            nonlocal wrong
            for number in numbers:
                data = content(number)
                wrong += await echo(data) != data

        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(window):
                group.create_task(worker())
        seconds = time.monotonic() - started
        served = await client.stub(Echo).count()
        transport = str(client.transport)
    return {
        "calls": calls,
        "wrong": wrong,
        "served": served,
        "seconds": seconds,
        "transport": transport,
    }


def main() -> None:
    """Runs the load that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calls", type=int)
    parser.add_argument("window", type=int)
    parser.add_argument("address")
    parser.add_argument("--engine", type=Path)
    arguments = parser.parse_args()
    result = asyncio.run(
        run_load(arguments.address, arguments.calls, arguments.window, arguments.engine)
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
