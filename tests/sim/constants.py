"""`make constants`: what each constant of congestion control and loss detection does.

Finds the constants in C, builds the simulator with each at 50 % and at 150 %, measures the brief
figures, and writes the table of docs/congestion.md anew. Where each constant comes from is written
there by hand, and kept. `python -m tests.sim.constants [--only WORD] [--jobs N]`.
"""

import argparse
import ast
import json
import operator
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from rich.console import Console
from rich.progress import Progress

from tests.sim.brief import BRIEFS
from tests.sim.variants import CSRC, ROOT, Mutation, Toolchain
from tests.tidy import c_code

Readings: TypeAlias = dict[str, float | None]

PAGE: Final = ROOT / "docs/congestion.md"
FILES: Final = (
    "flow/congestion.h", "flow/swift.c", "flow/cubic.c", "flow/fixed.c", "flow/pacer.h",
    "flow/rtt.h", "flow/ledger.h", "flow/flow_config.c", "flow/flow.h", "flow/flow.c",
    "flow/handshake.c", "flow/transmit.c",
)  # fmt: skip
CONSTANTS_ENUM: Final = re.compile(r"(\w+_(constants?|limits?))?")
BEGIN, END = "<!-- make constants: begin -->", "<!-- make constants: end -->"
ROW: Final = re.compile(r"^\| `(\w+)` \|([^|]*)\|([^|]*)\|([^|]*)\|$", re.MULTILINE)
GIVEN: Final = "given: "  # an origin that begins so leaves nothing to choose
RUN_TIMEOUT_S: Final = 600.0
FLAGS: Final = ("-O2",)
_OPERATORS: Final[dict[type, Callable[[int, int], int]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv, ast.LShift: operator.lshift, ast.BitOr: operator.or_,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant in C; `text` is its definition with a character before and one behind it."""

    file: str
    name: str
    value: int
    text: str

    def mutations(self) -> list[Mutation]:
        """It at 50 % and at 150 %; a fraction goes away from the value."""
        values = (self.value // 2, -(-3 * self.value // 2))
        return [self._mutation(value) for value in values]

    @property
    def shown(self) -> str:
        """Its value as it stands on the page."""
        return f"{self.value:,}"

    def _mutation(self, value: int) -> Mutation:
        wrong = f"{self.text[0]}{self.name} = {value}{self.text[-1]}"
        return Mutation(f"{self.name}={value}", self.file, self.text, wrong)


@dataclass(frozen=True, slots=True)
class Row:
    """What the page says of a constant; cells hold no bar."""

    name: str
    value: str
    origin: str
    moves: str


# ---- C ----


def constants() -> list[Constant]:
    """The constants of all files, in their order.

    Errors: ValueError for a value that is no sum, product or shift of numbers and constants.
    """
    known: dict[str, int] = {}
    return [each for file in FILES for each in _constants_of(file, known)]


def _constants_of(file: str, known: dict[str, int]) -> Iterator[Constant]:
    text = (CSRC / file).read_text(encoding="utf-8")
    for found in c_code.enumerators(text):
        if CONSTANTS_ENUM.fullmatch(found.enum):
            value = known[found.name] = evaluated(found.value, known)
            yield Constant(file, found.name, value, text[found.start - 1 : found.end + 1])


def evaluated(expression: str, known: dict[str, int]) -> int:
    """The value of a constant expression."""
    plain = re.sub(r"\b(0[xX][0-9a-fA-F]+|\d+)[uUlL]+\b", r"\1", expression).replace("/", "//")
    return _value(ast.parse(plain.strip(), mode="eval").body, known)


def _value(node: ast.expr, known: dict[str, int]) -> int:
    match node:
        case ast.Constant(value=int(value)):
            return value
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, known), _value(right, known))
        case _:
            raise ValueError(f"cannot tell the value of {ast.unparse(node)}")


# ---- the page ----


def rows() -> dict[str, Row]:
    """The rows of the page by name."""
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition(BEGIN)[2].partition(END)[0]
    return {found[0]: Row(*(cell.strip() for cell in found)) for found in ROW.findall(table)}


def without_origin(found: list[Constant], known: dict[str, Row]) -> list[str]:
    """Names of constants of which the page does not say where they come from."""
    return [each.name for each in found if each.name not in known or not known[each.name].origin]


def write(found: list[Constant], new: dict[str, Row], base: Readings) -> None:
    """Puts the figures as they are, and the rows, into the page."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    lines = ["", "| figure | as it is |", "|---|--:|"]
    lines += [f"| {brief.name} | {brief.shown(base[brief.name])} |" for brief in BRIEFS]
    for file in FILES:
        own = [new[each.name] for each in found if each.file == file]
        if own:
            lines += ["", f"### {file.rpartition('/')[2]}", ""]
            lines += [
                "| constant | value | origin | -50 % / as it is / +50 % |",
                "|---|--:|---|---|",
            ]
            lines += [f"| `{r.name}` | {r.value} | {r.origin} | {r.moves} |" for r in own]
    text = "\n".join([head + BEGIN, *lines, "", END + tail])
    PAGE.write_text(text, encoding="utf-8")


def moves(base: Readings, variants: list[Readings | None]) -> str:
    """The figures that differ, each with half, whole and one and a half of the constant."""
    shown: list[str] = []
    for brief in BRIEFS:
        low, high = (None if one is None else one[brief.name] for one in variants)
        whole = base[brief.name]
        if brief.is_moved(whole, low) or brief.is_moved(whole, high):
            values = " / ".join(brief.shown(value) for value in (low, whole, high))
            shown.append(f"{brief.name}: {values}")
    return "; ".join(shown) or "none"


# ---- the runs ----


def measured(toolchain: Toolchain, mutation: Mutation | None = None) -> Readings | None:
    """The brief figures of a build; None if it ends in an assertion, or not in time."""
    try:
        done = toolchain.library(mutation).run("tests.sim.brief", timeout_s=RUN_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return None
    readings: Readings | None = json.loads(done.stdout) if done.returncode == 0 else None
    return readings


def measure_all(
    chosen: list[Constant], jobs: int, tell: Callable[[Readings, Constant, str], None]
) -> None:
    """Tells the figures as they are, and what each constant moves, as soon as it is known."""
    progress = Progress(console=Console(stderr=True))
    with tempfile.TemporaryDirectory() as folder, progress, ThreadPoolExecutor(jobs) as pool:
        toolchain = Toolchain(Path(folder), flags=FLAGS)
        base = measured(toolchain)
        assert base is not None, "the build as it is breaks"
        task = progress.add_task("constants", total=len(chosen))
        pairs = [
            [pool.submit(measured, toolchain, each) for each in every.mutations()]
            for every in chosen
        ]
        for constant, pair in zip(chosen, pairs, strict=True):
            tell(base, constant, moves(base, [each.result() for each in pair]))
            progress.advance(task)


def main() -> int:
    """Measures and writes; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="WORD", help="in the name or the file")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="builds at a time")
    arguments = parser.parse_args()
    found, page = constants(), rows()
    homeless = without_origin(found, page)
    if homeless:
        print("docs/congestion.md has no row that says where these come from:")
        print("\n".join(f"| `{name}` | | its origin | |" for name in homeless))
        return 1
    os.nice(10)
    given = [each for each in found if not each.value or page[each.name].origin.startswith(GIVEN)]
    for each in given:
        page[each.name] = Row(each.name, each.shown, page[each.name].origin, "")
    chosen = [
        each for each in found if each not in given and arguments.only in f"{each.file} {each.name}"
    ]

    def tell(base: Readings, constant: Constant, moved: str) -> None:
        origin = page[constant.name].origin
        page[constant.name] = Row(constant.name, constant.shown, origin, moved)
        write(found, page, base)

    measure_all(chosen, arguments.jobs, tell)
    return 0


if __name__ == "__main__":
    sys.exit(main())
