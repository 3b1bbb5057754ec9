"""Which lines and branches of the flow core the tests reach: `make coverage`, or the test of it.

The unit tests of flow/ run from a build with counters, and some networks of the swarm from a second
one; gcov reads both, and what one of them reached counts. Lines that te_check guards our own
promises with have a branch that no test can take: branches of such lines are left out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.c_builds import COVERED, ROOT, run_program
from tests.sim.variants import Toolchain, swarm_with

CORE = ROOT / "transport_engine/csrc/flow"
UNIT_TESTS = ROOT / "tests/transport_engine/csrc/flow"
FLAGS = ("-O0", "--coverage")
PROMISE = "te_check("
SEEDS = range(20)
LINES_MIN = 1.0
BRANCHES_MIN = 0.98
TIMEOUT_S = 300.0


@dataclass(slots=True)
class Coverage:
    """How often each line of a file ran, and which way each of its branches went."""

    lines: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    branches: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))

    def missed_lines(self) -> list[int]:
        """Lines that never ran."""
        return sorted(line for line, count in self.lines.items() if count == 0)

    def missed_branches(self) -> list[int]:
        """Lines with a way that was never gone; one entry for each such way."""
        return sorted(line for (line, _), count in self.branches.items() if count == 0)


@dataclass(frozen=True, slots=True)
class Report:
    """The coverage of each file of the flow core, by name."""

    files: dict[str, Coverage]

    def line_share(self) -> float:
        """The share of all lines that ran."""
        return _share([count for file in self.files.values() for count in file.lines.values()])

    def branch_share(self) -> float:
        """The share of all branches that were taken."""
        return _share([count for file in self.files.values() for count in file.branches.values()])

    def __str__(self) -> str:
        rows = [f"lines {self.line_share():.2%}, branches {self.branch_share():.2%}"]
        for name, file in sorted(self.files.items()):
            for what, missed in (
                ("lines", file.missed_lines()),
                ("branches", file.missed_branches()),
            ):
                if missed:
                    rows.append(f"{name:16} {what} missed: {', '.join(map(str, missed))}")
        return "\n".join(rows)


def measure(seeds: range = SEEDS) -> Report:
    """Runs the tests and reads their counters.

    Errors: AssertionError if a test fails.
    """
    files: dict[str, Coverage] = defaultdict(Coverage)
    for counters in COVERED.folder.rglob("*.gcda"):
        counters.unlink()  # of an earlier run, and perhaps of earlier source
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as beside:
        swarm = beside.submit(_run_swarm, Path(folder), seeds)
        for test in sorted(UNIT_TESTS.glob("test_*.c")):
            program = COVERED.program(f"tests/transport_engine/csrc/flow_{test.stem}")
            done = run_program([str(program)], TIMEOUT_S)
            assert done.returncode == 0, done.stdout
        _read(COVERED.folder, files)
        swarm.result()
        _read(Path(folder), files)
    return Report(dict(files))


def _run_swarm(folder: Path, seeds: range) -> None:
    library = Toolchain(folder, "gcc", FLAGS).library()
    failed = [answer for answer in swarm_with(library, seeds) if answer["verdict"] != "pass"]
    assert not failed, failed


def _read(folder: Path, files: dict[str, Coverage]) -> None:
    """Adds up the counters in a folder."""
    for line in _gcov(folder):
        path = (folder / line["path"]).resolve()
        if path.parent != CORE:
            continue
        text = path.read_text(encoding="utf-8").splitlines()[line["line_number"] - 1]
        file = files[path.name]
        file.lines[line["line_number"]] += line["count"]
        if PROMISE not in text:
            for index, branch in enumerate(line["branches"]):
                file.branches[line["line_number"], index] += branch["count"]


def _gcov(folder: Path) -> Iterator[dict[str, Any]]:
    """Every line that gcov knows, with the path of its file as the compiler was given it."""
    counters = [str(path.resolve()) for path in folder.rglob("*.gcda")]
    argv = ["gcov", "--json-format", "--stdout", "--branch-probabilities", *counters]
    done = subprocess.run(argv, check=True, capture_output=True, cwd=folder, text=True)
    for document in done.stdout.splitlines():
        for file in json.loads(document)["files"]:
            for line in file["lines"]:
                yield {**line, "path": file["file"]}


def _share(counts: list[int]) -> float:
    return sum(count > 0 for count in counts) / max(1, len(counts))


def main() -> int:
    """Prints what is missing; 1 if it is too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="of the swarm")
    report = measure(range(parser.parse_args().seeds))
    print(report)
    is_enough = report.line_share() >= LINES_MIN and report.branch_share() >= BRANCHES_MIN
    return 0 if is_enough else 1


if __name__ == "__main__":
    sys.exit(main())
