"""An engine that comes again with another Ethernet address at its IP address, and is called."""

from pathlib import Path

import pytest

from tests.e2e.processes import Fleet
from transport_engine.hugepages import hugepages

CALLS = 200
WINDOW = 8
HUGE_MIB = 512  # for two processes

pytestmark = pytest.mark.dpdk


def dpdk(arguments: str, address: str) -> str:
    return (
        f'driver = "dpdk"\nnetif = "{arguments}"\naddress = "{address}"\nprefix_bits = 24\n'
        'security = "none"'
    )


def test_calls_go_to_the_new_card_within_their_time(tmp_path: Path) -> None:
    path = tmp_path / "vhost.sock"
    cards = [f"--vdev=net_virtio_user0,path={path},mac=02:00:00:00:00:0{i}" for i in (1, 2)]
    with hugepages(HUGE_MIB), Fleet(tmp_path) as fleet:
        client = fleet.engine("client", dpdk(f"--vdev=net_vhost0,iface={path}", "10.99.0.1"))
        for card in cards:
            server = fleet.engine("server", dpdk(card, "10.99.0.2"))
            engine = fleet.latest
            address = fleet.serve("10.99.0.2:7000", server)
            serving = fleet.latest
            result = fleet.load(CALLS, WINDOW, address, client)
            assert (result["wrong"], result["served"]) == (0, CALLS)
            serving.stop()
            engine.kill()
