"""A path that carries less from now on than when the engines started, and flows that go on."""

from pathlib import Path

import pytest

from tests.e2e.processes import Fleet, ip, two_hosts

CALLS = 500
WINDOW = 16
WIDE, NARROW = "9000", "1300"

pytestmark = pytest.mark.netns


def udp(host: int) -> str:
    return f'driver = "udp"\naddress = "10.77.0.{host}"\nmtu_bytes = {WIDE}\nsecurity = "none"'


def test_calls_go_on_over_an_interface_with_a_smaller_mtu(tmp_path: Path) -> None:
    with two_hosts() as (left, right), Fleet(tmp_path) as fleet:
        ip("-n", left, "address", "add", "10.77.0.1/24", "dev", "mrpc0")
        for netns in (left, right):
            ip("-n", netns, "link", "set", "mrpc0", "mtu", WIDE)
        client = fleet.engine("client", udp(1), left)
        server = fleet.engine("server", udp(2), right)
        address = fleet.serve("10.77.0.2:7000", server, right)
        for served, mtu in ((CALLS, WIDE), (2 * CALLS, NARROW)):
            for netns in (left, right):
                ip("-n", netns, "link", "set", "mrpc0", "mtu", mtu)
            result = fleet.load(CALLS, WINDOW, address, client, left)
            assert (result["wrong"], result["served"]) == (0, served)
