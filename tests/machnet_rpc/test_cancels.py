"""A small storm of calls that end at random points; `cancels.py` makes large ones."""

from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.cancels import storm


async def test_ends_at_random_points_leave_nothing(via: Via) -> None:
    report = await storm(calls=400, seed=1, via=via, rounds=2)
    assert report["left"] == {}
    assert report["tasks"] == 0
    assert report["calls"] >= 400
    assert {"cancelled", "ended", "DEADLINE_EXCEEDED"} <= report["ends"].keys()
