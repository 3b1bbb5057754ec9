"""Every way of a hostile application to misuse its channel: the engine and a neighbour live on."""

from pathlib import Path

import pytest

from tests.e2e.garbage import KINDS, besiege, strategies, surprises, until_held
from tests.e2e.guests import watched_engine

SECONDS_EACH = 1.02  # of 59 strategies: a minute in all
STRATEGIES_MIN = 32


@pytest.mark.timeout(600)
def test_garbage_harms_its_writer_only(tmp_path: Path) -> None:
    names = strategies()
    assert len(set(names)) == len(names) >= STRATEGIES_MIN
    with watched_engine(tmp_path, is_sanitized=True) as engine:
        seen = besiege(engine, names, SECONDS_EACH, seed=1)
        stats = until_held(engine, channels=0)
    assert surprises(seen) == []
    assert all(each.rounds > 0 for each in seen.values())
    assert sum(stats[f"quarantined_{kind}"] for kind in KINDS) == stats["channels_quarantined"]
    # Each cut off by name; unless it left before the control plane had the news.
    assert 0 < engine.said().count("is cut off: it ") <= stats["channels_quarantined"]
