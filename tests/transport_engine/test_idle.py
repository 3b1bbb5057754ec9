"""An idle flow costs a fixed, small piece of memory, and holds nothing that others could use."""

import json

import pytest

from tests.c_builds import ADDRESS, run_program

FLOWS = 1000
FLOW_BYTES_MAX = 2048
TIMEOUT_S = 120.0


def test_idle_flows_are_small_and_hold_nothing() -> None:
    missing = ADDRESS.lacks()
    if missing is not None:
        pytest.skip(missing)
    program = ADDRESS.program("tests/transport_engine/csrc/idle_flows")
    done = run_program([str(program), str(FLOWS), "3"], TIMEOUT_S)
    assert done.returncode == 0, done.stdout
    figures = json.loads(done.stdout)
    assert figures["bytes_per_flow"] <= FLOW_BYTES_MAX
    assert figures["resident_bytes_per_flow"] <= FLOW_BYTES_MAX
    assert figures["blocks_held"] == 0
