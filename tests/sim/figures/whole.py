"""The simulator's speed, and networks at random."""

import time
from collections.abc import Callable

from tests.sim import swarm
from tests.sim.figures.figure import Outcome, pair, run
from transport_engine import simulator


def speed() -> Outcome:
    draft = pair({}, {"kind": "bulk"}, duration_us=1e6)
    start = time.perf_counter()
    events = run(draft)["counts"]["packet_events"]
    rate = events / (time.perf_counter() - start)
    return Outcome(f"{rate / 1e6:.2f} M/s", rate >= 1e6)


def swarm_of(seeds: range, tell: Callable[[int], None] = lambda _: None) -> Outcome:
    """Runs swarm seeds; says which failed first."""
    packets, bad = 0, []
    for seed in seeds:
        answer = simulator.run(swarm.scenario(seed))
        packets += answer["counts"]["packets_sent"]
        bad += [seed] if answer["verdict"] != "pass" else []
        tell(1)
    first = f"; first: python -m tests.sim.swarm {bad[0]} | mrpc sim run -" if bad else ""
    text = f"{len(seeds):,} seeds, {packets:,} packets, {len(bad)} with violations{first}"
    return Outcome(text, not bad)
