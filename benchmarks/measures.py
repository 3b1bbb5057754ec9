"""What can be measured, each by its name: a run of one contender, or of the engines' own load.

A measure gives figures by name, or says why it cannot be had on this machine.
"""

import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace

from benchmarks import hosts
from benchmarks.contenders import CONTENDERS
from benchmarks.distribution import worst_step
from benchmarks.floors import extension
from benchmarks.load import Load
from benchmarks.nearness import line_ns
from benchmarks.runs import ROOT, RunFailedError, Said, Setting, run
from benchmarks.tasks import Task

MSGGEN_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing to measure; names are unique."""

    name: str

    def missing(self) -> str | None:
        """Why it cannot be had here, or None."""
        raise NotImplementedError

    def run(self, loopback: Setting, scale: float) -> Said:
        """One round of it, its times by `scale`. Errors: RunFailedError, OSError."""
        raise NotImplementedError

    @property
    def rounds_max(self) -> int:
        """More rounds than these are not worth their time."""
        return 1 << 30


@dataclass(frozen=True, slots=True)
class Echo(Measure):
    """A contender's client and server on this machine."""

    contender: str
    task: Task

    def missing(self) -> str | None:
        return CONTENDERS[self.contender]().missing()

    def run(self, loopback: Setting, scale: float) -> Said:
        over_tcp = CONTENDERS[self.contender].over_tcp
        said = run(self.contender, scaled(self.task, scale), loopback if over_tcp else None)
        said.figures.update(_growth(self.task.loads, said.figures))
        return said


@dataclass(frozen=True, slots=True)
class Lossy(Measure):
    """A contender across a wire that loses packets."""

    contender: str
    lost: float
    task: Task
    rounds: int = 1 << 30

    @property
    def rounds_max(self) -> int:
        return self.rounds

    def missing(self) -> str | None:
        return hosts.missing("nft") or CONTENDERS[self.contender]().missing()

    def run(self, loopback: Setting, scale: float) -> Said:
        on_raw_packets = self.contender.endswith("af_packet")
        with hosts.lossy_hosts(self.lost, engines_have_addresses=on_raw_packets) as setting:
            return run(self.contender, scaled(self.task, scale), setting)


@dataclass(frozen=True, slots=True)
class TwoCpus(Measure):
    """What two processors do for each other at least, in C and without any of ours."""

    size_bytes: int  # of messages that are copied
    idle_s: float  # before one wakes the other

    def missing(self) -> str | None:
        return None if line_ns() is not None else "no second CPU, or no compiler"

    def run(self, loopback: Setting, scale: float) -> Said:
        cpus = sorted(os.sched_getaffinity(0))
        floors = extension()
        return Said(
            {
                "gb_per_s": floors.copies_gb_per_s(cpus[0], cpus[-1], self.size_bytes),
                "wake_us": floors.wake_ns(cpus[0], cpus[-1], self.idle_s) / 1000,
            }
        )


@dataclass(frozen=True, slots=True)
class MsgGen(Measure):
    """The engines' own load in C, by `mrpc msggen`, with 1 and with 32 under way."""

    netif: str
    options: tuple[str, ...] = ()
    seconds: float = 1.0

    def missing(self) -> str | None:
        known = _msggen("--help")
        if known.returncode != 0:
            return "this build has no `mrpc msggen`"
        lacking = [word for word in (self.netif, *self.options[:1]) if word not in known.stdout]
        if lacking:
            return f"`mrpc msggen` has no {lacking[0]}"
        words = dict(itertools.pairwise(self.options))
        wanted, usable = int(words.get("--queues", 1)), len(os.sched_getaffinity(0))
        return f"{wanted} queues need {wanted} CPUs of {usable}" if wanted > usable else None

    def run(self, loopback: Setting, scale: float) -> Said:
        seconds = f"{self.seconds * scale:g}"
        words = ["--netif", self.netif, "--windows", "1,32", "--seconds", seconds, *self.options]
        done = _msggen("--json", *words)
        if done.returncode != 0:
            raise RunFailedError(f"mrpc msggen: {(done.stderr or done.stdout).strip()[-300:]}")
        return Said(msggen_figures(done.stdout))


def msggen_figures(said: str) -> dict[str, float]:
    """What `mrpc msggen --json` printed, by the names that an echo's figures have."""
    figures: dict[str, float] = {}
    report = json.loads(said)
    for row in report["rows"]:
        key = Load(row["window"], report["size_bytes"]).key
        figures[f"{key}calls_per_s"] = row["rpcs_per_second"]
        for name in ("p50_us", "p99_us", "p999_us"):
            figures[key + name] = row[name]
    return figures


def _msggen(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "machnet_rpc.cli", "msggen", *words]
    return subprocess.run(
        argv, check=False, cwd=ROOT, capture_output=True, text=True, timeout=MSGGEN_TIMEOUT_S
    )


def scaled(task: Task, scale: float) -> Task:
    """The same in less time, or more; silence is what it is."""
    loads = tuple(
        replace(load, seconds=load.seconds * scale, warmup_s=load.warmup_s * scale)
        for load in task.loads
    )
    return replace(task, loads=loads)


def _growth(loads: tuple[Load, ...], figures: dict[str, float]) -> dict[str, float]:
    """How far the rate falls while windows grow, and the bytes per second while sizes do."""
    closed = [load for load in loads if not load.open_share]
    by_window = sorted({load for load in closed if load.size_bytes == 1024}, key=_window)
    by_size = sorted({load for load in closed if load.window == 32}, key=_size)
    grown: dict[str, float] = {}
    if len(by_window) > 2:
        rates = [figures[load.key + "calls_per_s"] for load in by_window]
        grown["windows_kept"] = worst_step(rates)
    if len(by_size) > 2:
        grown["sizes_kept"] = worst_step([figures[load.key + "gb_per_s"] for load in by_size])
    return grown


def _window(load: Load) -> int:
    return load.window


def _size(load: Load) -> int:
    return load.size_bytes
