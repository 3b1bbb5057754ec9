"""The doorbell's order of steps, checked by spin over every interleaving with store buffers.

csrc/shm/doorbell.pml is the model: two ends of a ring that sleep whenever they can. As the code
has it, no wake-up is lost, nothing spins, and one sleep costs one byte; with any step left out or
moved, spin finds the run that shows what the step is for. The model cites the lines of C that it
stands for, and the two are held against each other here.
"""

import re
import shutil
import subprocess
from itertools import groupby
from pathlib import Path

import pytest

from tests.tidy import c_code
from tests.tidy.tree import ROOT

MODEL = Path(__file__).parent / "csrc/shm/doorbell.pml"
SOURCES = [ROOT / "transport_engine/csrc/shm" / name for name in ("doorbell.c", "end.c", "ring.c")]
STATES_MIN = 100_000  # it did look
DEPTH_MAX = 100_000
TIMEOUT_S = 120.0

# What spin says of a model that leaves out, or moves, one step.
LOST = "invalid end state"
TOO_MANY_WAKES = "assertion violated"
NEVER_ENDS = "non-progress cycle"
BROKEN = {
    "BROKEN_NO_FENCE_BEFORE_LOOK": LOST,
    "BROKEN_NO_FENCE_AFTER_ARM": LOST,
    "BROKEN_LOOK_BEFORE_ARM": LOST,
    "BROKEN_RINGS_BEFORE_PUBLISHING": LOST,
    "BROKEN_CLEARED_AFTER_SEND": LOST,
    "BROKEN_RINGS_ONLY_AT_THE_EDGE": LOST,
    "BROKEN_STAYS_ARMED": TOO_MANY_WAKES,
    "BROKEN_NEVER_SLEEPS": NEVER_ENDS,
}

CITATION = re.compile(
    r"^inline (\w+)|^active proctype (\w+)|/\* @(\w+): (.*?) \*/", re.MULTILINE | re.DOTALL
)
# What touches what the two ends share; all of it must be in the model.
SHARED_ACCESS = re.compile(
    r"\b(?:atomic_\w+_explicit|atomic_thread_fence|send|recv)\(.*?\)(?=[^)])"
)


def run_spin(folder: Path, macro: str, *, cycles: bool = False) -> str:
    """Spin's verdict on the model under a macro; `cycles`: looks for runs without an end."""
    if shutil.which("spin") is None:
        pytest.skip("spin is not installed")
    goal = "-DNP" if cycles else "-DSAFETY"
    steps = [
        ["spin", f"-D{macro}", "-a", str(MODEL)],
        ["gcc", "-O1", "-w", goal, "-o", "pan", "pan.c"],
        ["./pan", f"-m{DEPTH_MAX}", *(["-l"] if cycles else [])],
    ]
    output = ""
    for argv in steps:
        done = subprocess.run(
            argv,
            check=False,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
        )
        output = done.stdout
        assert done.returncode == 0, output
    assert "max search depth too small" not in output
    return output


def states(verdict: str) -> int:
    found = re.search(r"(\d+) states, stored", verdict)
    assert found is not None, verdict
    return int(found.group(1))


@pytest.mark.parametrize("cycles", [False, True], ids=["safety", "progress"])
def test_no_wake_up_is_lost_and_every_run_ends(tmp_path: Path, cycles: bool) -> None:
    verdict = run_spin(tmp_path, "AS_IT_IS", cycles=cycles)
    assert "errors: 0" in verdict, verdict
    assert states(verdict) > STATES_MIN


@pytest.mark.parametrize("macro", BROKEN)
def test_the_model_finds_what_each_step_is_for(tmp_path: Path, macro: str) -> None:
    verdict = run_spin(tmp_path, macro, cycles=BROKEN[macro] == NEVER_ENDS)
    assert "errors: 1" in verdict, verdict
    assert BROKEN[macro] in verdict


def test_a_side_that_stays_armed_costs_wakes_and_loses_none(tmp_path: Path) -> None:
    assert "errors: 0" in run_spin(tmp_path, "HARMLESS_STAYS_ARMED_AWAKE")


def test_every_variant_is_run() -> None:
    variants = set(re.findall(r"(?:BROKEN|HARMLESS)_\w+", MODEL.read_text(encoding="utf-8")))
    assert variants - {"BROKEN_"} == BROKEN.keys() | {"HARMLESS_STAYS_ARMED_AWAKE"}


def squeezed(code: str) -> str:
    return re.sub(r"\s+", " ", code)


def bodies() -> dict[str, str]:
    """The code of each function, on one line and without comments."""
    found: dict[str, str] = {}
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        lines = c_code.without_comments(text).splitlines()
        for function in c_code.functions(text):
            body = lines[function.line_first - 1 : function.line_last]
            found[function.name] = squeezed(" ".join(body))
    return found


def citations() -> list[tuple[str, str, str]]:
    """Part of the model, function that it cites, line of it; in the model's order."""
    part = ""
    cited: list[tuple[str, str, str]] = []
    for inline, process, function, line in CITATION.findall(MODEL.read_text(encoding="utf-8")):
        part = inline or process or part
        if function:
            cited.append((part, function, squeezed(line)))
    return cited


def test_the_model_cites_lines_that_the_code_has_in_that_order() -> None:
    code = bodies()
    for (part, function), group in groupby(citations(), key=lambda each: each[:2]):
        at = 0
        for _, _, line in group:
            found = code[function].find(line, at)
            assert found >= 0, f"{part}: {function} has no `{line}` there: {code[function]}"
            at = found + 1


def test_the_model_has_every_access_to_what_the_ends_share() -> None:
    cited = {(function, line) for _, function, line in citations()}
    functions = {function for function, _ in cited}
    missing = [
        f"{function}: {access}"
        for function in functions
        for access in SHARED_ACCESS.findall(bodies()[function])
        if (function, access) not in cited
    ]
    assert not missing, "\n".join(missing)
    others = bodies().keys() - functions
    assert not [name for name in others if "atomic_" in bodies()[name].split("{", 1)[1]]
