"""Calls over a path on which the kernel itself loses, doubles and damages packets."""

import shutil
from pathlib import Path

import pytest

from tests.e2e.faulty_wire import CLIENTS, Rates, run

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(shutil.which("nft") is None, reason="nftables is not installed"),
]

CALLS = 10_000
RATES = Rates(lost=0.02, doubled=0.02, damaged=0.02)
TIMEOUT_SECONDS = 120.0


@pytest.mark.parametrize(
    "client",
    [pytest.param(name, marks=[pytest.mark.dpdk] if name != "udp" else []) for name in CLIENTS],
)
def test_every_call_crosses_a_faulty_wire_once_and_whole(tmp_path: Path, client: str) -> None:
    outcome = run(client, CALLS, RATES, tmp_path, TIMEOUT_SECONDS)
    assert outcome.violations == 0, outcome
    assert outcome.transport.startswith("sidecar+udp" if client == "udp" else "sidecar+dpdk")
    assert outcome.refused > 0, outcome
    for count in (outcome.lost, outcome.doubled, outcome.damaged):
        assert count > outcome.seen // 200, outcome  # the wire did what it should
