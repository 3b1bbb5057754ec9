"""Interleaved rounds: every measure once in each, so that a slow phase of the machine meets all.

Keeps what came of them, also if it is interrupted.
"""

import hashlib
import itertools
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.bars import Rounds
from benchmarks.measures import Measure
from benchmarks.nearness import line_ns
from benchmarks.runs import ROOT, RunFailedError, Said, Setting

FAILURES = (RunFailedError, OSError, AssertionError, ValueError, subprocess.SubprocessError)
KEPT = ROOT / "build/bench/results.json"
PIECE = bytes(1 << 18)
Report = Callable[[str, int, int], None]
"""Told what is being measured, how many runs are done, and of how many."""


@dataclass(slots=True)
class Results:
    """By the name of the measure."""

    rounds: dict[str, list[Said | None]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    pieces_s: list[float] = field(default_factory=list)  # a fixed piece of work, each time
    rounds_planned: int = 0
    congestion: str = ""  # what TCP ran on, on this machine's own loopback
    was_interrupted: bool = False

    def save(self, path: Path = KEPT) -> None:
        """For `load`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path = KEPT) -> "Results":
        """What was saved last. Errors: OSError: nothing was."""
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        rounds = {
            name: [said and Said(**said) for said in column]
            for name, column in kept.pop("rounds").items()
        }
        return cls(rounds, **kept)

    @property
    def by_measure(self) -> Mapping[str, Rounds]:
        """Of all that was measured."""
        return self.rounds

    @property
    def slowness(self) -> float:
        """How much longer than at best a fixed piece of work took, nine times in ten."""
        ordered = sorted(self.pieces_s)
        return ordered[int(0.9 * (len(ordered) - 1))] / ordered[0] if ordered else 1.0

    @property
    def lines_ns(self) -> list[float]:
        """What a line took between the processors, in the order of time within each measure."""
        runs = [said for rounds in self.rounds.values() for said in rounds if said is not None]
        return [each for said in runs for each in said.lines_ns]


def plan(measures: Sequence[Measure], rounds: int) -> list[tuple[int, Measure]]:
    """Rounds from 0, each with those measures that still want one."""
    return [
        (number, measure)
        for number, measure in itertools.product(range(rounds), measures)
        if number < measure.rounds_max
    ]


def run_all(
    measures: Sequence[Measure], rounds: int, loopback: Setting, scale: float, report: Report
) -> Results:
    """Everything, or what there is when KeyboardInterrupt comes."""
    results = Results(rounds_planned=rounds)
    present: list[Measure] = []
    for measure in measures:
        why = measure.missing()
        if why is None:
            present.append(measure)
        else:
            results.missing[measure.name] = why
    steps = plan(present, rounds)
    try:
        for done, (number, measure) in enumerate(steps):
            report(f"round {number + 1}/{rounds}  {measure.name}", done, len(steps))
            results.pieces_s.append(_piece())
            before_ns = line_ns()
            said = _run(measure, loopback, scale, results)
            after_ns = line_ns()
            if said is not None:
                said.lines_ns.extend(each for each in (before_ns, after_ns) if each is not None)
            results.rounds.setdefault(measure.name, []).append(said)
        report("done", len(steps), len(steps))
    except KeyboardInterrupt:
        results.was_interrupted = True
    return results


def _run(measure: Measure, loopback: Setting, scale: float, results: Results) -> Said | None:
    try:
        return measure.run(loopback, scale)
    except FAILURES as error:
        results.failures.append(f"{measure.name}: {error}")
        results.missing[measure.name] = f"a run failed: {error}"
        return None


def _piece() -> float:
    begin_s = perf_counter()
    for _ in range(4):
        hashlib.sha256(PIECE)
    return perf_counter() - begin_s
