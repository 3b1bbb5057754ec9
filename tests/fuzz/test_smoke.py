"""A short run of every fuzz target; `make fuzz` runs them for longer."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.ahead import Ahead, ahead, asked
from tests.fuzz.run import TARGETS, fuzz, usable_build

RUNS = 200_000
SECONDS = 5  # of a target that is slower than that
TIMEOUT_S = 120.0


def run(target: str) -> subprocess.CompletedProcess[str]:
    limits = [f"-runs={RUNS}", f"-max_total_time={SECONDS}", "-seed=1"]
    return fuzz(target, limits, TIMEOUT_S)


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[Ahead[str, subprocess.CompletedProcess[str]]]:
    missing = usable_build().lacks()
    if missing is not None:
        pytest.skip(missing)
    with ahead(run, asked(request, test_target_survives, "target")) as runs:
        yield runs


@pytest.mark.parametrize("target", TARGETS)
def test_target_survives(runs: Ahead[str, subprocess.CompletedProcess[str]], target: str) -> None:
    done = runs[target]
    assert done.returncode == 0, done.stdout
