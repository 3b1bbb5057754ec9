"""The same seed is the same run, packet by packet, whoever compiled it and how."""

import shutil
from pathlib import Path

import pytest

from tests.sim import swarm
from tests.sim.variants import Toolchain, swarm_with
from transport_engine import simulator

SEEDS = range(12)
TOOLCHAINS = {
    "gcc-O0": ("gcc", ("-O0",)),
    "gcc-O3-native": ("gcc", ("-O3", "-march=native")),
    "clang-O2": ("clang-14", ("-O2",)),
    "gcc-sanitized": ("gcc", ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")),
}


@pytest.mark.parametrize("name", TOOLCHAINS)
def test_digest_is_the_same(name: str, tmp_path: Path) -> None:
    compiler, flags = TOOLCHAINS[name]
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    answers = swarm_with(Toolchain(tmp_path, compiler, flags).library(), SEEDS)
    here = [simulator.run(swarm.scenario(seed))["digest"] for seed in SEEDS]
    assert [answer.get("digest", answer) for answer in answers] == here
