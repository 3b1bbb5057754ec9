"""The builds that must agree: one seed is one run, whoever compiled it and how."""

import shutil
from pathlib import Path
from typing import Final

from tests.c_builds import CLANG
from tests.sim import swarm
from tests.sim.variants import Toolchain, swarm_with
from transport_engine import simulator

SANITIZED: Final = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
BUILDS: Final = {
    "gcc -O0": ("gcc", ("-O0",)),
    "gcc -O2": ("gcc", ("-O2",)),
    "gcc -O3 -march=native": ("gcc", ("-O3", "-march=native")),
    "clang -O0": (CLANG, ("-O0",)),
    "clang -O2": (CLANG, ("-O2",)),
    "gcc -fsanitize=address,undefined": ("gcc", SANITIZED),
}


def is_here(build: str) -> bool:
    """Whether its compiler is installed."""
    return shutil.which(BUILDS[build][0]) is not None


def expected(seeds: range) -> list[str]:
    """The digests of swarm seeds by the extension."""
    return [simulator.run(swarm.scenario(seed))["digest"] for seed in seeds]


def digests(build: str, folder: Path, seeds: range) -> list[str]:
    """The same by a build; where a run broke, what was said, as the last."""
    compiler, flags = BUILDS[build]
    answers = swarm_with(Toolchain(folder, compiler, flags).library(), seeds)
    return [answer.get("digest", str(answer["violations"])) for answer in answers]
