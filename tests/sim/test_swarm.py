"""500 random networks: nothing is lost, doubled, reordered or stuck, and it is the same twice."""

import pytest

from tests.sim import swarm
from transport_engine import simulator

BATCH = 50
BATCHES = 10
PACKETS_MIN = 500_000  # in each batch, so that a swarm cannot become tame unseen


def replay(seed: int) -> str:
    return f"python -m tests.sim.swarm {seed} | mrpc sim run -"


@pytest.mark.parametrize("batch", range(BATCHES))
def test_swarm_keeps_every_promise(batch: int) -> None:
    packets = 0
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        answer = simulator.run(swarm.scenario(seed))
        assert answer["verdict"] == "pass", f"{replay(seed)}\n{answer['violations'][:3]}"
        assert answer["calls"]["started"] == answer["calls"]["replied"] + answer["calls"]["failed"]
        packets += answer["counts"]["packets_sent"]
    assert packets >= PACKETS_MIN


@pytest.mark.parametrize("seed", range(5))
def test_same_seed_same_packets(seed: int) -> None:
    first, second = (simulator.run(swarm.scenario(seed)) for _ in range(2))
    assert first == second


def test_another_seed_is_another_run() -> None:
    scenario = swarm.scenario(1)
    assert simulator.run(scenario, 2)["digest"] != simulator.run(scenario, 3)["digest"]
