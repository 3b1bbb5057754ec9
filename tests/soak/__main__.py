"""`make soak`: one server, its sidecar and clients of every kind, for as long as you like.

`python -m tests.soak [--minutes N] [--every SECONDS] [--write]`; exit status 1 if an answer is
wrong, a call outlives its deadline, or memory, descriptors or threads of anybody still grow.
"""

import argparse
import itertools
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks import page
from tests.e2e.processes import Fleet, Running
from tests.soak import picture
from tests.soak.watch import Life, medians

VISITS_EVERY: Final = 4  # samples
PATIENCE_SECONDS: Final = 30.0  # beyond the time at which a client is to tell of its calls
NAME: Final = "soak"
# Else glibc keeps ever larger blocks in its heap, which then fills with holes: no leak, but growth.
ALLOCATOR: Final = {"MALLOC_MMAP_THRESHOLD_": "131072"}
COLUMNS: Final = (
    "process", "calls", "p50 µs", "p99 µs", "p99.9 µs", "memory MiB", "descriptors", "threads",
)  # fmt: skip


class Soak:
    """The processes, and what they held."""

    def __init__(self, fleet: Fleet, every_seconds: float) -> None:
        self._fleet, self._every = fleet, every_seconds
        self.lives: list[Life] = []
        self._clients: dict[str, Running] = {}
        engine = fleet.engine("engine", "port = 0")
        self._life("sidecar", fleet.latest)
        server = self._start("server", "--engine", str(engine))
        said = server.line()
        beside = ("--address", said["beside"], "--engine", str(engine))
        inside = ("--address", said["inside"])
        self._life("server", server)
        for name, role, where in (
            ("client, direct", "client", beside),
            ("client, inline", "client", inside),
            ("blocking client, direct", "blocking", beside),
            ("blocking client, inline", "blocking", inside),
        ):
            self._clients[name] = self._start(role, *where, "--every", str(every_seconds))
            self._life(name, self._clients[name])
        self._visited = itertools.cycle([beside, inside])
        self._visitor: Running | None = None
        self._visits = 0
        self.visitors = Life("visitors", pid=0)  # of which no samples are taken

    def _start(self, role: str, *words: str) -> Running:
        return self._fleet.start([sys.executable, "-m", "tests.soak.work", role, *words])

    def _life(self, name: str, running: Running) -> None:
        self.lives.append(Life(name, running.pid))

    def run(self, minutes: float, progress: Progress) -> None:
        """Samples until the time is over, or Ctrl-C."""
        began = time.monotonic()
        task = progress.add_task("soak", total=minutes * 60, calls=0, problems=0)
        for number in itertools.count():
            seconds = time.monotonic() - began
            if seconds >= minutes * 60:
                break
            self._sample(seconds)
            if number % VISITS_EVERY == 0:
                self._visit()
            calls = sum(life.calls for life in self.lives)
            progress.update(task, completed=seconds, calls=calls, problems=len(self.problems()))
        self._leave()

    def _sample(self, seconds: float) -> None:
        """One of each process, once the clients have told of their calls."""
        for life in self.lives:
            told = {}
            if life.name in self._clients:
                told = self._clients[life.name].line(self._every + PATIENCE_SECONDS)
                life.hear(told)
            life.take(seconds, told)

    def _visit(self) -> None:
        """Ends the last visitor, every other one by kill, and lets another come."""
        self._leave()
        self._visitor = self._start("visitor", *next(self._visited))

    def _leave(self) -> None:
        if self._visitor is None:
            return
        self._visits += 1
        if self._visits % 2:
            self._visitor.kill()
        else:
            self.visitors.hear(self._visitor.line(PATIENCE_SECONDS))
            self._visitor.stop()
        self._visitor = None

    def problems(self) -> list[str]:
        """What is not as it should be so far."""
        return [each for life in (*self.lives, self.visitors) for each in life.problems()]

    def table(self) -> list[list[str]]:
        """A row of each process, as it was in the second third and in the last."""
        return [self._row(life) for life in self.lives]

    def _row(self, life: Life) -> list[str]:
        def both(name: str, scale: float = 1.0, form: str = ".0f") -> str:
            before, after = (value / scale for value in medians(life.samples, name))
            return f"{before:{form}} → {after:{form}}"

        figures = ("p50_us", "p99_us", "p999_us")
        is_client = life.name in self._clients
        return [
            life.name,
            f"{life.calls:,}" if is_client else "",
            *(both(name) if is_client else "" for name in figures),
            both(name="resident_kib", scale=1024, form=".1f"),
            both(name="descriptors"),
            both(name="threads"),
        ]


def main() -> int:
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two samples")
    parser.add_argument("--write", action="store_true", help=f"{page.HELP}, with a plot")
    given = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 150)
    columns = ("{task.description}", "{task.fields[calls]:,} calls, {task.fields[problems]} bad")
    os.environ.update(ALLOCATOR)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nobody is left behind
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        Fleet(Path(folder)) as fleet,
        Progress(
            *map(TextColumn, columns),
            BarColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        ) as progress,
    ):
        soak = Soak(fleet, given.every)
        try:
            soak.run(given.minutes, progress)
        except KeyboardInterrupt:
            console.print("ended early")
    minutes = (time.monotonic() - began) / 60
    problems = soak.problems()
    table = page.markdown(COLUMNS, soak.table())
    console.print(table, markup=False)
    for problem in problems:
        console.print(problem, markup=False)
    if given.write:
        heading = (
            f"{page.machine()}. {minutes:.0f} minutes, medians of the second third → the last."
        )
        page.write(NAME, f"{heading}\n\n{table}")
        picture.write(soak.lives)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
