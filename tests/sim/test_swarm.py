"""500 random networks: nothing is lost, doubled, reordered or stuck, and it is the same twice."""

from typing import Any

import pytest

from tests.ahead import ahead
from tests.sim import swarm
from transport_engine import simulator

SEEDS = range(500)
PACKETS_MIN = 5_000_000  # so that the swarm cannot become tame unseen


def replay(seed: int) -> str:
    return f"python -m tests.sim.swarm {seed} | mrpc sim run -"


def answer_to(seed: int) -> dict[str, Any]:
    return simulator.run(swarm.scenario(seed))


@pytest.mark.timeout(900)
def test_swarm_keeps_every_promise() -> None:
    packets = 0
    broken: list[str] = []
    with ahead(answer_to, SEEDS) as answers:
        for seed in SEEDS:
            answer = answers[seed]
            calls = answer["calls"]
            assert calls["started"] == calls["replied"] + calls["failed"], replay(seed)
            if answer["verdict"] != "pass":
                broken.append(f"{replay(seed)}\n{answer['violations'][:2]}")
            packets += answer["counts"]["packets_sent"]
    assert not broken, "\n".join(broken)
    assert packets >= PACKETS_MIN


@pytest.mark.parametrize("seed", range(5))
def test_same_seed_same_packets(seed: int) -> None:
    first, second = (simulator.run(swarm.scenario(seed)) for _ in range(2))
    assert first == second


def test_another_seed_is_another_run() -> None:
    scenario = swarm.scenario(1)
    assert simulator.run(scenario, 2)["digest"] != simulator.run(scenario, 3)["digest"]
