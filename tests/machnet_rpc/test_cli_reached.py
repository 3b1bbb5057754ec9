"""What `mrpc serve` says of who reaches it, where those are not only programs of this machine."""

from pathlib import Path

import pytest

from tests.e2e.processes import MRPC, Fleet

OPEN = 'address = "0.0.0.0"\nsecurity = "none"\nport = 0'
TARGET = "tests.machnet_rpc.ledger:LedgerBook"


@pytest.mark.parametrize(
    ("engine", "asked", "is_open"),
    [
        (OPEN, "0.0.0.0:0", True),
        (OPEN, "127.0.0.1:0", True),  # which stands for wherever the engine is
        ("port = 0", "127.0.0.1:0", False),
        ("port = 0", "0.0.0.0:0", False),
    ],
)
def test_a_server_that_others_reach_says_so(
    tmp_path: Path, engine: str, asked: str, is_open: bool
) -> None:
    with Fleet(tmp_path) as fleet:
        socket = fleet.engine("engine", engine)
        argv = [*MRPC, "serve", TARGET, "--listen", asked, "--engine", str(socket)]
        server = fleet.start(argv)
        said = server.text()
        assert ("nothing is encrypted or authenticated" in said) == is_open
        if is_open:
            assert said.startswith("mrpc: whoever reaches 0.0.0.0:")
            said = server.text()
        assert said.startswith("serving ")
