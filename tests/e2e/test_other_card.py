"""An engine that comes again with another Ethernet address at its IP address, and is called."""

import sys
from pathlib import Path

import pytest

from tests.e2e.processes import Fleet, ip, two_hosts
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


@pytest.mark.netns
def test_a_kernel_that_knows_the_old_card_is_told(tmp_path: Path) -> None:
    """It would go on for half a minute to send there."""
    card = "--no-huge -m 256 --no-pci --vdev=net_af_packet0,iface=mrpc0"
    with two_hosts() as (left, right), Fleet(tmp_path) as fleet:
        udp = 'driver = "udp"\naddress = "10.77.0.2"\nsecurity = "none"'
        client = fleet.engine("client", udp, right)
        for mac in ("02:00:00:00:00:01", "02:00:00:00:00:02"):
            ip("-n", left, "link", "set", "mrpc0", "address", mac)
            server = fleet.engine("server", dpdk(card, "10.77.0.1"), left)
            engine = fleet.latest
            address = fleet.serve("10.77.0.1:7000", server, left)
            serving = fleet.latest
            result = fleet.load(CALLS, WINDOW, address, client, right)
            assert (result["wrong"], result["served"]) == (0, CALLS)
            serving.stop()
            engine.kill()


@pytest.mark.netns
def test_one_that_has_the_same_address_is_named(tmp_path: Path) -> None:
    card = "--no-huge -m 256 --no-pci --vdev=net_af_packet0,iface=mrpc0"
    rival = "02:00:00:00:00:07"
    call = "import socket; socket.socket(2, 2).sendto(b'?', ('10.77.0.9', 9))"
    with two_hosts() as (left, right), Fleet(tmp_path) as fleet:
        fleet.engine("server", dpdk(card, "10.77.0.1"), left)
        ip("-n", right, "link", "set", "mrpc0", "address", rival)
        ip("-n", right, "address", "flush", "dev", "mrpc0")
        ip("-n", right, "address", "add", "10.77.0.1/24", "dev", "mrpc0")
        ip("netns", "exec", right, sys.executable, "-c", call)
        assert f"the card {rival} says that it has this engine's address" in fleet.latest.text()
