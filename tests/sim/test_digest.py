"""The same seed is the same run, packet by packet, whoever compiled it and how."""

from pathlib import Path

import pytest

from tests.sim import digest

SEEDS = range(12)


@pytest.mark.parametrize("build", digest.BUILDS)
def test_digest_is_the_same(build: str, tmp_path: Path) -> None:
    if not digest.is_here(build):
        pytest.skip(f"{digest.BUILDS[build][0]} is not installed")
    assert digest.digests(build, tmp_path, SEEDS) == digest.expected(SEEDS)
