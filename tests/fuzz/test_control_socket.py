"""A short attack on a control socket; tests/fuzz/control_socket.py runs longer ones."""

import pytest

from tests.fuzz.control_socket import run

MESSAGES = 10_000


@pytest.mark.parametrize("passes_descriptors", [True, False], ids=["passed", "refused"])
def test_engine_survives_its_clients(passes_descriptors: bool) -> None:
    figures = run(MESSAGES, 1, passes_descriptors=passes_descriptors)
    assert figures.is_good, figures
    assert figures.messages >= MESSAGES
    assert figures.attaches > 0
