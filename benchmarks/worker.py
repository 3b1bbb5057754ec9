"""A process of one run: `python -m benchmarks.worker ROLE CONTENDER PORT FOLDER WINDOW`.

The server says `ready` and serves until its stdin ends, so that it cannot outlive its parent. The
client makes the load. Each ends with a line of JSON: what it measured, and its own CPU time.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import uvloop

from benchmarks.contender import Contender, Place
from benchmarks.contenders import CONTENDERS
from benchmarks.load import Load, drive


async def serve(contender: Contender, place: Place) -> dict[str, float]:
    """Serves until stdin ends."""
    async with contender.server(place):
        start_s = time.process_time()
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
        return {"cpu_s": time.process_time() - start_s}


async def load(contender: Contender, place: Place, window: int) -> dict[str, float]:
    """Makes the load on a server elsewhere, or on one in this process."""
    async with contextlib.AsyncExitStack() as stack:
        if contender.one_process:
            await stack.enter_async_context(contender.server(place))
        call = await stack.enter_async_context(contender.client(place))
        start_s = time.process_time()
        result = await drive(call, Load(window))
        return asdict(result) | {"cpu_s": time.process_time() - start_s}


def main() -> None:
    """Plays the role that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["server", "client"])
    parser.add_argument("contender", choices=sorted(CONTENDERS))
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("window", type=int)
    given = parser.parse_args()
    contender = CONTENDERS[given.contender]()
    place = Place(given.port, given.folder)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if given.role == "server":
            measured = runner.run(serve(contender, place))
        else:
            measured = runner.run(load(contender, place, given.window))
    print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    main()
