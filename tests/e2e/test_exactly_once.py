"""Keyed calls are executed once, and none of their replies is lost, whatever dies and is lost."""

from pathlib import Path

from tests.e2e.exactly_once import tried

CALLS, KILLS = 3000, 5
RATE = 0.05
WINDOW = 32


async def test_each_call_is_executed_once_and_answered(tmp_path: Path) -> None:
    outcome = await tried(tmp_path, CALLS, KILLS, RATE, WINDOW)
    assert outcome.is_exact, outcome
    assert outcome.kills + outcome.engine_kills == KILLS
    assert min(outcome.retries, outcome.packets_lost, outcome.packets_doubled) > 0
