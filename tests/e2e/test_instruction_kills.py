"""kill -9 of an application at instructions spread over all that it does with its channel."""

from pathlib import Path

import pytest

from tests.e2e.instruction_kills import kill_all_over

KILLS_MIN = 2000
INSTRUCTIONS_MIN = 100  # of any phase; fewer would mean that it does not do what it should


@pytest.mark.timeout(600)
def test_engine_gets_everything_back_wherever_an_application_dies(tmp_path: Path) -> None:
    report = kill_all_over(tmp_path, KILLS_MIN)
    assert min(report.steps.values()) > INSTRUCTIONS_MIN
    assert report.kills >= KILLS_MIN
