"""A process of one run: `python -m benchmarks.worker JOB`, where JOB is JSON.

The server says `ready` and serves until its stdin ends, so that it cannot outlive its parent. The
client does its task, and says one line of JSON: its figures, and by which way calls travelled.
"""

import _thread
import asyncio
import contextlib
import json
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import tasks
from benchmarks.contender import BlockingContender, Contender, Place
from benchmarks.contenders import CONTENDERS
from benchmarks.load import Load
from benchmarks.processes import pin
from benchmarks.tasks import Task


@dataclass(frozen=True, slots=True)
class Job:
    """Who plays which role where."""

    role: str
    contender: str
    place: Place
    task: Task

    def packed(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def unpacked(cls, text: str) -> "Job":
        """From JSON."""
        said: dict[str, Any] = json.loads(text)
        place, task = said["place"], said["task"]
        place["folder"], place["pids"] = Path(place["folder"]), tuple(place["pids"])
        task["loads"] = tuple(Load(**load) for load in task["loads"])
        return cls(said["role"], said["contender"], Place(**place), Task(**task))


def say(line: str) -> None:
    """To the parent."""
    print(line, flush=True)


def ready() -> None:
    """Clients may come."""
    say("ready")


async def serve(contender: Contender, place: Place) -> None:
    """Serves until stdin ends."""
    async with contender.server(place):
        ready()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


def serve_blocking(contender: BlockingContender, place: Place) -> None:
    """Serves until stdin ends, of which a thread of its own tells the first."""

    def watch() -> None:
        sys.stdin.buffer.read()
        _thread.interrupt_main()

    threading.Thread(target=watch, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        contender.serve(place, ready)


async def load(contender: Contender, job: Job) -> dict[str, Any]:
    """Makes the load on a server elsewhere, or on one in this process."""
    async with contextlib.AsyncExitStack() as stack:
        if contender.one_process:
            await stack.enter_async_context(contender.server(job.place))
        return {"figures": await tasks.run(contender, job.place, job.task)}


def main() -> None:
    """Plays the role that the command line names."""
    job = Job.unpacked(sys.argv[1])
    pin(job.role)
    contender = CONTENDERS[job.contender]()
    if isinstance(contender, BlockingContender) and job.role == "client":
        figures = tasks.pipeline(contender, job.place, job.task)
        say(json.dumps({"figures": figures, "travelled": contender.travelled()}))
        return
    if isinstance(contender, BlockingContender) and contender.blocking_server:
        serve_blocking(contender, job.place)
        return
    with asyncio.Runner(loop_factory=contender.loop) as runner:
        if job.role == "server":
            runner.run(serve(contender, job.place))
        else:
            said = runner.run(load(contender, job))
            say(json.dumps(said | {"travelled": contender.travelled()}))


if __name__ == "__main__":
    main()
