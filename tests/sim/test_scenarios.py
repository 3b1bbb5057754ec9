"""Named scenarios: one situation each, with what must come of it."""

from pathlib import Path
from typing import Any

import pytest

from transport_engine import simulator

FOLDER = Path(__file__).parent / "scenarios"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def answer_to(name: str) -> dict[str, Any]:
    return simulator.run(simulator.load(FOLDER / f"{name}.json"))


@pytest.mark.parametrize("name", NAMES)
def test_scenario_passes(name: str) -> None:
    answer = answer_to(name)
    assert answer["verdict"] == "pass", (
        f"mrpc sim run {FOLDER / name}.json\n{answer['violations'][:3]}"
    )


def test_calls_fail_only_with_their_flow() -> None:
    answer = answer_to("restarting_server")
    assert answer["counts"]["crashes"] == 4
    assert answer["counts"]["flows_reset"] >= 3
    assert 0 < answer["calls"]["failed"] <= 4 * 8
    assert answer["calls"]["replied"] > 10_000


def test_a_black_out_within_patience_costs_time_only() -> None:
    answer = answer_to("black_out_then_back")
    assert answer["counts"]["flows_died"] == 0
    assert answer["calls"] == {"started": 4000, "replied": 4000, "failed": 0}


def test_a_black_out_beyond_patience_ends_the_flow() -> None:
    answer = answer_to("longer_black_out_than_patience")
    assert answer["counts"]["flows_died"] >= 1
    assert answer["calls"]["failed"] == 4
    assert answer["calls"]["replied"] > 10_000


def test_bulk_leaves_room_for_a_ping_pong() -> None:
    answer = answer_to("bulk_beside_ping_pong")
    bulk, ping_pong = answer["classes"]
    assert bulk["count"] > 20
    assert answer["goodput_gbps"] > 8
    assert ping_pong["completion_us"]["p99"] < 150


def test_noise_is_no_queue() -> None:
    answer = answer_to("noisy_path")
    (calls,) = answer["classes"]
    assert calls["count"] > 10_000
    assert calls["completion_us"]["p50"] < 300
