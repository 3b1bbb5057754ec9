"""A short run of every fuzz target; `make fuzz` runs them for longer."""

import pytest

from tests.fuzz.run import TARGETS, fuzz, usable_build

RUNS = 200_000
TIMEOUT_S = 120.0


@pytest.mark.parametrize("target", TARGETS)
def test_target_survives(target: str) -> None:
    missing = usable_build().lacks()
    if missing is not None:
        pytest.skip(missing)
    done = fuzz(target, [f"-runs={RUNS}", "-seed=1"], TIMEOUT_S)
    assert done.returncode == 0, done.stdout
