"""kill -9 of an application at instructions spread over all that it does with its channel."""

from pathlib import Path

import pytest

from tests.e2e.instruction_kills import MOMENTS, killer, points

KILLS_MIN = 2000
INSTRUCTIONS_MIN = 100  # of any phase; fewer would mean that it does not do what it should


@pytest.mark.timeout(600)
def test_engine_gets_everything_back_wherever_an_application_dies(tmp_path: Path) -> None:
    with killer(tmp_path) as made:
        steps = {moment: made.steps_of(moment) for moment in MOMENTS}
        assert min(steps.values()) > INSTRUCTIONS_MIN
        share = (KILLS_MIN + len(MOMENTS)) / sum(steps.values())
        for moment in MOMENTS:
            for point in points(steps[moment], share):
                made.kill(moment, point)
        assert made.kills >= KILLS_MIN
