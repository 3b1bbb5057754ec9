"""Fixtures of the transport engine's tests."""

import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.transport_engine.sidecars import Sidecar, descriptors


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Sidecar]:
    before = descriptors()
    opened = Sidecar(tmp_path / "engine.sock")
    yield opened
    opened.close()
    gc.collect()
    assert descriptors() <= before, "descriptors were left open"
