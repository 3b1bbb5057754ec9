"""The same seed is the same run, packet by packet, whoever compiled it and how."""

from collections.abc import Iterator

import pytest

from tests.ahead import Ahead, ahead, asked
from tests.sim import digest

SEEDS = range(12)


@pytest.fixture(scope="module")
def found(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ahead[str, list[str]]]:
    def digests(build: str) -> list[str]:
        return digest.digests(build, tmp_path_factory.mktemp("build"), SEEDS)

    builds = asked(request, test_digest_is_the_same, "build")
    with ahead(digests, filter(digest.is_here, builds)) as found:
        yield found


@pytest.mark.parametrize("build", digest.BUILDS)
def test_digest_is_the_same(found: Ahead[str, list[str]], build: str) -> None:
    if not digest.is_here(build):
        pytest.skip(f"{digest.BUILDS[build][0]} is not installed")
    assert found[build] == digest.expected(SEEDS)
