"""The simulator's speed, and networks at random."""

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.sim import digest, swarm
from tests.sim.figures.figure import Outcome, pair, run
from transport_engine import simulator

DIGEST_SEEDS: Final = range(200)
DIGEST_RUNS: Final = 2


def speed() -> Outcome:
    draft = pair({}, {"kind": "bulk"}, duration_us=1e6)
    start = time.process_time()  # what a core does, whoever else is on it
    events = run(draft)["counts"]["packet_events"]
    rate = events / (time.process_time() - start)
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


def digests() -> Outcome:
    """Every build that can be had, each in two processes."""
    builds = [build for build in digest.BUILDS if digest.is_here(build)]
    missing = len(digest.BUILDS) - len(builds)
    differing: list[str] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:

        def run_one(work: tuple[str, int]) -> list[str]:
            build, again = work
            return digest.digests(build, Path(folder) / f"{build} {again}", DIGEST_SEEDS)

        works = [(build, again) for build in builds for again in range(DIGEST_RUNS)]
        found = pool.map(run_one, works)
        right = digest.expected(DIGEST_SEEDS)
        differing = [build for (build, _), one in zip(works, found, strict=True) if one != right]
    text = f"{len(works)} runs of {len(builds)} builds, {len(set(differing))} builds differ"
    text += f", {missing} not installed" if missing else ""
    return Outcome(text, not differing and not missing)
