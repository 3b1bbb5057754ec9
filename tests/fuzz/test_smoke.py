"""A short run of every fuzz target; `make fuzz` runs them for longer."""

import pytest

from tests.fuzz.run import TARGETS, fuzz, usable_build

RUNS = 200_000
SECONDS = 5  # of a target that is slower than that
TIMEOUT_S = 120.0


@pytest.mark.parametrize("target", TARGETS)
def test_target_survives(target: str) -> None:
    missing = usable_build().lacks()
    if missing is not None:
        pytest.skip(missing)
    limits = [f"-runs={RUNS}", f"-max_total_time={SECONDS}", "-seed=1"]
    done = fuzz(target, limits, TIMEOUT_S)
    assert done.returncode == 0, done.stdout
