"""Fixtures of the transport engine's tests."""

import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.transport_engine.pairs import SHORT, Two, two
from tests.transport_engine.sidecars import Sidecar, descriptors, until
from transport_engine.policy import Policy


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Sidecar]:
    before = descriptors()
    opened = Sidecar(tmp_path / "engine.sock")
    yield opened
    opened.close()
    gc.collect()
    assert descriptors() <= before, "descriptors were left open"


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Two]:
    before = descriptors()
    sidecar = Sidecar(tmp_path / "engine.sock", Policy.of(SHORT))
    made = await two(sidecar)
    yield made
    await made.client.close()
    await made.server.close()
    await until(lambda: len(sidecar.server.pairs) == 0)
    sidecar.close()
    gc.collect()
    assert descriptors() <= before, "descriptors were left open"
