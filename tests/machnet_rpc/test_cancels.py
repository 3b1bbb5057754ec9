"""A small storm of calls that end at random points; `cancels.py` makes large ones."""

import pytest

from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.cancels import storm


@pytest.mark.parametrize("seed", range(2))
async def test_ends_at_random_points_leave_nothing(via: Via, seed: int) -> None:
    report = await storm(calls=600, seed=seed, via=via, rounds=2)
    assert report["left"] == {}
    assert report["tasks"] == 0
    assert report["calls"] >= 600
    assert {"cancelled", "ended", "DEADLINE_EXCEEDED"} <= report["ends"].keys()
